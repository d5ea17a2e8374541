"""Makes clips from prompts with the weights in training: diffusers' sampler, this package's forward passes."""

import torch
from diffusers import UniPCMultistepScheduler

from . import autoencoder, captions, generator, measure, scenes, state

SHIFT, STEPS, GUIDANCE = 3.0, 20, 4.0


def scheduler() -> UniPCMultistepScheduler:
    """The sampler as the checkpoint has it."""
    return UniPCMultistepScheduler(
        num_train_timesteps=1000, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=SHIFT,
        solver_order=2, solver_type="bh2", predict_x0=True, lower_order_final=True, final_sigmas_type="zero",
    )  # fmt: skip


@torch.no_grad()
def latents(model, texts: list[str], seed: int, steps: int = STEPS, guidance: float = GUIDANCE) -> torch.Tensor:
    """Normalised latents [N, 16, 5, 8, 8] of prompts; the unconditional branch is the empty prompt."""
    device = next(model.parameters()).device
    ids, mask = (tensor.to(device) for tensor in generator.tokenize([*texts, *[""] * len(texts)]))
    if guidance == 1.0:
        ids, mask = ids[: len(texts)], mask[: len(texts)]
    rows, bias = model.encode(ids, mask)
    x = torch.randn(len(texts), 16, 5, 8, 8, generator=state.generator(seed)).to(device)
    sampler = scheduler()
    sampler.set_timesteps(steps)
    for time in sampler.timesteps:
        copies = len(ids) // len(texts)
        v = model.velocity(x.repeat(copies, 1, 1, 1, 1), time.repeat(len(ids)).to(device), rows, bias)
        if copies == 2:
            told, empty = v.chunk(2)
            v = empty + guidance * (told - empty)
        x = sampler.step(v, time, x, return_dict=False)[0]
    return x


@torch.no_grad()
def clips(model, vae, mean, deviation, texts: list[str], seed: int, **options) -> torch.Tensor:
    """Clips [N, 3, 17, 128, 128] in -1..1 of prompts, on the CPU."""
    found = []
    for start in range(0, len(texts), 64):
        x = latents(model, texts[start : start + 64], seed + start, **options)
        x = x * deviation.to(x.device)[:, None, None, None] + mean.to(x.device)[:, None, None, None]
        found += [autoencoder.decode(vae, part).clamp(-1, 1).cpu() for part in x.split(8)]
    return torch.cat(found)


def evaluate(model, vae, mean, deviation, count: int, seed: int = 0, **options):
    """Shares of held-out plain prompts that come out right, the clips and their prompts."""
    wanted = scenes.sample(count, state.generator(11, seed), held_out=True)
    texts = [captions.prompt(wanted, row) for row in range(count)]
    made = clips(model, vae, mean, deviation, texts, seed, **options)
    return measure.score(made, wanted), made, texts
