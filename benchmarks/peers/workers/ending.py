"""Ends a training of Lightning when its time is over: Lightning's own timer knows the clock on the wall alone."""

from __future__ import annotations

from typing import Any

from lightning import Callback, Trainer
from schedule import now


class EndInTime(Callback):
    """After that many seconds since the first batch was done, compilation with it."""

    def __init__(self, seconds: float, clock: str = "wall") -> None:
        self.seconds, self.clock = seconds, clock
        self.started: float | None = None

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if self.started is None:
            self.started = now(self.clock)
        elif now(self.clock) - self.started >= self.seconds:
            print(f"stopped after {trainer.global_step} steps", flush=True)
            trainer.should_stop = True
