"""Exponential moving average of parameters, and the learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class MovingAverage:
    """θ̄ ← d θ̄ + (1 − d) θ with d = min(decay, (1 + t)/(10 + t)), so that the first steps are forgotten soon."""

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self._parameters = list(parameters)
        self.decay = decay
        self.updates = 0
        self.average = [p.detach().clone() for p in self._parameters]

    @torch.no_grad()
    def update(self) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self.average, [p.detach() for p in self._parameters], 1.0 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges parameters and averages; a second call undoes the first."""
        for p, average in zip(self._parameters, self.average, strict=True):
            held = p.detach().clone()
            p.copy_(average)
            average.copy_(held)

    def state(self) -> dict[str, int | list[Tensor]]:
        return {"updates": self.updates, "average": [a.clone() for a in self.average]}

    def load(self, updates: int, average: list[Tensor]) -> None:
        self.updates = updates
        for mine, given in zip(self.average, average, strict=True):
            mine.copy_(given)


def learning_rate_factor(progress: float, warmup: float, floor: float = 0.005) -> float:
    """Linear warm-up over the fraction `warmup` of the training, then a half cosine down to `floor`."""
    if progress < warmup:
        return max(progress / warmup, 1e-3)
    phase = min((progress - warmup) / max(1.0 - warmup, 1e-9), 1.0)
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * phase))
