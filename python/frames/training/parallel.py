"""Data-parallel training: several processes, started by torchrun, share each batch and add up their gradients.

Every process holds all of the data and the same parameters, takes every n-th frame of a batch, and weighs its losses by
its share of it, so that the sum of the gradients is the gradient of the whole batch: the same losses as of one process
to rounding. Only the first process writes files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from frames.errors import FramesError

T = TypeVar("T")


@dataclass(frozen=True)
class Workers:
    """The processes of this training: `rank` of `size`."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """What this process computes of a batch."""
        return list(items[self.rank :: self.size])

    def total(self, value: float) -> float:
        """Sum over the processes."""
        if self.size == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=_device())
        dist.all_reduce(tensor)
        return float(tensor)

    def from_first(self, value: float) -> float:
        """The value of the first process."""
        if self.size == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=_device())
        dist.broadcast(tensor, 0)
        return float(tensor)

    def wait(self) -> None:
        """Returns when every process has come here."""
        if self.size > 1:
            dist.barrier()

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replaces each gradient by its sum over the processes; a missing one counts as zero where another has it."""
        if self.size == 1:
            return
        trained = [p for p in parameters if p.requires_grad]
        flat = torch.cat([(p.grad if p.grad is not None else torch.zeros_like(p)).reshape(-1) for p in trained])
        dist.all_reduce(flat)
        start = 0
        for p in trained:
            gradient: Tensor = flat[start : start + p.numel()].view_as(p)
            p.grad = gradient.clone()
            start += p.numel()


def join_workers(device: str) -> Workers:
    """Meets the other processes that torchrun started; alone without torchrun.

    Raises FramesError if they do not come together.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Workers()
    rank = int(os.environ["RANK"])
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if not dist.is_initialized():
        try:
            dist.init_process_group("nccl" if device == "cuda" else "gloo")
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise FramesError(f"the {size} processes of this training cannot meet: {reason}") from None
    return Workers(rank, size)


def leave_workers() -> None:
    """Takes leave of the other processes, so that none of them waits for this one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def _device() -> torch.device:
    return torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
