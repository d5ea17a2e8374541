"""Stage 4: has the transformer make clips and finds out which scenes they show, for the decoder's last lessons.

    python -m train.made --out STATE [--count N]

Latents that the transformer makes are not quite those of any clip; where things move fast, least of all. To draw them
sharply nevertheless, the decoder needs to be told what they show: each prompt's scene is fitted to its latents, in its
place, size, way and colours, by gradients through the drawing. Writes shards STATE/made/NNNN.pt, each made from its
number alone; those that are there are left. Remove them when the transformer has learnt more.
"""

import argparse
import dataclasses
import math
import pathlib
import time

import torch
import torch.nn.functional as F

from . import autoencoder, captions, generator, render, sample, scenes, state, words

T = scenes.FRAMES
# Scenes are drawn so small for the fit, with marks of half of that.
SIDE = 32
ROUNDS = 45
RATE, COLOUR_RATE = 0.03, 0.01
# Colours stay so near to their names'.
NEAR = 0.05
SHARD = 50
# Sampling steps; more change little.
STEPS = 12
# Of so many scenes one is taken, rather one that moves to and fro, or a star: they come out wrong most often.
HARD = 8
TURNS = torch.linspace(0.25, 1.4, 24)
BOUNCES = torch.linspace(0.7, 2.4, 35)
PHASES = torch.arange(32) / 32


def seen() -> torch.Tensor:
    """How much each frame counts in a latent's mean, [5, 17]."""
    frames = torch.eye(T)[None, :, :, None, None]
    return autoencoder.marked(frames, 1)[0, :, :, 0, 0].T


def places(latent: torch.Tensor, shape: torch.Tensor):
    """Centres [B, 5, 2] and radii [B, 5] of the objects in a clip's latents, from the marks of their shapes."""
    corner = torch.tensor(render.MARKS)[shape]
    mark = torch.einsum("bcthw,bc->bthw", latent[:, autoencoder.PICTURE :], corner) / corner.square().sum(1)[:, None, None, None]
    mark = (mark - 0.15).clamp(0, 1)
    area = mark.sum((2, 3)).clamp(min=1e-3)
    line = (torch.arange(8) + 0.5) / 4 - 1
    x, y = (mark.sum(2) * line).sum(-1) / area, (mark.sum(3) * line).sum(-1) / area
    return torch.stack([x, y], -1), (area / 16 / math.pi).sqrt() / scenes.EXTENT


def _solve(matrix, goal):
    """What brings each of the matrices [G, n, k] nearest to each of the goals [B, n]: [B, G, k], and the squares left."""
    found = torch.einsum("gij,bj->bgi", torch.linalg.pinv(matrix), goal)
    return found, (torch.einsum("gij,bgj->bgi", matrix, found) - goal[:, None]).square().sum(-1)


class Paths(torch.nn.Module):
    """Paths by a few numbers for each clip: a straight way, a circle or a bounce, and how the size changes.

    In `turn`: for circles radius, turns and phase; for bounces height, how many and phase.
    """

    def __init__(self, motion, centres, radii):
        super().__init__()
        weights, t = seen(), torch.linspace(0, 1, T)
        self.motion = motion
        mean = centres.mean(1)
        late = weights @ (t - 0.5)
        slope = ((centres - mean[:, None]) * late[:, None]).sum(1) / late.square().sum()
        size = radii.clamp(0.1, 0.7).log()
        swell = ((size - size.mean(1, keepdim=True)) * late).sum(1) / late.square().sum()
        turn, middle = self.circles(weights, t, centres)
        hops, floor = self.bounces(weights, t, centres)
        circling, bouncing = (motion == scenes.CIRCLING)[:, None], (motion == scenes.BOUNCING)[:, None]
        middle = torch.where(circling, middle, torch.where(bouncing, torch.stack([mean[:, 0], floor], 1), mean))
        self.middle = torch.nn.Parameter(middle)
        self.slope = torch.nn.Parameter(slope * (motion <= scenes.DOWN)[:, None])
        self.turn = torch.nn.Parameter(torch.where(circling, turn, hops))
        self.size = torch.nn.Parameter(size.mean(1))
        swells = (motion == scenes.GROWING) | (motion == scenes.SHRINKING)
        self.swell = torch.nn.Parameter(swell * swells)
        self.register_buffer("swells", swells)

    @staticmethod
    def circles(weights, t, centres):
        """The circles nearest to centres seen at five times: of each number of turns by least squares, then the best."""
        turns = torch.cat([TURNS, -TURNS])
        cos, sin = (weights @ f(2 * math.pi * turns[:, None] * t).T for f in (torch.cos, torch.sin))  # [5, G]
        one, none = torch.ones_like(cos), torch.zeros_like(cos)
        rows_x, rows_y = torch.stack([one, none, cos, -sin], -1), torch.stack([none, one, sin, cos], -1)
        matrix = torch.cat([rows_x, rows_y]).transpose(0, 1)  # [G, 10, 4]
        goal = torch.cat([centres[..., 0], centres[..., 1]], 1)  # [B, 10]
        found, left = _solve(matrix, goal)
        wide = found[..., 2].hypot(found[..., 3])
        best = (left + (wide - 0.55).clamp(min=0).square()).argmin(1)
        rows = torch.arange(len(goal))
        found = found[rows, best]
        phase = torch.atan2(found[:, 3], found[:, 2]) / (2 * math.pi)
        return torch.stack([found[:, 2].hypot(found[:, 3]), turns[best], phase], 1), found[:, :2]

    @staticmethod
    def bounces(weights, t, centres):
        """The bounces nearest to centres seen at five times, in the same way."""
        many, phase = (part.flatten() for part in torch.meshgrid(BOUNCES, PHASES, indexing="ij"))
        u = (many[:, None] * t + phase[:, None]) % 1
        hop = (weights @ (4 * u * (1 - u)).T).T  # [G, 5]
        matrix = torch.stack([torch.ones_like(hop), -hop], -1)
        goal = centres[..., 1]
        found, left = _solve(matrix, goal)
        high = found[..., 1]
        best = (left + (high - 1.4).clamp(min=0).square() + (0.5 - high).clamp(min=0).square()).argmin(1)
        rows = torch.arange(len(goal))
        return torch.stack([high[rows, best], many[best], phase[best]], 1), found[rows, best, 0]

    def forward(self) -> torch.Tensor:
        """Centres and radii, [B, 17, 3]."""
        t = torch.linspace(0, 1, T)
        way = self.middle[:, None] + self.slope[:, None] * (t - 0.5)[:, None]
        wide, many, phase = (part[:, None] for part in self.turn.unbind(1))
        angle = 2 * math.pi * (many * t + phase)
        circle = self.middle[:, None] + wide[..., None] * torch.stack([angle.cos(), angle.sin()], -1)
        u = (many * t + phase) % 1
        hop = torch.stack([self.middle[:, :1].expand(-1, T), self.middle[:, 1:] - wide * 4 * u * (1 - u)], -1)
        motion = self.motion[:, None, None]
        centre = torch.where(motion == scenes.CIRCLING, circle, torch.where(motion == scenes.BOUNCING, hop, way))
        radius = (self.size[:, None] + (self.swell * self.swells)[:, None] * (t - 0.5)).exp()
        return torch.cat([centre, radius[..., None]], -1)


def fit(latent: torch.Tensor, world: scenes.Scenes, deviation: torch.Tensor, rounds: int = ROUNDS):
    """The scenes of single objects, fitted to latents [B, 20, 5, 8, 8], and what is left of each in deviations."""
    paths = Paths(world.motion[:, 0], *places(latent, world.shape[:, 0]))
    named = {name: getattr(world, name) for name in ("ink", "ground", "slope", "angle")}
    free = {name: torch.nn.Parameter(value.clone()) for name, value in named.items()}
    optimizer = torch.optim.Adam([{"params": paths.parameters()}, {"params": free.values()}])
    for round in range(rounds):
        for group, rate in zip(optimizer.param_groups, (RATE, COLOUR_RATE)):
            group["lr"] = rate * min(1.0, 2 * (1 - round / rounds))
        fitted = dataclasses.replace(world, path=paths()[:, None].expand(-1, 2, -1, -1), **free)
        picture = autoencoder.pooled(render.render(fitted, SIDE), SIDE // 16)
        drawn = torch.cat([picture, autoencoder.marked(render.marks(fitted, SIDE // 2), SIDE // 16)], 1)
        left = F.smooth_l1_loss(drawn / deviation, latent / deviation, reduction="none", beta=0.5).mean((1, 2, 3, 4))
        optimizer.zero_grad()
        left.sum().backward()
        optimizer.step()
        with torch.no_grad():
            for name, value in named.items():
                free[name].copy_(free[name].clamp(value - NEAR, value + NEAR))
    still = {name: getattr(fitted, name).detach().contiguous() for name in ("path", *free)}
    return dataclasses.replace(fitted, **still), left.detach()


def shard(model, mean, deviation, seed: int, number: int) -> dict:
    """The latents and the fitted scenes of one shard, half of them of prompts that tell neither size nor speed."""
    random = state.generator(seed, 9, number)
    world = scenes.sample(HARD * SHARD, random, pairs=0.0)
    weight = 1.0 + world.to_and_fro() + (world.shape[:, 0] == words.SHAPES.index("star"))
    world = world.pick(torch.multinomial(weight, SHARD, generator=random))
    world.size[::2], world.speed[::2] = 1, 1
    texts = [captions.prompt(world, row) for row in range(SHARD)]
    made = sample.latents(model, texts, int(torch.randint(1 << 30, (), generator=random)), steps=STEPS)
    made = made * deviation + mean
    fitted, left = fit(made, world, deviation)
    kept = {f.name: getattr(fitted, f.name) for f in dataclasses.fields(fitted)}
    return {"latents": made.half(), "left": left, **kept}


def read(out: pathlib.Path, device: str, most: float = 0.9):
    """The latents, as they are, and scenes of all shards but those that were fitted worst."""
    files = sorted((out / "made").glob("*.pt"))
    if not files:
        raise SystemExit(f"{out}/made is empty: run `python -m train.made --out {out}` first")
    parts = [torch.load(file, map_location=device, weights_only=True) for file in files]
    left, made = (torch.cat([part[name] for part in parts]) for name in ("left", "latents"))
    world = scenes.Scenes(**{f.name: torch.cat([part[f.name] for part in parts]) for f in dataclasses.fields(scenes.Scenes)})
    good = left <= left.quantile(most)
    return made[good].float(), world.pick(good)


def main() -> None:
    """Makes the shards that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--count", type=int, default=1000, help="clips in all, by shards of 50")
    parser.add_argument("--first", type=int, default=0, help="shard to begin with, where several processes share the work")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    state.settle("cpu", options.threads)
    saved = state.load(options.out / "text_dit.pt")
    if saved is None:
        raise SystemExit(f"{options.out} has no text_dit.pt: run `python -m train.text_dit --out {options.out}`")
    model = generator.Generator().eval()
    state.fill(model, saved["average"])
    mean, deviation = (saved[key][:, None, None, None] for key in ("mean", "deviation"))
    start = time.time()
    for number in range(options.first, options.count // SHARD):
        path = options.out / "made" / f"{number:04}.pt"
        if path.exists():
            continue
        found = shard(model, mean, deviation, options.seed, number)
        state.save(path, found)
        left = found["left"]
        print(f"shard {number}, left {left.mean():.4f}, at most {left.max():.4f}, {time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
