"""Stage 1: trains the autoencoder's decoder on crops of the world, then on whole pictures.

    python -m train.vae --out STATE [--steps N] [--minutes M]

Trains the decoder; the encoder is set by hand (autoencoder.py) and stays. Loss: absolute difference of pixels and of
their differences to the neighbours (edges). Resumes from STATE/vae.pt; the same command goes on where it stopped.
"""

import time

import torch

from . import autoencoder, muon, render, scenes, state

EDGES = 1.0
# Noise on the latents, so that the decoder stands what the transformer gets slightly wrong.
NOISE = 0.02
SIDE = 128
# Where layers meet pictures and latents, and the norms: AdamW's, the other convolutions are Muon's.
OUTER = ("conv_in", "conv_out", "quant_conv", "gamma")


def batch(options, step: int, device: str) -> torch.Tensor:
    """The clips of a step: crops of 64 pixels mostly about an object, now and then whole pictures.

    At first single frames, twice as many, then 5 or 9 frames.
    """
    random = state.generator(options.seed, 1, step)
    single = step < options.images
    whole = step % 16 == 15 and not single
    count = max(1, options.batch // 8) if whole else options.batch * (2 if single else 1)
    frames = 1 if single else 9 if step % 4 == 1 else 5
    world = scenes.sample(count, random, pairs=0.4)
    if whole:
        return render.render(world.to(device), SIDE)
    first = torch.rand((), generator=random) < 0.5 and not single
    later = int(torch.randint(1, scenes.FRAMES + 1 - frames, (), generator=random))
    begin = 0 if first else later
    centre = (world.path[:, 0, begin + frames // 2, :2] + 1) * (SIDE / 2) - 32
    aside = (torch.rand(count, 2, generator=random) - 0.5) * 64
    anywhere = torch.rand(count, 2, generator=random) * 64
    corner = torch.where(torch.rand(count, 1, generator=random) < 0.8, centre + aside, anywhere)
    corner = corner.round().clamp(0, SIDE - 64)
    return render.render(world.to(device), SIDE, 64, corner, slice(begin, begin + frames))


def loss_of(vae, clips, latent):
    """The loss of the decoder on a batch, and its parts."""
    error = autoencoder.decode(vae, latent) - clips
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
        clips = render.render(world.pick(slice(part, part + 4)).to(device), SIDE)
        with torch.autocast(device, torch.bfloat16, enabled=autocast and state.narrow(device)):
            again = autoencoder.decode(vae, autoencoder.pooled(clips)).clamp(-1, 1)
        ratios.append(-10 * ((again - clips) / 2).square().mean((1, 2, 3, 4)).log10())
        pairs += [clips[0].cpu(), again[0].cpu()]
    return float(torch.cat(ratios).mean()), torch.stack(pairs)


def main() -> None:
    """Trains until the last step or until the time is over."""
    parser = state.arguments(__doc__, steps=4000, batch=8, rate=0.005, adam_rate=2e-4)
    parser.add_argument("--images", type=int, default=800, help="first steps, on single frames")
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
    optimizer = muon.Both(inner, outer, options.rate, options.adam_rate)
    average = state.Average(parameters, options.memory)
    step, path = 0, options.out / "vae.pt"
    if saved := state.load(path, device) or state.load(options.out / "vae.small.pt", device):
        average.values, step = {k: v.to(device).float() for k, v in saved["average"].items()}, saved["step"]
        state.fill(vae, saved.get("model", average.values))
        if "optimizer" in saved:
            optimizer.load_state_dict(saved["optimizer"])
    first = step
    log = state.Log(options.out / "vae.jsonl")
    fused = torch.compile(loss_of, dynamic=False) if options.compile else loss_of

    def keep():
        weights = {name: p.detach() for name, p in parameters.items()}
        common = {"average": average.values, "step": step}
        state.save(path, {"model": weights, "optimizer": optimizer.state_dict(), **common})

    def look():
        held = autoencoder.build().to(device)
        state.fill(held, average.values)
        ratio, pairs = psnr(held, device, autocast=True)
        state.sheet(pairs, options.out / "vae.png")
        log.add(step=step, psnr=ratio)
        log.draw("loss", options.out / "vae-loss.png")
        log.draw("psnr", options.out / "vae-psnr.png")

    start = saved_at = time.time()
    sums: dict[str, float] = {}
    end = start + 60 * options.minutes if options.minutes else float("inf")
    while step < options.steps and time.time() < end:
        clips = batch(options, step, device)
        latent = autoencoder.pooled(clips)
        random = state.generator(options.seed, 2, step, device=device)
        latent = latent + NOISE * torch.randn(latent.shape, device=device, generator=random)
        with torch.autocast(device, torch.bfloat16, enabled=state.narrow(device)):
            loss, parts = (fused if clips.shape[-1] < SIDE else loss_of)(vae, clips, latent)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(outer, 1.0)
        optimizer.step(state.factor_at(step, options, first))
        average.update(parameters, step)
        step += 1
        for key, value in {"loss": loss, **parts}.items():
            sums[key] = sums.get(key, 0.0) + value.detach()
        if step % 20 == 0:
            if not options.compile:  # another number of threads is compiled anew
                state.share(device, options.threads)
            log.add(step=step, **{k: float(v) / 20 for k, v in sums.items()}, seconds=round(time.time() - start, 1))
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
