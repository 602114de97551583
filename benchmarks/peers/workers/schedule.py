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


def now(clock: str) -> float:
    """Of the wall, or of this process's CPU time, which stands still while another is let through."""
    return {"wall": time.monotonic, "cpu": time.process_time}[clock]()


class CosineInTime(LRScheduler):
    """`factor` of the time since the first batch was done, compilation with it; step it after each batch."""

    def __init__(self, optimizer: Optimizer, seconds: float, clock: str = "wall") -> None:
        self.seconds, self.clock = seconds, clock
        self.started: float | None = None
        super().__init__(optimizer)

    def get_lr(self) -> list[Any]:
        if self.started is None and self.last_epoch > 0:
            self.started = now(self.clock)
        spent = 0.0 if self.started is None else now(self.clock) - self.started
        return [factor(spent / self.seconds) * highest for highest in self.base_lrs]
