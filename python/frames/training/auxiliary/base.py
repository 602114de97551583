"""The interface of an auxiliary task: which frames it needs, its head, its loss. Used in training only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from frames.training.batch import Batch, FrameIndex


@dataclass(frozen=True)
class Pair:
    """Two frames of one run at a known time apart."""

    first: FrameIndex
    second: FrameIndex


class Features(Protocol):
    """What the backbone gives for every atom of a batch."""

    scalars: Tensor  # [N,S]
    vectors: Tensor  # [N,3,V]


class VectorHead(nn.Module):
    """A vector per atom from the node features of two frames.

    The vectors of both frames are mixed linearly (equivariant), each mixed channel is scaled by a gate that an MLP
    computes from the scalars of both frames, and the channels are summed.
    """

    def __init__(self, scalar_width: int, vector_width: int, width: int = 64) -> None:
        super().__init__()
        self.mix = nn.Linear(2 * vector_width, width, bias=False)
        self.gate = nn.Sequential(nn.Linear(2 * scalar_width, width), nn.SiLU(), nn.Linear(width, width))
        self.sum = nn.Linear(width, 1, bias=False)

    def forward(self, first: Features, second: Features) -> Tensor:
        """[N,3], of order one."""
        vectors = self.mix(torch.cat([first.vectors, second.vectors], dim=2))
        gates = self.gate(torch.cat([first.scalars, second.scalars], dim=1))
        total: Tensor = self.sum(vectors * gates.unsqueeze(1)).squeeze(2)
        return total


@dataclass(frozen=True)
class PairBatch:
    """What a pair task sees in one step: the same atoms in two frames.

    `first` is None where the labelled batch itself holds the first frames, row for row.
    """

    first: Batch | None
    second: Batch
    displacements: Tensor  # [N,3] Å, drift of the centre of mass removed
    species: Tensor  # [N] int64


def pairs_of(frames: Sequence[FrameIndex], partner: dict[FrameIndex, FrameIndex]) -> list[Pair]:
    """The pairs that start at the given frames, in their order; frames without partner are left out."""
    return [Pair(frame, partner[frame]) for frame in frames if frame in partner]
