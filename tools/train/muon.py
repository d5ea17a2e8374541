"""The optimizer: momentum made orthogonal for the matrices inside the networks, AdamW for everything else.

An orthogonal step changes a layer's output by a set share of its input, however many inputs it sums over; with
Adam alone the wide three-dimensional convolutions allow only small rates.
"""

import torch

from . import state


def orthogonal(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Each of [N, rows, columns] with its singular values brought near one, by a quintic iteration."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.bfloat16() if state.narrow(matrices.device.type) else matrices.float()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Orthogonal momentum for parameters of two and more axes; the axes after the first are taken as one."""

    def __init__(self, parameters, lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        """One step; parameters of one shape are worked on together."""
        for group in self.param_groups:
            shapes: dict[tuple[int, int], list[torch.Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    shapes.setdefault((p.shape[0], p[0].numel()), []).append(p)
            for (rows, columns), params in shapes.items():
                updates = []
                for p in params:
                    state = self.state[p]
                    if "momentum" not in state:
                        state["momentum"] = torch.zeros_like(p)
                    state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                    updates.append(torch.lerp(p.grad, state["momentum"], group["momentum"]).reshape(rows, columns))
                whole = orthogonal(torch.stack(updates)) * (rows / columns) ** 0.5
                for p, update in zip(params, whole):
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.add_(update.view_as(p), alpha=-group["lr"])


class Both:
    """Muon for `inner`, AdamW for `outer` parameters, their rates a common factor times what each starts with."""

    def __init__(self, inner, outer, rate: float, adam_rate: float, weight_decay: float = 0.0, momentum: float = 0.95):
        self.parts = [
            Muon(inner, lr=rate, momentum=momentum, weight_decay=weight_decay),
            torch.optim.AdamW(outer, lr=adam_rate, betas=(0.9, 0.98), weight_decay=0.0),
        ]
        self.rates = (rate, adam_rate)

    def step(self, factor: float) -> None:
        """One step at `factor` of the rates; gradients are gone afterwards."""
        for part, rate in zip(self.parts, self.rates):
            for group in part.param_groups:
                group["lr"] = rate * factor
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict]:
        """The states of both."""
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict]) -> None:
        """Takes the states of both."""
        for part, saved in zip(self.parts, states):
            chosen = [group.get("momentum") for group in part.param_groups]
            part.load_state_dict(saved)
            for group, momentum in zip(part.param_groups, chosen):
                if momentum is not None:
                    group["momentum"] = momentum
