"""Stage 1b: trains the part of the encoder that is not set by hand: where objects are, and of which shape.

    python -m train.recognise --out STATE [--steps N] [--minutes M]

Four channels of a latent are marks (render.marks): discs in place of the objects, for each shape its own corner of a
simplex. The encoder learns to see them, by squared differences; what is set by hand stays as it is. The transformer is
trained on the marks as drawn, so that nothing waits for this stage. Resumes from STATE/encoder.pt.
"""

import time

import torch

from . import autoencoder, muon, render, scenes, state
from . import vae as vae_stage


def batch(options, step: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips of a step and their marks: mostly single frames, every fourth time a few of 5 or 9 frames."""
    random = state.generator(options.seed, 8, step)
    moving = step % 4 == 3
    world = scenes.sample(options.batch // 8 if moving else options.batch, random, pairs=0.4).to(device)
    frames = 1 if not moving else 5 if step % 8 == 3 else 9
    begin = int(torch.randint(0, scenes.FRAMES + 1 - frames, (), generator=random))
    piece = slice(begin, begin + frames)
    clips = render.render(world, frames=piece)
    return clips, autoencoder.marked(render.marks(world, frames=piece))


def loss_of(vae, clips, wanted) -> torch.Tensor:
    """Squared difference of the marks, in units of what is to be explained."""
    found = autoencoder.encode(vae, clips)[0][:, autoencoder.PICTURE :]
    return (found - wanted).square().mean() / wanted.square().mean()


@torch.no_grad()
def score(vae, device: str, count: int = 60) -> dict[str, float]:
    """On whole clips of held-out scenes: the error left, and how often the mark of an object is nearest to its own."""
    world = scenes.sample(count, state.generator(7, 9), held_out=True)
    corners = torch.tensor(render.MARKS, device=device)
    right, losses = [], []
    for at in range(0, count, 4):
        some = world.pick(slice(at, at + 4)).to(device)
        clips, wanted = render.render(some), autoencoder.marked(render.marks(some))
        found = autoencoder.encode(vae, clips)[0][:, autoencoder.PICTURE :]
        losses.append((found - wanted).square().mean() / wanted.square().mean())
        where = wanted.norm(dim=1, keepdim=True)
        mean = (found * where).sum((2, 3, 4))
        right.append((mean @ corners.T).argmax(1) == some.shape[:, 0])
    return {"left": float(torch.stack(losses).mean()), "right": float(torch.cat(right).float().mean())}


def main() -> None:
    """Trains until the last step or until the time is over."""
    parser = state.arguments(__doc__, steps=3000, batch=32, rate=0.01, adam_rate=2e-3)
    options = parser.parse_args()
    device = options.device
    state.settle(device, options.threads)
    vae = autoencoder.build(options.seed).to(device)
    free = {name: mask.to(device) for name, mask in autoencoder.free(vae).items()}
    parameters = {name: p for name, p in vae.named_parameters() if name in free}
    for name, p in vae.named_parameters():
        p.requires_grad_(name in free)
        if name in free:
            p.register_hook(lambda grad, mask=free[name]: grad * mask)
    inner = [p for name, p in parameters.items() if p.ndim >= 4 and not any(part in name for part in vae_stage.OUTER)]
    chosen = {id(p) for p in inner}
    outer = [p for p in parameters.values() if id(p) not in chosen]
    optimizer = muon.Both(inner, outer, options.rate, options.adam_rate)
    average = state.Average(parameters, options.memory)
    step, path = 0, options.out / "encoder.pt"
    if saved := state.load(path, device):
        average.values, step = saved["average"], saved["step"]
        state.fill(vae, saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
    first = step
    log = state.Log(options.out / "encoder.jsonl")
    fused = torch.compile(loss_of, dynamic=False) if options.compile else loss_of

    def keep():
        weights = {name: p.detach() for name, p in parameters.items()}
        common = {"average": average.values, "step": step}
        state.save(path, {"model": weights, "optimizer": optimizer.state_dict(), **common})

    def look():
        held = autoencoder.build().to(device)
        state.fill(held, average.values)
        log.add(step=step, **score(held, device))
        log.draw("loss", options.out / "encoder-loss.png")

    start = saved_at = time.time()
    end = start + 60 * options.minutes if options.minutes else float("inf")
    total = torch.zeros((), device=device)
    while step < options.steps and time.time() < end:
        loss = fused(vae, *batch(options, step, device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(outer, 1.0)
        optimizer.step(state.factor_at(step, options, first))
        average.update(parameters, step)
        step, total = step + 1, total + loss.detach()
        if step % 20 == 0:
            log.add(step=step, loss=float(total) / 20, seconds=round(time.time() - start, 1))
            total.zero_()
        if step % options.sheet_every == 0:
            look()
        if time.time() - saved_at > options.save_minutes * 60:
            keep()
            saved_at = time.time()
    keep()
    look()


if __name__ == "__main__":
    main()
