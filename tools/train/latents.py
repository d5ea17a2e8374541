"""Stage 2: draws clips of the world and keeps their latents for the transformer's training.

    python -m train.latents --out STATE [--count N] [--minutes M]

Writes shards STATE/latents/NNNN.pt, each made from its number alone; those that are there are left, so that more can
be added. The encoder is fixed, so this stage needs nothing of stage 1.
"""

import argparse
import dataclasses
import pathlib
import time

import torch

from . import autoencoder, render, scenes, state

SHARD = 1000
# Kept of a scene for its captions; where its objects are is in the latents.
KEPT = [f.name for f in dataclasses.fields(scenes.Scenes) if f.name != "path"]


def trained(out: pathlib.Path, device: str, untrained: bool = False):
    """The autoencoder with the averaged weights of stage 1 as far as that is; before it, as it starts, if allowed."""
    vae = autoencoder.build().to(device).eval().requires_grad_(False)
    saved = state.load(out / "vae.pt", device) or state.load(out / "vae.small.pt", device)
    if saved is None and untrained:
        return vae
    if saved is None:
        raise SystemExit(f"{out} has no vae.pt: run `python -m train.vae --out {out}` first")
    state.fill(vae, saved["average"])
    if seen := state.load(out / "encoder.pt", device):  # stage 1b, which nothing but an export waits for
        state.fill(vae, seen["average"])
    return vae


@torch.no_grad()
def shard(number: int, seed: int, device: str, batch: int) -> dict:
    """The scenes and latents of one shard."""
    world = scenes.sample(SHARD, state.generator(seed, 5, number), pairs=0.15)
    found = []
    for start in range(0, SHARD, batch):
        # Drawn at half the size, a quarter of the work: the means of quarters differ by 0.001.
        part = world.pick(slice(start, start + batch)).to(device)
        picture, mark = autoencoder.pooled(render.render(part, side=64), 4), autoencoder.marked(render.marks(part))
        found.append(torch.cat([picture, mark], 1).to("cpu", torch.float16))
    return {"latents": torch.cat(found), **{name: getattr(world, name) for name in KEPT}}


def read(out: pathlib.Path):
    """All shards: latents [N, 20, 5, 8, 8] in f16, their scenes, mean and deviation of each channel."""
    files = sorted((out / "latents").glob("*.pt"))
    if not files:
        raise SystemExit(f"{out}/latents is empty: run `python -m train.latents --out {out}` first")
    parts = [torch.load(file, weights_only=True) for file in files]
    latents = torch.cat([part["latents"] for part in parts])
    kept = {name: torch.cat([part[name] for part in parts]) for name in KEPT}
    world = scenes.Scenes(path=torch.zeros(len(latents), 2, 0, 3), **kept)
    # The first shard alone, so that more shards do not move the scale that training has seen.
    first = parts[0]["latents"].float()
    mean, deviation = first.mean((0, 2, 3, 4)), first.std((0, 2, 3, 4))
    return latents, world, mean, deviation


def main() -> None:
    """Makes the shards that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--count", type=int, default=20000, help="clips in all, by shards of 1000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--minutes", type=float, help="stop after this time")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    state.settle(options.device)
    start = time.time()
    for number in range(-(-options.count // SHARD)):
        path = options.out / "latents" / f"{number:04}.pt"
        if options.minutes and time.time() - start > options.minutes * 60:
            break
        if not path.exists():
            state.save(path, shard(number, options.seed, options.device, options.batch))
            print(f"shard {number}, {time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
