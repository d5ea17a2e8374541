"""Stage 3: trains text encoder and transformer together by flow matching on the latents of stage 2.

    python -m train.text_dit --out STATE [--steps N] [--minutes M]

A latent x0 and noise n meet at sigma: x = (1 - sigma) x0 + sigma n; the transformer learns n - x0 at time 1000 sigma.
Sigma is drawn even and then shifted as the sampler's grid is, half of the samples from where shapes are decided.
Resumes from STATE/text_dit.pt.
"""

import os
import tempfile
import time

import torch
import torch.distributed
import torch.multiprocessing
from torch.utils.data import DataLoader, Dataset

from . import captions, generator, latents, muon, sample, state, tokenizer

# Between sigma 0.75 and 0.99 (before the shift): there the marks come out of the noise, and with them the shapes.
DECIDED = (0.5, 0.97)


class Steps(Dataset):
    """What a step needs besides latents, from its number alone: their rows, ids and mask of fresh captions."""

    def __init__(self, world, options, first: int):
        self.world, self.options, self.first = world, options, first
        self.tokens = tokenizer.build()
        self.hard = world.to_and_fro().nonzero()[:, 0]

    def __len__(self) -> int:
        return max(0, self.options.steps - self.first)

    def __getitem__(self, index: int):
        step = self.first + index
        random = state.generator(self.options.seed, 3, step)
        batch = (self.options.batch,)
        rows = torch.randint(len(self.world), batch, generator=random)
        if self.options.hard:
            hard = self.hard[torch.randint(len(self.hard), batch, generator=random)]
            rows = torch.where(torch.rand(batch, generator=random) < self.options.hard, hard, rows)
        texts = captions.captions(self.world.pick(rows), self.options.seed * 1_000_003 + step)
        return rows, *generator.tokenize(texts, self.tokens, trim=not self.options.compile)


def draw(latents_of_batch, options, step: int, device: str):
    """Noisy latents, times and the velocity to learn."""
    random = state.generator(options.seed, 4, step, device=device)
    count = len(latents_of_batch)
    even = (torch.rand(1, generator=random, device=device) + torch.arange(count, device=device) / count) % 1
    # The odd rows of a batch are drawn from where shapes are decided.
    low, high = DECIDED
    even[1::2] = low + (high - low) * even[1::2]
    sigma = sample.SHIFT * even / (1 + (sample.SHIFT - 1) * even)
    noise = torch.randn(latents_of_batch.shape, generator=random, device=device)
    mixed = torch.lerp(latents_of_batch, noise, sigma[:, None, None, None, None])
    return mixed, 1000 * sigma, noise - latents_of_batch


class Together:
    """Processes that each take a part of every batch and add up their gradients; on a CPU they wait less than threads."""

    def __init__(self, rank: int, options):
        self.rank, self.count, self.parent = rank, options.processes, os.getppid()
        if self.count > 1:
            torch.distributed.init_process_group(
                "gloo", init_method=f"file://{options.meeting}/place", rank=rank, world_size=self.count
            )

    def orphaned(self) -> bool:
        """Whether the process that started all is gone, killed perhaps."""
        return self.count > 1 and os.getppid() != self.parent

    def mine(self, batch):
        """This process's part of a batch, every `count`-th row."""
        return batch[self.rank :: self.count]

    def average(self, tensors: list[torch.Tensor]) -> None:
        """Replaces tensors by their means over all processes."""
        if self.count > 1:
            flat = torch.cat([t.flatten() for t in tensors])
            torch.distributed.all_reduce(flat)
            for t, part in zip(tensors, flat.div_(self.count).split([t.numel() for t in tensors])):
                t.copy_(part.view_as(t))


def main() -> None:
    """Trains until the last step or until the time is over."""
    parser = state.arguments(__doc__, steps=20000, batch=32, rate=0.007, adam_rate=7e-4)
    parser.add_argument("--momentum", type=float, default=0.95, help="of Muon: the longer, the less noise")
    parser.add_argument("--hard", type=float, default=0.0, help="share of clips drawn from those that bounce or circle alone")
    parser.add_argument("--workers", type=int, default=0, help="processes that write captions")
    parser.add_argument("--check", type=int, default=24, help="held-out prompts measured with each sheet")
    parser.add_argument("--processes", type=int, default=1, help="that share a batch, one thread each, on a CPU")
    options = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the caption writers are processes of their own
    if options.processes == 1:
        return train(0, options)
    with tempfile.TemporaryDirectory() as options.meeting:
        torch.multiprocessing.spawn(train, (options,), nprocs=options.processes)


def train(rank: int, options) -> None:
    """What one process does; the first of them writes."""
    device, together = options.device, Together(rank, options)
    state.settle(device, 1 if together.count > 1 else options.threads)
    alone = together.count == 1 and not options.compile  # another number of threads would be compiled anew
    if alone:
        state.share(device, options.threads)
    store, world, mean, deviation = latents.read(options.out)
    store = store.to(device)
    model = generator.Generator(options.seed).to(device)
    parameters = dict(model.named_parameters())
    inner = [p for name, p in parameters.items() if p.ndim == 2 and ("blocks." in name or "block." in name)
             and "relative" not in name]  # fmt: skip
    chosen = {id(p) for p in inner}
    outer = [p for p in parameters.values() if id(p) not in chosen]
    optimizer = muon.Both(inner, outer, options.rate, options.adam_rate, 0.01, options.momentum)
    average, step = state.Average(parameters, options.memory), 0
    path = options.out / "text_dit.pt"
    if saved := state.load(path, device) or state.load(options.out / "text_dit.small.pt", device):
        average.values = {k: v.to(device).float() for k, v in saved["average"].items()}
        state.fill(model, saved.get("model", average.values))
        step, mean, deviation = saved["step"], saved["mean"].cpu(), saved["deviation"].cpu()
        if "optimizer" in saved:
            optimizer.load_state_dict(saved["optimizer"])
    log = state.Log(options.out / "text_dit.jsonl")
    mean_d, deviation_d = (v.to(device)[:, None, None, None] for v in (mean, deviation))
    velocity = torch.compile(model.velocity, dynamic=False) if options.compile else model.velocity
    first = step

    def keep():
        common = {"average": average.values, "step": step, "mean": mean, "deviation": deviation}
        weights = {name: p.detach() for name, p in parameters.items()}
        state.save(path, {"model": weights, "optimizer": optimizer.state_dict(), **common})

    held = generator.Generator().to(device).eval()

    def look():
        state.fill(held, average.values)
        vae = latents.trained(options.out, device, untrained=True)
        shares, made, texts = sample.evaluate(held, vae, mean, deviation, options.check)
        state.sheet(made[:10], options.out / "samples.png", labels=texts[:10])
        log.add(step=step, **shares)
        log.draw("loss", options.out / "text_dit-loss.png")
        log.draw("all", options.out / "text_dit-right.png")

    def finish():
        keep()
        if options.small:
            half = {name: value.half() for name, value in average.values.items()}
            common = {"step": step, "mean": mean, "deviation": deviation}
            state.save(options.out / "text_dit.small.pt", {"average": half, **common})
        look()

    start = saved_at = time.time()
    total, counted = torch.zeros((), device=device), 0
    loader = DataLoader(Steps(world, options, step), batch_size=None, num_workers=options.workers)
    for rows, ids, mask in loader:
        clean = (store[rows.to(device)].float() - mean_d) / deviation_d
        mixed, times, target = map(together.mine, draw(clean, options, step, device))
        ids, mask = together.mine(ids), together.mine(mask)
        with torch.autocast(device, torch.bfloat16, enabled=state.narrow(device)):
            text, bias = model.encode(ids.to(device), mask.to(device))
            loss = (velocity(mixed, times, text.float(), bias) - target).square().mean()
        loss.backward()
        together.average([p.grad for p in parameters.values()])
        torch.nn.utils.clip_grad_norm_(outer, 1.0)
        optimizer.step(state.factor_at(step, options, first))
        average.update(parameters, step)
        step, counted, total = step + 1, counted + 1, total + loss.detach()
        over = options.minutes and time.time() - start > options.minutes * 60
        if together.count > 1 and options.minutes:
            # All processes stop after the same step.
            told = torch.tensor(float(bool(over)))
            together.average([told])
            over = told > 0
        if rank == 0:
            if step % 50 == 0:
                if alone:
                    state.share(device, options.threads)
                seconds = time.time() - start
                speed = round((step - first) * options.batch / seconds, 1)
                log.add(step=step, loss=float(total) / counted, speed=speed, seconds=round(seconds, 1))
                total, counted = torch.zeros((), device=device), 0
            if step % options.sheet_every == 0:
                look()
            if time.time() - saved_at > options.save_minutes * 60:
                keep()
                saved_at = time.time()
        if over:
            break
        if together.orphaned():
            return
    if rank == 0:
        finish()


if __name__ == "__main__":
    main()
