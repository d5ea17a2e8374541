"""Makes clips from prompts with the weights in training: diffusers' sampler, this package's forward passes.

    python -m train.sample --out STATE [--count N] [--guidance G] [--steps T]

Measures held-out prompts and writes STATE/held-out.png, a row for each of the first dozen.
"""

import argparse
import pathlib

import torch
from diffusers import UniPCMultistepScheduler

from . import autoencoder, captions, generator, measure, scenes, state
from . import latents as stored

SHIFT, STEPS, GUIDANCE = 3.0, 20, 3.0


def scheduler() -> UniPCMultistepScheduler:
    """The sampler as the checkpoint has it."""
    return UniPCMultistepScheduler(
        num_train_timesteps=1000, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=SHIFT,
        solver_order=2, solver_type="bh2", predict_x0=True, lower_order_final=True, final_sigmas_type="zero",
    )  # fmt: skip


@torch.no_grad()
def latents(model, texts: list[str], seed: int, steps: int = STEPS, guidance: float = GUIDANCE) -> torch.Tensor:
    """Normalised latents [N, 20, 5, 8, 8] of prompts; the unconditional branch is the empty prompt."""
    device = next(model.parameters()).device
    ids, mask = (tensor.to(device) for tensor in generator.tokenize([*texts, *[""] * len(texts)]))
    if guidance == 1.0:
        ids, mask = ids[: len(texts)], mask[: len(texts)]
    rows, bias = model.encode(ids, mask)
    x = torch.randn(len(texts), 20, 5, 8, 8, generator=state.generator(seed)).to(device)
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


def main() -> None:
    """Measures the averaged weights of a state."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    state.settle(options.device)
    state.share(options.device)
    saved = state.load(options.out / "text_dit.pt") or state.load(options.out / "text_dit.small.pt")
    if saved is None:
        raise SystemExit(f"{options.out} has no text_dit.pt: run `python -m train.text_dit --out {options.out}`")
    model = generator.Generator().to(options.device).eval()
    state.fill(model, saved["average"])
    vae = stored.trained(options.out, options.device)
    choice = {"steps": options.steps, "guidance": options.guidance}
    shares, made, texts = evaluate(model, vae, saved["mean"], saved["deviation"], options.count, **choice)
    print(f"step {saved['step']}", " ".join(f"{name} {share:.3f}" for name, share in shares.items()))
    state.sheet(made[:12], options.out / "held-out.png", labels=texts[:12])


if __name__ == "__main__":
    main()
