"""Stage 1: trains the autoencoder's decoder on crops of the world, now and then on whole pictures.

    python -m train.vae --out STATE [--steps N] [--minutes M]

Trains the decoder; the encoder is set by hand (autoencoder.py) and stays. Loss: absolute difference of pixels and of
their differences to the neighbours (edges). Resumes from STATE/vae.pt; the same command goes on where it stopped.

The transformer's pictures are less clear than the encoder's: a star may come out as something between a star and a
triangle. What shape it is, the marks say; so most pictures here are spoilt on the way to the decoder, mixed with those
of the same scene in other shapes and blurred, and the marks are what it can rely on. With `--made` every other step sees the
transformer's own clips, with its faults, and the scenes that they show (STATE/made, made.py).
"""

import dataclasses
import pathlib
import time

import torch
import torch.nn.functional as F

from . import autoencoder, made, muon, render, scenes, state

EDGES = 1.0
# Noise on the latents at most, so that the decoder stands what the transformer gets slightly wrong.
NOISE = 0.06
# The share of clips whose pictures are spoilt.
SPOILT = 0.7
# Marks are up to this much larger than drawn.
LOUD = 1.5
SIDE = 128
# With --made: the side of crops.
AROUND = 80
# Of the decoder, at most steps: after three of five a picture has a quarter of its side.
LEVELS = 3
# Where layers meet pictures and latents, and the norms: AdamW's, the other convolutions are Muon's.
OUTER = ("conv_in", "conv_out", "quant_conv", "gamma")


def batch(options, step: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The clips and the latents of a step: crops of 64 pixels mostly about an object, now and then whole clips.

    At first single frames alone; then these, a fifth of the work, at every other step, and in turn 5 or 9 frames of a
    quarter or an eighth as many.
    """
    random = state.generator(options.seed, 1, step)
    single = step < options.images or step % 2 == 0
    whole = step % 64 == 63 and not single
    count, frames = (options.batch, 1) if single else (options.batch // 4, 5) if step % 4 == 1 else (options.batch // 8, 9)
    count = 1 if whole else count
    world = scenes.sample(count, random, pairs=0.4)
    first = torch.rand((), generator=random) < 0.5 and frames > 1
    later = int(torch.randint(1, scenes.FRAMES + 1 - frames, (), generator=random))
    begin = 0 if first else later
    centre = (world.path[:, 0, begin + frames // 2, :2] + 1) * (SIDE / 2) - 32
    aside = (torch.rand(count, 2, generator=random) - 0.5) * 40
    anywhere = torch.rand(count, 2, generator=random) * 64
    corner = torch.where(torch.rand(count, 1, generator=random) < 0.8, centre + aside, anywhere)
    corner = corner.round().clamp(0, SIDE - 64).to(device)
    others = torch.randint(5, (count, 2), generator=random)
    world = world.to(device)

    def look(draw, world, side):
        if whole:
            return draw(world, side)
        return draw(world, side, side // 2, corner * side / SIDE, slice(begin, begin + frames))

    clips = look(render.render, world, SIDE)
    mark = autoencoder.marked(look(render.marks, world, SIDE // 4))
    other = look(render.render, dataclasses.replace(world, shape=others.to(device)), SIDE // 2)
    picture = spoil(autoencoder.pooled(clips), autoencoder.pooled(other, 4), random)
    # Guidance makes marks larger than drawn ones.
    loud = 1 + LOUD * torch.rand(count, 1, 1, 1, 1, generator=random).to(device)
    latent = torch.cat([picture, loud * mark], 1)
    strength = NOISE * torch.rand(count, 1, 1, 1, 1, generator=random)
    return clips, latent + (strength * torch.randn(latent.shape, generator=random)).to(device)


def spoil(picture, other, random):
    """Pictures, most of them mixed with or replaced by those of the same scenes in `other` shapes, and blurred."""

    def uniform():
        return torch.rand(len(picture), 1, 1, 1, 1, generator=random).to(picture.device)

    spoilt = uniform() < SPOILT
    mixed = torch.lerp(picture, other, (2 * uniform()).clamp(max=1) * spoilt)
    flat = F.pad(mixed.flatten(1, 2), (1, 1, 1, 1), mode="replicate")
    blurred = F.avg_pool2d(flat, 3, 1).view_as(mixed)
    return torch.lerp(mixed, blurred, uniform() * uniform() * spoilt)


class Made:
    """Clips as the transformer makes them, with the pictures of what they show (made.py)."""

    def __init__(self, out: pathlib.Path, device: str):
        self.latents, self.world = made.read(out, device)

    def batch(self, options, step: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Crops of `AROUND` pixels, about where an object is at some time, and their latents."""
        random = state.generator(options.seed, 9, step)
        count, cells = options.batch // 8, AROUND // 16
        rows = torch.randint(len(self.latents), (count,), generator=random)
        world = self.world.pick(rows.to(device))
        frame = torch.randint(scenes.FRAMES, (count,), generator=random)
        centre = (world.path[torch.arange(count), 0, frame.to(device), :2].cpu() + 1) * (SIDE / 32)
        aside = 2 * torch.rand(count, 2, generator=random) - 1
        corner = (centre - cells / 2 + aside).round().clamp(0, SIDE // 16 - cells).int()
        clips = render.render(world, SIDE, AROUND, 16 * corner)
        latents = self.latents[rows.to(device)]
        parts = [part[..., y : y + cells, x : x + cells] for part, (x, y) in zip(latents, corner.tolist())]
        return clips, torch.stack(parts)


class Shallow(torch.nn.Module):
    """Reads pictures of a quarter of the side off the decoder's features after three of five levels.

    There shapes are decided, at a fraction of the work; training goes there at most steps.
    """

    def __init__(self, vae):
        super().__init__()
        self.read = torch.nn.Conv3d(vae.decoder.up_blocks[LEVELS - 1].resnets[-1].conv2.out_channels, 3, 1)

    def forward(self, vae, latent):
        """Clips [B, 3, T, H/4, W/4]."""
        return self.read(autoencoder.decode(vae, latent, LEVELS))


def loss_of(vae, clips, latent, shallow=None):
    """The loss of the decoder on a batch, and its parts; of the first levels alone, read by `shallow`."""
    if shallow is None:
        error = autoencoder.decode(vae, latent) - clips
    else:
        error = shallow(vae, latent) - F.avg_pool3d(clips, (1, 4, 4))
    pixels = error.abs().mean()
    axes = [axis for axis in (2, 3, 4) if error.shape[axis] > 1]
    edges = sum(error.diff(dim=axis).abs().mean() for axis in axes) / 3
    return pixels + EDGES * edges, {"pixels": pixels, "edges": edges, "mse": error.square().mean()}


@torch.no_grad()
def psnr(vae, device: str, count: int = 16, autocast: bool = False) -> tuple[float, torch.Tensor]:
    """Mean PSNR in dB of whole pictures of held-out scenes from their latents, and the pairs for a sheet."""
    world = scenes.sample(count, state.generator(7, 7), held_out=True)
    ratios, pairs = [], []
    for part in range(0, count, 4):
        some = world.pick(slice(part, part + 4)).to(device)
        clips = render.render(some, SIDE)
        latent = torch.cat([autoencoder.pooled(clips), autoencoder.marked(render.marks(some))], 1)
        with torch.autocast(device, torch.bfloat16, enabled=autocast and state.narrow(device)):
            again = autoencoder.decode(vae, latent).clamp(-1, 1)
        ratios.append(-10 * ((again - clips) / 2).square().mean((1, 2, 3, 4)).log10())
        pairs += [clips[0].cpu(), again[0].cpu()]
    return float(torch.cat(ratios).mean()), torch.stack(pairs)


def main() -> None:
    """Trains until the last step or until the time is over."""
    parser = state.arguments(__doc__, steps=4000, batch=32, rate=0.005, adam_rate=2e-4)
    parser.add_argument("--images", type=int, default=800, help="first steps, on single frames")
    parser.add_argument("--deep-every", type=int, default=4, help="one step of so many goes through all levels")
    parser.add_argument("--made", action="store_true", help="every other step sees the transformer's own clips")
    options = parser.parse_args()
    device = options.device
    state.settle(device, options.threads)
    state.share(device, options.threads)
    vae = autoencoder.build(options.seed).to(device)
    vae.encoder.requires_grad_(False), vae.quant_conv.requires_grad_(False)
    parameters = {name: p for name, p in vae.named_parameters() if p.requires_grad}
    inner = [p for name, p in parameters.items() if p.ndim >= 4 and not any(part in name for part in OUTER)]
    chosen = {id(p) for p in inner}
    outer = [p for p in parameters.values() if id(p) not in chosen]
    shallow = Shallow(vae).to(device)
    outer += shallow.parameters()
    optimizer = muon.Both(inner, outer, options.rate, options.adam_rate)
    average = state.Average(parameters, options.memory)
    step, path = 0, options.out / "vae.pt"
    if saved := state.load(path, device) or state.load(options.out / "vae.small.pt", device):
        average.values, step = {k: saved["average"][k].to(device).float() for k in parameters}, saved["step"]
        state.fill(vae, saved.get("model", average.values))
        shallow.load_state_dict(saved.get("shallow", shallow.state_dict()))
        if "optimizer" in saved:
            optimizer.load_state_dict(saved["optimizer"])
    first = step
    own = Made(options.out, device) if options.made else None
    log = state.Log(options.out / "vae.jsonl")
    fused = torch.compile(loss_of, dynamic=False) if options.compile else loss_of

    def keep():
        weights = {name: p.detach() for name, p in parameters.items()}
        common = {"average": average.values, "step": step, "shallow": shallow.state_dict()}
        state.save(path, {"model": weights, "optimizer": optimizer.state_dict(), **common})

    def look():
        held = autoencoder.build().to(device)
        state.fill(held, average.values)
        ratio, pairs = psnr(held, device, autocast=True)
        state.sheet(pairs, options.out / "vae.png")
        log.add(step=step, psnr=ratio)
        log.draw("deep 1 loss", options.out / "vae-loss.png")
        log.draw("psnr", options.out / "vae-psnr.png")

    start = saved_at = time.time()
    sums: dict[str, list[torch.Tensor]] = {}
    end = start + 60 * options.minutes if options.minutes else float("inf")
    while step < options.steps and time.time() < end:
        if own and step % 2:
            clips, latent = own.batch(options, step, device)
        else:
            clips, latent = batch(options, step // 2 if own else step, device)
        with torch.autocast(device, torch.bfloat16, enabled=state.narrow(device)):
            deep = step >= options.images and step // 4 % options.deep_every == 0
            loss, parts = (fused if clips.shape[-1] < SIDE else loss_of)(vae, clips, latent, None if deep else shallow)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(outer, 1.0)
        optimizer.step(state.factor_at(step, options, first))
        average.update(parameters, step)
        step += 1
        kind = f"{'deep' if deep else 'shallow'} {clips.shape[2]}"
        for key, value in {"loss": loss, **parts}.items():
            sums.setdefault(f"{kind} {key}", []).append(value.detach())
        if step % 80 == 0:
            if not options.compile:  # another number of threads is compiled anew
                state.share(device, options.threads)
            log.add(step=step, **{k: float(torch.stack(v).mean()) for k, v in sums.items()}, seconds=round(time.time() - start, 1))
            sums = {}
        if step % options.sheet_every == 0:
            look()
        if time.time() - saved_at > options.save_minutes * 60:
            keep()
            saved_at = time.time()
    keep()
    if options.small:
        half = {name: value.half() for name, value in average.values.items()}
        state.save(options.out / "vae.small.pt", {"average": half, "step": step})
    look()


if __name__ == "__main__":
    main()
