"""Holds the rows of a `kernel-bench` file against PyTorch at the same shapes, as Markdown.

    python beside.py FILE.json [--device cuda|cpu] [--type f16|bf16|f32] [--seconds S] [--only WORD]

FILE is of this machine, from the same minutes: `kernel-bench run --half --device vulkan --suite wan-480p --json FILE`, or
`--device cpu` (then `--device cpu --type f32` here). PyTorch has cuBLAS, cuDNN and flash attention on a GPU, oneDNN and MKL on
a processor; its operands and results are of the one type, where ours are F16 with F32 sums, and a convolution's result F32.
A figure is the median of all runs of S seconds, on the device's clock if it is a GPU; a ratio is PyTorch's time over ours, so that
more than 1 is faster than PyTorch. Convolutions are channels-last there as here, if that is the quicker of the two.
"""

import argparse
import json
import math
import statistics
import time

import torch
import torch.nn.functional as F

TYPES = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=argparse.FileType())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--type", choices=TYPES, default="f16")
    parser.add_argument("--seconds", type=float, default=0.3, help="of each shape")
    parser.add_argument("--only", default="", help="ops whose name contains this")
    return parser.parse_args()


def linear(shape, new):
    rows, k, n = (shape[name] for name in ("rows", "k", "n"))
    x, w, bias = new(rows, k), new(n, k) / math.sqrt(k), new(n)
    return [lambda: F.linear(x, w, bias)]


def attention(shape, new):
    heads, width, queries, keys = (shape[name] for name in ("heads", "head_dim", "queries", "keys"))
    q, k, v = (new(rows, heads, width).transpose(0, 1)[None] for rows in (queries, keys, keys))
    return [lambda: F.scaled_dot_product_attention(q, k, v)]


def conv3d(shape, new):
    frames, height, width, inputs, outputs = (shape[name] for name in ("frames", "height", "width", "inputs", "outputs"))
    kernel, history = shape["kernel"], shape["history"]
    x = new(1, inputs, history + frames, height, width)
    w = new(outputs, inputs, *kernel) / math.sqrt(inputs * math.prod(kernel))
    bias = new(outputs)
    # What is before the first frame is zeros, as the causal VAE has it.
    front = kernel[0] - 1 - history
    pad = [kernel[2] // 2] * 2 + [kernel[1] // 2] * 2 + [front, 0]
    x = F.pad(x, pad)

    def ways():
        for layout in (torch.contiguous_format, torch.channels_last_3d):
            own, weight = x.contiguous(memory_format=layout), w.contiguous(memory_format=layout)
            yield lambda: F.conv3d(own, weight, bias)

    return list(ways())


OPS = {"linear": linear, "attention": attention, "conv3d": conv3d}


def run(way, device, repeats):
    """Seconds of one of some runs in a row."""
    if device.type != "cuda":
        start = time.perf_counter()
        for _ in range(repeats):
            way()
        return (time.perf_counter() - start) / repeats
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        way()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000 / repeats


def measure(way, device, seconds):
    run(way, device, 2)
    # Long enough for the clock.
    repeats = math.ceil(0.005 / run(way, device, 1))
    times, begin = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - begin < seconds:
        times.append(run(way, device, repeats))
    return statistics.median(times)


def words(row):
    sizes = ", ".join(f"{name} {value}" for name, value in row["shape"].items())
    return f"{row['op']}: {sizes}; {row['path']}"


@torch.inference_mode()
def main():
    options = arguments()
    device, dtype = torch.device(options.device), TYPES[options.type]
    torch.manual_seed(0)

    def new(*shape):
        return torch.randn(*shape, device=device, dtype=dtype)

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "processor"
    print(f"PyTorch {torch.__version__} on {name}, {options.type}, {torch.get_num_threads()} threads\n")
    for measured in json.load(options.file)["devices"]:
        print(f"{measured['device']['name']}\n\n| row | TFLOP/s | PyTorch | ratio |\n|---|---|---|---|")
        ratios = {}
        for row in measured["rows"]:
            if row["measured"] is None or row["op"] not in OPS or options.only not in row["op"]:
                continue
            ours = row["measured"]["cold"]["median"]
            theirs = min(measure(way, device, options.seconds) for way in OPS[row["op"]](row["shape"], new))
            ratios.setdefault(row["op"], []).append(theirs / ours)
            speeds = (row["flop"] / seconds / 1e12 for seconds in (ours, theirs))
            print(f"| {words(row)} | {' | '.join(f'{speed:.2f}' for speed in speeds)} | {theirs / ours:.2f} |", flush=True)
        for op, all_ratios in ratios.items():
            print(f"| **{op}**, geometric mean | | | **{statistics.geometric_mean(all_ratios):.2f}** |")
        print()


if __name__ == "__main__":
    main()
