"""Runs diffusers in f32 and this engine on one checkpoint folder with the same inputs, and prints the error of each stage.

    python compare.py DIR [--prompt P] [--negative N] [--seed S] [--steps T] [--guidance G] [--size WxH] [--frames N]
                          [--sampler unipc|euler] [--schedule diffusers|native|distilled] [--shift S]

Exits 1 when a bound is missed: relative L2 error 1e-5 for the text encoder, one transformer forward and the decode of
the same latents by direct sums, 5e-5 for the decode by Winograd's algorithm (the default), 2e-5 for the final latents of
up to 7 steps, 99.9 % of pixel values within 1/255.
"""

import argparse
import gc
import pathlib
import shlex
import subprocess
import sys
import tempfile

import together  # noqa: F401

import grids
import numpy as np
import torch
import wan
from PIL import Image
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
CARGO = "cargo run --quiet --release"
STAGE, DECODE, LATENTS, PIXELS, STEPS = 1e-5, 5e-5, 2e-5, 0.999, 7

NEGATIVE = "模糊，静态，低质量 blurred, static, worst quality"
PROMPT = "A red fox walks through deep snow at dawn — 雪地里的狐狸, golden light 🦊"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--negative", default=NEGATIVE)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--guidance", type=float, default=5.0)
    parser.add_argument("--size", default="48x32", help="WxH, multiples of 16")
    parser.add_argument("--frames", type=int, default=5)
    parser.add_argument("--sampler", choices=("unipc", "euler"), help="default: the folder's")
    parser.add_argument("--schedule", choices=("diffusers", "native", "distilled"), default="diffusers")
    parser.add_argument("--shift", type=float, help="default: the folder's")
    parser.add_argument("--stages-only", action="store_true", help="leave out the engine's whole run")
    parser.add_argument("--stages-command", default=f"{CARGO} --features tokenizer --example stages --")
    parser.add_argument("--generate-command", default=f"{CARGO} --bin generate --")
    options = parser.parse_args()
    try:
        options.width, options.height = (int(side) for side in options.size.lower().split("x"))
    except ValueError:
        parser.error(f"--size is WxH, not {options.size}")
    if not (options.folder / "model_index.json").is_file():
        parser.error(f"{options.folder} has no model_index.json")
    return options


@torch.no_grad()
def reference(options):
    """Inputs and outputs of every stage by diffusers; one component in memory at a time."""
    folder, run = options.folder, {k: getattr(options, k) for k in ("prompt", "negative", "seed", "steps", "guidance")}
    run |= {"width": options.width, "height": options.height, "frames": options.frames}
    given, want = {}, {}

    pipe = wan.open_pipeline(folder, ("text_encoder",))
    rows = {}
    for branch, prompt in (("cond", options.prompt), ("uncond", options.negative)):
        given[f"ids.{branch}"] = wan.token_ids(pipe, prompt)
        rows[branch] = wan.encode(pipe, prompt)
        want[f"text.{branch}"] = rows[branch][: len(given[f"ids.{branch}"])]
    config = wan.vae_config(folder)
    if (options.frames - 1) % config.scale_factor_temporal:
        raise SystemExit(f"--frames {options.frames}: this VAE wants a multiple of {config.scale_factor_temporal}, and one")
    del pipe
    gc.collect()

    pipe = wan.open_pipeline(folder, ("transformer",))
    grids.choose(pipe, options.sampler, options.schedule, options.shift)
    pipe.scheduler.set_timesteps(options.steps)
    given["dit.latent"] = wan.noise(config.z_dim, run, config)
    given["dit.timestep"] = pipe.scheduler.timesteps[options.steps // 2 :][:1].float()
    for branch, text in rows.items():
        want[f"dit.{branch}"] = wan.velocity(pipe, given["dit.latent"], given["dit.timestep"], text)
    if not options.stages_only:
        want["latents"] = wan.sample(pipe, run, texts=(rows["cond"], rows["uncond"]))
    del pipe
    gc.collect()

    pipe = wan.open_pipeline(folder, ("vae",))
    given["vae.latent"] = want.get("latents", given["dit.latent"])
    want["vae.video"] = wan.decode(pipe, given["vae.latent"])
    return given, want


def engine_stages(options, given, scratch, *words):
    """The engine's output for the same inputs, from examples/stages.rs."""
    source, target = scratch / "in.safetensors", scratch / "out.safetensors"
    save_file({name: tensor.clone() for name, tensor in given.items()}, source)
    execute([*shlex.split(options.stages_command), str(options.folder.resolve()), str(source), str(target), *words])
    return load_file(target)


def engine_run(options, scratch):
    """(final latents, u8 frames) of a whole run of the binary."""
    latents, frames = scratch / "latents.safetensors", scratch / "frames"
    command = [*shlex.split(options.generate_command), "--prompt", options.prompt, "--negative-prompt", options.negative]
    command += ["--model", str(options.folder.resolve()), "--size", f"{options.width}x{options.height}"]
    command += ["--frames", options.frames, "--steps", options.steps, "--guidance", options.guidance]
    command += ["--seed", options.seed, "--save-latents", latents, "--output", f"{frames}/", "--schedule"]
    command += [options.schedule, "--zoom", 1, "--force", "--quiet"]
    for flag in ("sampler", "shift"):
        if getattr(options, flag) is not None:
            command += [f"--{flag}", getattr(options, flag)]
    execute([str(part) for part in command])
    files = sorted(frames.glob("*.png"))
    if not files:
        raise SystemExit("the engine wrote no PNG frames")
    return load_file(latents)["latents"], np.stack([np.asarray(Image.open(f).convert("RGB")) for f in files])


def execute(command):
    # The path that the binary prints is not part of the table.
    status = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL).returncode
    if status:
        raise SystemExit(f"exit code {status}: {shlex.join(command)}")


class Report:
    """Prints a line per judged figure and remembers whether one missed its bound."""

    def __init__(self):
        self.missed = 0

    def error(self, name, actual, expected, bound):
        if not torch.as_tensor(actual).isfinite().all():
            value = float("nan")
        else:
            value = wan.relative(actual, expected)
        self.line(name, "relative L2", f"{value:.2e}", bound and f"at most {bound:.0e}", bound is None or value <= bound)

    def share(self, name, actual, expected, bound):
        if actual.shape != expected.shape:
            raise SystemExit(f"{name}: frames of shape {actual.shape}, expected {expected.shape}")
        off = np.abs(actual.astype(int) - expected.astype(int))
        value = float((off <= 1).mean())
        detail = f"{100 * value:.4f} %"
        self.line(name, f"within 1/255 (largest {off.max()})", detail, f"at least {100 * bound:.1f} %", value >= bound)

    def line(self, name, what, value, bound, held):
        self.missed += not held
        verdict = ("ok" if held else "MISSED") if bound else "not judged"
        print(f"{name:12} {what:28} {value:>12}  {bound or '':18} {verdict}")


def main():
    options = arguments()
    given, want = reference(options)
    report = Report()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        got = engine_stages(options, given, scratch)
        for name in ("text.cond", "text.uncond", "dit.cond", "dit.uncond", "vae.video"):
            if name not in got:
                raise SystemExit(f"the engine's stages gave no {name}")
            report.error(name, got[name], want[name], DECODE if name == "vae.video" else STAGE)
        exact = engine_stages(options, {"vae.latent": given["vae.latent"]}, scratch, "exact-conv")
        report.error("  exact-conv", exact["vae.video"], want["vae.video"], STAGE)
        if not options.stages_only:
            latents, frames = engine_run(options, scratch)
            report.error("latents", latents, want["latents"], LATENTS if options.steps <= STEPS else None)
            report.share("pixels", frames, wan.pixels(want["vae.video"]), PIXELS)
    return 1 if report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
