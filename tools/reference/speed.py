"""Times this engine and PyTorch/diffusers in f32 side by side on one checkpoint folder, and prints ratios as Markdown.

    python speed.py DIR [--threads N] [--rounds R] [--only WORD] [--no-stages]

The sides take turns, so that what else the machine does meets both; a figure is the fastest of all runs, which others
disturb least, a ratio is PyTorch's time over ours. Convolutions and the decode are shown twice, ours by default and with
--exact-conv. The stages take a folder with the shapes of Wan2.1 1.3B (random_checkpoint.py); sizes are those of 256x256 and
9 frames. Peaks are of processes of their own that run the stage once, without the mapped weights (RssAnon).
"""

import argparse
import math
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENGINE = ROOT / "target/release/examples/speed"

LINEAR = [(rows, k, n) for rows in (768, 4096) for k, n in ((1536, 1536), (1536, 8960), (8960, 1536))]
SMALL = [(rows, 1536, 1536) for rows in (77, 16, 1)]
ATTENTION = [(12, 768, 128), (12, 4096, 128)]
CONV3D = [(96, 96, 4, 128), (192, 192, 4, 64), (384, 384, 4, 32), (384, 384, 1, 32), (96, 3, 4, 64)]
# Seconds of a turn, at least.
BURST = 0.4
# Latent frames, height and width of 256x256 and 9 frames.
LATENT = (3, 32, 32)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5, help="of each op; stages take a third of it")
    parser.add_argument("--only", default="", help="lines whose name contains this")
    parser.add_argument("--no-stages", action="store_true")
    parser.add_argument("--once", help=argparse.SUPPRESS)  # the reference's side of a peak
    options = parser.parse_args()
    options.folder = options.folder.resolve()
    return options


class Engine:
    """The example `speed`, which times a task for each line that it is sent."""

    def __init__(self, options, *words, threads=None):
        command = [ENGINE, str(threads or options.threads), options.folder, *words]
        self.process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def seconds(self, task):
        """One run of a task."""
        self.process.stdin.write(task + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"the engine ended at {task!r}")
        return float(answer)

    def end(self):
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()


def reference(task, folder):
    """A function that runs PyTorch's side of a task once."""
    import torch
    import torch.nn.functional as F

    name, *sizes = task.split()
    sizes = [int(size) for size in sizes]
    torch.manual_seed(0)
    if name == "linear":
        rows, k, n = sizes
        x, w, b = torch.randn(rows, k), torch.randn(n, k) * 0.02, torch.randn(n)
        return lambda: F.linear(x, w, b)
    if name == "attention":
        heads, tokens, dim = sizes
        q, k, v = (torch.randn(1, heads, tokens, dim) for _ in range(3))
        return lambda: F.scaled_dot_product_attention(q, k, v)
    if name == "conv3d":
        inputs, outputs, frames, side = sizes
        x = torch.randn(1, inputs, frames + 2, side, side)
        w, b = torch.randn(outputs, inputs, 3, 3, 3) * 0.02, torch.randn(outputs)
        return lambda: F.conv3d(x, w, b, padding=(0, 1, 1))
    return stage(name, sizes, folder)


def stage(name, sizes, folder):
    """The same of a stage of diffusers."""
    import torch
    import wan

    if name == "text":
        model = wan.open_pipeline(folder, ("text_encoder",)).text_encoder
        ids = 3 + torch.arange(sizes[0])[None] % 200
        return lambda: model(ids)
    if name == "forward":
        pipe = wan.open_pipeline(folder, ("transformer",))
        config = pipe.transformer.config
        latent, text = torch.randn(config.in_channels, *sizes), torch.zeros(512, config.text_dim)
        text[:32] = torch.randn(32, config.text_dim)
        keep_text(pipe.transformer)
        return lambda: wan.velocity(pipe, latent, torch.tensor([500.0]), text)
    pipe = wan.open_pipeline(folder, ("vae",))
    latent = torch.randn(pipe.vae.config.z_dim, *sizes)
    return lambda: wan.decode(pipe, latent)


def keep_text(transformer):
    """Keys and values of the text are computed once, as the engine keeps them between steps."""

    def remember(layer):
        forward, kept = layer.forward, []

        def first_time(x):
            if not kept:
                kept.append(forward(x))
            return kept[0]

        layer.forward = first_time

    for block in transformer.blocks:
        for layer in (block.attn2.to_k, block.attn2.to_v, block.attn2.norm_k):
            remember(layer)
    remember(transformer.condition_embedder.text_embedder)


def burst(timed):
    """The fastest of runs one after another for `BURST` seconds: the first may share the machine with the other side's
    threads, which go on spinning for a while."""
    end, fastest = time.perf_counter() + BURST, math.inf
    while fastest == math.inf or time.perf_counter() < end:
        fastest = min(fastest, timed())
    return fastest


def compare(task, engines, options, rounds):
    """The fastest of PyTorch's and of each engine's runs, all taking turns."""
    import torch

    torch.set_num_threads(options.threads)
    run = reference(task, options.folder)

    def theirs():
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    sides = [theirs, *(lambda engine=engine: engine.seconds(task) for engine in engines)]
    with torch.inference_mode():
        for side in sides:
            side()
        return [min(column) for column in zip(*([burst(side) for side in sides] for _ in range(rounds)))]


def show(seconds):
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def peak(command, given=None):
    """The highest private memory of a process, in bytes."""
    import peak as account

    process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    if given:
        process.stdin.write(given + "\n")
    process.stdin.close()
    highest = 0
    while process.poll() is None:
        highest = max(highest, account.private(process.pid))
        time.sleep(account.INTERVAL)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return highest


def main():
    options = arguments()
    if options.once:
        import torch

        torch.set_num_threads(options.threads)
        with torch.inference_mode():
            reference(options.once, options.folder)()
        return
    subprocess.run(["cargo", "build", "--release", "--quiet", "--features", "tokenizer", "--example", "speed"], cwd=ROOT, check=True)
    default, exact, one = Engine(options), Engine(options, "exact-conv"), Engine(options, threads=1)
    print(f"{options.threads} threads, the fastest of {options.rounds} rounds\n")
    print("| work | PyTorch f32 | ours | ratio | ours, exact-conv | ratio |\n|---|---|---|---|---|---|")
    ratios = []

    def line(task, rounds=options.rounds):
        if options.only not in task:
            return None
        twice = task.startswith(("conv3d", "decode"))
        theirs, *ours = compare(task, [default, exact] if twice else [default], options, rounds)
        cells = [cell for seconds in ours for cell in (show(seconds), f"{theirs / seconds:.2f}")]
        print(f"| {task} | {show(theirs)} | {' | '.join(cells)} |{'' if twice else ' | |'}", flush=True)
        return theirs / ours[0]

    ratios = [line(f"linear {rows} {k} {n}") for rows, k, n in LINEAR]
    if all(ratios):
        print(f"| linear, geometric mean | | | {math.prod(ratios) ** (1 / len(ratios)):.2f} | | |")
    for sizes in SMALL:
        line("linear {} {} {}".format(*sizes))
    for sizes in ATTENTION:
        line("attention {} {} {}".format(*sizes))
    for sizes in CONV3D:
        line("conv3d {} {} {} {}".format(*sizes))
    if options.no_stages:
        return
    stages = ["text 64", "forward {} {} {}".format(*LATENT), "decode {} {} {}".format(*LATENT)]
    for task in stages:
        line(task, math.ceil(options.rounds / 3))
    print("\n| stage | one thread | ours on all | times as fast |\n|---|---|---|---|")
    for task in stages[1:]:
        single, many = one.seconds(task), default.seconds(task)
        single, many = (min(first, engine.seconds(task)) for first, engine in ((single, one), (many, default)))
        print(f"| {task} | {show(single)} | {show(many)} | {single / many:.2f} |", flush=True)
    for engine in (default, exact, one):
        engine.end()
    print("\n| stage | PyTorch's private peak | ours | share |\n|---|---|---|---|")
    for task in stages[1:]:
        ours = peak([ENGINE, options.threads, options.folder], task)
        command = [sys.executable, __file__, options.folder, "--threads", options.threads, "--once", task]
        theirs = peak(command)
        print(f"| {task} | {theirs / 2**20:.0f} MiB | {ours / 2**20:.0f} MiB | {ours / theirs:.3f} |", flush=True)


if __name__ == "__main__":
    os.chdir(pathlib.Path(__file__).parent)
    sys.path.insert(0, ".")
    main()
