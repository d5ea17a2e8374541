"""Writes tests/fixtures/conditions.safetensors: runs with a clean first latent frame, with a second transformer and with
more channels, computed by diffusers' transformer and UniPC scheduler on the weights of fixture b.

    python conditions.py

The second transformer is the first with its two blocks exchanged; the one that reads more channels has the kernels of its
first four a second time. So no further weights are stored.
"""

import json
import pathlib

import together  # noqa: F401

import torch
from diffusers import UniPCMultistepScheduler, WanTransformer3DModel
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "fixtures"
FOLDER = ROOT / "checkpoints" / "b"
SHAPE, STEPS, BOUNDARY, GUIDANCE, MORE = (16, 3, 4, 6), 5, 0.9, (5.0, 3.0), 4


def state():
    return {name: t.float() for name, t in load_file(FOLDER / "transformer/diffusion_pytorch_model.safetensors").items()}


def model(state, **change):
    config = json.loads((FOLDER / "transformer/config.json").read_text())
    model = WanTransformer3DModel.from_config(config | change)
    model.load_state_dict(state)
    return model.eval().float()


def exchanged(state):
    other = {"0": "1", "1": "0"}
    swap = lambda name: f"blocks.{other[name.split('.')[1]]}.{name.split('.', 2)[2]}" if name.startswith("blocks.") else name
    return {swap(name): t for name, t in state.items()}


def widened(state):
    kernel = state["patch_embedding.weight"]
    return state | {"patch_embedding.weight": torch.cat([kernel, kernel[:, :MORE]], dim=1)}


@torch.no_grad()
def sample(models, noise, texts, clean=None, channels=None):
    """What WanPipeline and WanImageToVideoPipeline do with these, latents [C, T, H, W]."""
    scheduler = UniPCMultistepScheduler.from_pretrained(FOLDER / "scheduler")
    scheduler.set_timesteps(STEPS)
    mask = torch.ones(SHAPE[1:])
    if clean is not None:
        mask[0] = 0
    x = noise[None]
    for t in scheduler.timesteps:
        which = 1 if len(models) > 1 and t < BOUNDARY * 1000 else 0
        given = x if clean is None else (1 - mask) * clean[None] + mask * x
        given = given if channels is None else torch.cat([given, channels[None]], dim=1)
        time = t[None] if clean is None else (mask[:, ::2, ::2] * t).flatten()[None]
        cond, uncond = [models[which](given, time, text[None], return_dict=False)[0] for text in texts]
        x = scheduler.step(uncond + GUIDANCE[which] * (cond - uncond), t, x, return_dict=False)[0]
    x = x if clean is None else (1 - mask) * clean[None] + mask * x
    return x[0].contiguous()


def main():
    golden = load_file(ROOT / "golden" / "b.safetensors")
    texts = [golden[f"text.{branch}"].float() for branch in ("cond", "uncond")]
    padded = [torch.cat([text, torch.zeros(512 - len(text), text.shape[1])]) for text in texts]
    generator = torch.Generator("cpu").manual_seed(20)
    noise, clean = [torch.randn(SHAPE, generator=generator) for _ in range(2)]
    channels = torch.randn((MORE, *SHAPE[1:]), generator=generator)
    first = state()
    one, two = model(first), model(exchanged(first))
    wide = model(widened(first), in_channels=SHAPE[0] + MORE)
    save_file(
        {
            "noise": noise,
            "clean": clean,
            "channels": channels,
            "latents.clean": sample([one], noise, padded, clean=clean),
            "latents.experts": sample([one, two], noise, padded),
            "latents.both": sample([one, two], noise, padded, clean=clean),
            "latents.channels": sample([wide], noise, padded, channels=channels),
        },
        ROOT / "conditions.safetensors",
        metadata={"steps": str(STEPS), "boundary": str(BOUNDARY), "guidance": json.dumps(GUIDANCE)},
    )


main()
