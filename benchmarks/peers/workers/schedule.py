"""Learning rates that fall with the clock, since every engine gets the same time and not the same steps."""

from __future__ import annotations

import math
import time
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

WARMUP = 0.02  # fraction of the time


def factor(fraction: float) -> float:
    """Of the highest rate, after this fraction of the time: linear up, then half a cosine to 1 %."""
    fraction = min(max(fraction, 0.0), 1.0)
    if fraction < WARMUP:
        return max(fraction / WARMUP, 0.01)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (fraction - WARMUP) / (1 - WARMUP)))


class CosineInTime(LRScheduler):
    """`factor` of the time since the first optimiser step was prepared; step it after each batch."""

    def __init__(self, optimizer: Optimizer, seconds: float) -> None:
        self.seconds = seconds
        self.started = time.monotonic()
        super().__init__(optimizer)

    def get_lr(self) -> list[Any]:
        now = factor((time.monotonic() - self.started) / self.seconds)
        return [rate * now for rate in self.base_lrs]
