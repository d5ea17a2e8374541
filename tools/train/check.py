"""Holds the training passes against diffusers' own classes, and the measuring and the fit against clips that are known.

    python -m train.check
"""

import torch
import torch.nn.functional as F

from . import autoencoder, generator, made, measure, render, scenes, state

SAME = 1e-5
# The encoder's last activation is linear but for this much.
POOLED = 0.05
# How far from its place an object may be found in the latents of a clip, in half widths.
OFF = 0.01


def _near(name: str, found: torch.Tensor, wanted: torch.Tensor) -> None:
    error = float((found - wanted).norm() / wanted.norm())
    print(f"{name:<12} relative L2 {error:.2e}")
    if not error < SAME:
        raise SystemExit(f"{name} differs from diffusers")


@torch.no_grad()
def main() -> None:
    """Checks all; ends with an error at the first that fails."""
    state.settle("cpu")
    random = state.generator(1)
    vae = autoencoder.build()
    world = scenes.sample(2, random)
    clip = render.render(world)
    away = float((vae.encode(clip).latent_dist.mean[:, : autoencoder.PICTURE] - autoencoder.pooled(clip)).abs().max())
    print(f"pooled       largest difference from the encoder {away:.3f}")
    if away > POOLED:
        raise SystemExit("the encoder does not compute what stage 2 keeps")
    for value in vae.parameters():
        value += 0.02 * torch.randn(value.shape, generator=random)
    clip = torch.rand(1, 3, 17, 64, 64, generator=random) * 2 - 1
    mean, log_variance = autoencoder.encode(vae, clip)
    wanted = vae.encode(clip).latent_dist
    _near("encoder", mean, wanted.mean)
    _near("variance", log_variance, wanted.logvar)
    _near("decoder", autoencoder.decode(vae, mean).clamp(-1, 1), vae.decode(mean).sample)

    model = generator.Generator()
    for value in model.parameters():
        value += 0.05 * torch.randn(value.shape, generator=random)
    ids, mask = generator.tokenize(["a red circle moving right on a blue background", "", "Star."])
    rows, bias = model.encode(ids, mask)
    for row, length in enumerate(mask.sum(1).tolist()):
        _near(f"text {row}", rows[row, :length], model.text(input_ids=ids[row : row + 1, :length]).last_hidden_state[0])
    latents, times = torch.randn(3, 20, 5, 8, 8, generator=random), torch.tensor([999.0, 500.0, 40.0])
    padded = F.pad(rows, (0, 0, 0, generator.TEXT_ROWS - rows.shape[1]))
    wanted = model.dit(latents, times, padded, return_dict=False)[0]
    _near("transformer", model.velocity(latents, times, rows, bias), wanted)

    world = scenes.sample(200, random, held_out=True)
    clips = torch.cat([render.render(world.pick(slice(at, at + 10))) for at in range(0, 200, 10)])
    shares = measure.score(clips, world)
    print("measured on drawn clips:", " ".join(f"{name} {share:.3f}" for name, share in shares.items()))
    if shares["all"] < 0.98:
        raise SystemExit("measure.py does not see what is drawn")

    world = scenes.sample(24, random, pairs=0.0)
    latent = torch.cat([autoencoder.pooled(render.render(world, 64), 4), autoencoder.marked(render.marks(world))], 1)
    with torch.enable_grad():
        fitted, _ = made.fit(latent, world, latent.std((0, 2, 3, 4), keepdim=True)[0])
    off = (fitted.path - world.path)[:, 0, :, :2].norm(dim=-1).mean(1)
    print(f"fitted       objects lie {float(off.median()):.4f} half widths from their places, {float(off.max()):.4f} at most")
    if off.median() > OFF:
        raise SystemExit("made.py does not find what is drawn")


if __name__ == "__main__":
    main()
