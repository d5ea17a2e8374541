"""What others take for the ops that `kernel-bench` measures: PyTorch, and ggml's own `test-backend-ops perf`.

A peer has a `name` and `seconds(row)`: of the row of a `kernel-bench` file, the time of one run, or None where it cannot.
"""

import math
import re
import sqlite3
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

GIB = 2**30


class PyTorch:
    """cuBLAS, cuDNN and flash attention on a GPU, oneDNN and MKL on a processor; operands and results of one type.

    A time is the median of all runs of `seconds`, on the device's clock if it is a GPU. Convolutions are channels-last there
    as here, if that is the quicker of the two.
    """

    def __init__(self, device, dtype, seconds):
        import torch

        self.torch, self.budget = torch, seconds
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.dtype = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}[dtype]
        on = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "the processor"
        self.name = f"PyTorch {torch.__version__}, {dtype}, on {on}, {torch.get_num_threads()} threads"
        torch.manual_seed(0)

    def seconds(self, row):
        with self.torch.inference_mode():
            return min(self._measure(way) for way in getattr(self, row["op"])(row["shape"]))

    def _new(self, *shape):
        return self.torch.randn(*shape, device=self.device, dtype=self.dtype)

    def linear(self, shape):
        rows, k, n = (shape[name] for name in ("rows", "k", "n"))
        x, w, bias = self._new(rows, k), self._new(n, k) / math.sqrt(k), self._new(n)
        yield lambda: self.torch.nn.functional.linear(x, w, bias)

    def attention(self, shape):
        heads, width, queries, keys = (shape[name] for name in ("heads", "head_dim", "queries", "keys"))
        q, k, v = (self._new(rows, heads, width).transpose(0, 1)[None] for rows in (queries, keys, keys))
        yield lambda: self.torch.nn.functional.scaled_dot_product_attention(q, k, v)

    def conv3d(self, shape):
        frames, height, width, inputs, outputs = (shape[name] for name in ("frames", "height", "width", "inputs", "outputs"))
        kernel, history = shape["kernel"], shape["history"]
        x = self._new(1, inputs, history + frames, height, width)
        w = self._new(outputs, inputs, *kernel) / math.sqrt(inputs * math.prod(kernel))
        bias = self._new(outputs)
        # What is before the first frame is zeros, as the causal VAE has it.
        front = kernel[0] - 1 - history
        x = self.torch.nn.functional.pad(x, [kernel[2] // 2] * 2 + [kernel[1] // 2] * 2 + [front, 0])
        for layout in (self.torch.contiguous_format, self.torch.channels_last_3d):
            own, weight = x.contiguous(memory_format=layout), w.contiguous(memory_format=layout)
            yield lambda own=own, weight=weight: self.torch.nn.functional.conv3d(own, weight, bias)

    def _run(self, way, repeats):
        """Seconds of one of some runs in a row."""
        if self.device.type != "cuda":
            start = time.perf_counter()
            for _ in range(repeats):
                way()
            return (time.perf_counter() - start) / repeats
        start, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(repeats):
            way()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1000 / repeats

    def _measure(self, way):
        self._run(way, 2)
        # Long enough for the clock.
        repeats = math.ceil(0.005 / self._run(way, 1))
        times, begin = [], time.perf_counter()
        while len(times) < 5 or time.perf_counter() - begin < self.budget:
            times.append(self._run(way, repeats))
        return median(times)


class Ggml:
    """`test-backend-ops perf` at a row's shape, built from ggml's source in `folder` for one of its backends.

    Weights, keys and values are stored in two bytes, all else in four, sums asked for in F32; layers and convolutions have no bias,
    and operands are the same each time, so that small ones stay in a cache. It runs an op as often as fills 8 GiB of traffic on a
    processor or 32 on a GPU, for at least a second: a row that would take longer than `limit` seconds by our own time is left out.
    """

    def __init__(self, folder, backend, limit):
        self.folder, self.backend, self.limit = Path(folder), backend, limit
        header = (self.folder / "include/ggml.h").read_text()
        names = re.findall(r"^\s+GGML_OP_(\w+)", re.search(r"enum ggml_op \{(.*?)\};", header, re.S)[1], re.M)
        self.ops = {name: number for number, name in enumerate(names)}
        self.types = {name: int(number) for name, number in re.findall(r"GGML_TYPE_(\w+)\s*=\s*(\d+)", header)}
        self.exact = int(re.search(r"GGML_PREC_F32\s*=\s*(\d+)", header)[1])
        self.program = self._build()
        self.name = f"ggml, {backend}"

    def _build(self):
        vulkan = "ON" if self.backend.startswith("Vulkan") else "OFF"
        build = self.folder / f"build-vulkan-{vulkan.lower()}"
        options = ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_BUILD_TESTS=ON", "-DGGML_BUILD_EXAMPLES=OFF", f"-DGGML_VULKAN={vulkan}"]
        for command in (
            ["cmake", "-S", self.folder, "-B", build, *options],
            ["cmake", "--build", build, "-j", "--target", "test-backend-ops"],
        ):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return build / "bin/test-backend-ops"

    def seconds(self, row):
        op, out, params, sources = getattr(self, row["op"])(row)
        tensors = [("F32", out), *sources]
        traffic = sum(math.prod(shape) * (4 if dtype == "F32" else 2) for dtype, shape in tensors)
        fill = 8 * GIB if self.backend == "CPU" else 32 * GIB
        if (fill / traffic + 2) * row["measured"]["cold"]["median"] > self.limit:
            return None
        fields = [self.ops[op], self.types["F32"], *out, len(params), *params, len(sources)]
        for dtype, shape in sources:
            size = 4 if dtype == "F32" else 2
            strides = [size * math.prod(shape[:axis]) for axis in range(4)]
            fields += [self.types[dtype], *shape, *strides]
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(" ".join(map(str, fields)) + " -\n")
            file.flush()
            command = [self.program, "perf", "-b", self.backend, "--test-file", file.name, "--output", "sql"]
            done = subprocess.run(command, capture_output=True, text=True)
        if "CREATE TABLE" not in done.stdout:
            raise SystemExit(f"{self.program} perf -b {self.backend}: exit status {done.returncode}\n{done.stderr[-2000:]}")
        table = sqlite3.connect(":memory:")
        table.executescript("".join(re.findall(r"^(?:CREATE TABLE.*?\);|INSERT INTO .*?\);)$", done.stdout, re.M | re.S)))
        found = table.execute("SELECT time_us FROM test_backend_ops WHERE supported AND passed").fetchone()
        return found and found[0] / 1e6

    def linear(self, row):
        rows, k, n = (row["shape"][name] for name in ("rows", "k", "n"))
        weights = row["types"]["weights"].upper()
        return "MUL_MAT", (n, rows, 1, 1), [self.exact], [(weights, (k, n, 1, 1)), ("F32", (k, rows, 1, 1))]

    def attention(self, row):
        heads, width, queries, keys = (row["shape"][name] for name in ("heads", "head_dim", "queries", "keys"))
        (scale,) = struct.unpack("<i", struct.pack("<f", 1 / math.sqrt(width)))
        sources = [("F32", (width, queries, heads, 1)), *[("F16", (width, keys, heads, 1))] * 2]
        return "FLASH_ATTN_EXT", (width, heads, queries, 1), [scale, 0, 0, self.exact], sources

    def conv3d(self, row):
        shape = row["shape"]
        frames, height, width, inputs, outputs = (shape[name] for name in ("frames", "height", "width", "inputs", "outputs"))
        depth, rows, columns = shape["kernel"]
        # The frames before the first are part of what it reads.
        sources = [("F16", (columns, rows, depth, inputs * outputs)), ("F32", (width, height, frames + depth - 1, inputs))]
        params = [1, 1, 1, columns // 2, rows // 2, 0, 1, 1, 1, inputs, 1, outputs]
        return "CONV_3D", (width, height, frames, outputs), params, sources
