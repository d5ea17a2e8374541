"""What the stages share: seeds by step, saved state, schedules, averages of weights, logs, curves and sheets."""

import argparse
import ctypes
import functools
import json
import os
import pathlib
import sys
import time

import torch
from PIL import Image, ImageDraw


def arguments(doc: str, steps: int, batch: int, rate: float, adam_rate: float) -> argparse.ArgumentParser:
    """The options that both stages have."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the saved state, logs and sheets")
    parser.add_argument("--steps", type=int, default=steps, help="step at which training ends; the rate falls before")
    parser.add_argument("--decay", type=float, default=0.3, help="last part of the steps over which the rate falls")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--rate", type=float, default=rate, help="of the matrices inside (Muon), before it falls")
    parser.add_argument("--adam-rate", type=float, default=adam_rate, help="of all other parameters (AdamW)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="stop (and save) after this time, to be resumed")
    parser.add_argument("--save-minutes", type=float, default=4.0)
    parser.add_argument("--sheet-every", type=int, default=200, help="steps between sheets of samples")
    parser.add_argument("--memory", type=float, default=0.999, help="of the moving average of weights")
    parser.add_argument("--small", action="store_true", help="end with a state of averaged weights in f16 as well")
    parser.add_argument("--compile", action="store_true", help="fuse with torch.compile")
    parser.add_argument("--threads", type=int, default=2, help="at most, on a CPU")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser


def settle(device: str, threads: int = 2) -> None:
    """Threads, and a heap that keeps its pages: large tensors otherwise cost page faults at every step."""
    if device == "cpu":
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        if sys.platform == "linux":
            libc = ctypes.CDLL("libc.so.6")
            for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 1 << 26)):  # no mmap, no trim, generous steps
                libc.mallopt(option, value)
    else:
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True


def share(device: str, threads: int = 2) -> None:
    """One thread while others keep the machine busy: threads that wait for each other cost more."""
    if device == "cpu":
        torch.set_num_threads(1 if os.getloadavg()[0] > 3 else min(threads, os.cpu_count() or 1))


@functools.cache
def narrow(device: str) -> bool:
    """Whether products in bf16 are faster than in f32: processors without instructions for them emulate them."""
    return device != "cpu" or torch.cpu._is_avx512_bf16_supported()


def generator(*numbers: int, device: str = "cpu") -> torch.Generator:
    """A generator whose stream depends on all `numbers`, so that a resumed run sees what an unbroken one would."""
    seed = 0x9E3779B97F4A7C15
    for number in numbers:
        seed = ((seed ^ (number + 1)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        seed ^= seed >> 29
    return torch.Generator(device).manual_seed(seed & (2**63 - 1))


def factor_at(step: int, options, first: int = 0) -> float:
    """Of the learning rates: a short rise from a run's first step, a plateau, a linear fall over the last part."""
    fall = max(1.0, options.decay * options.steps)
    return min(1.0, (step + 1 - first) / 50) * min(1.0, max(0.0, (options.steps - step) / fall))


def save(path: pathlib.Path, state: dict) -> None:
    """Writes the state so that a killed run leaves the old one or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def load(path: pathlib.Path, device: str = "cpu") -> dict | None:
    """A saved state, or None where there is none."""
    return torch.load(path, map_location=device, weights_only=True) if path.exists() else None


class Average:
    """An exponential moving average of parameters, its memory short while training is young."""

    def __init__(self, parameters: dict[str, torch.Tensor], memory: float = 0.999):
        self.memory = memory
        self.values = {name: p.detach().float().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def update(self, parameters: dict[str, torch.Tensor], step: int) -> None:
        """Moves the average towards the parameters."""
        keep = min(self.memory, (1 + step) / (20 + step))
        values, new = list(self.values.values()), [parameters[name].detach() for name in self.values]
        torch._foreach_lerp_(values, new, 1 - keep)


@torch.no_grad()
def fill(model: torch.nn.Module, values: dict[str, torch.Tensor]) -> None:
    """Sets parameters by name, tied ones once; those without a value stay as they are."""
    parameters = dict(model.named_parameters())
    for name, value in values.items():
        parameters[name].copy_(value)


class Log:
    """Lines of JSON, appended, and a curve drawn from all of them."""

    def __init__(self, path: pathlib.Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.start = path, time.time()

    def add(self, **row) -> None:
        """Appends and prints one row."""
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(" ".join(f"{k} {v:.5g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)

    def draw(self, key: str, out: pathlib.Path, size: tuple[int, int] = (900, 420)) -> None:
        """Draws `key` over the steps, as a PNG with the range of both axes written on it."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        rows = [(r["step"], r[key]) for r in map(json.loads, lines) if key in r]
        if len(rows) < 2:
            return
        xs, ys = zip(*rows)
        low, high = min(ys), sorted(ys)[max(0, int(len(ys) * 0.98) - 1)]
        wide, tall = size
        image = Image.new("RGB", size, "white")
        pen = ImageDraw.Draw(image)
        span_x, span_y = max(1, xs[-1] - xs[0]), max(1e-9, high - low)
        points = [
            (50 + (x - xs[0]) / span_x * (wide - 70), tall - 30 - (min(y, high) - low) / span_y * (tall - 60))
            for x, y in rows
        ]
        pen.line([(50, 20), (50, tall - 30), (wide - 20, tall - 30)], fill="gray")
        pen.line(points, fill=(45, 85, 220), width=2)
        pen.text((4, 14), f"{high:.4g}", fill="black")
        pen.text((4, tall - 40), f"{low:.4g}", fill="black")
        pen.text((50, tall - 24), f"{key}, step {xs[0]} to {xs[-1]}", fill="black")
        image.save(out)


def sheet(clips: torch.Tensor, path: pathlib.Path, frames=(0, 4, 8, 12, 16), labels=None) -> None:
    """A PNG with a row for each clip of [N, 3, T, H, W] in -1..1, some of its frames side by side."""
    clips = clips.detach().float().cpu().clamp(-1, 1)
    rows = [torch.cat([clip[:, f] for f in frames if f < clip.shape[1]], 2) for clip in clips]
    tall = rows[0].shape[1]
    pixels = ((torch.cat(rows, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    image = Image.fromarray(pixels)
    if labels:
        wide = Image.new("RGB", (image.width + 420, image.height), "white")
        wide.paste(image, (0, 0))
        pen = ImageDraw.Draw(wide)
        for row, label in enumerate(labels):
            pen.text((image.width + 6, row * tall + tall // 2 - 6), label, fill="black")
        image = wide
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
