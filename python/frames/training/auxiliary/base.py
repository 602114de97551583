"""The interface of an auxiliary task: which frames it needs, its head, its loss. Used in training only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from frames.config import AuxiliarySection
from frames.data.trajectory import Floats
from frames.nn.potential import Derivatives, Potential
from frames.training.batch import Batch, FrameIndex, FrameStore

Chain = tuple[FrameIndex, ...]
"""Frames of one run that a task looks at together, in the order of the offsets it asked for."""


@dataclass(frozen=True)
class Need:
    """Which frames a task wants to see together.

    Attributes:
        offsets: in time steps, one of them 0: the frame that may be labelled.
        partner: "later" takes the frames at these offsets; "random" takes one other frame of the same run from
            anywhere in it.
        longest: fs; if given, the frame that follows at most this much later, whatever the time between.
    """

    offsets: tuple[int, ...] = (0,)
    partner: Literal["later", "random"] = "later"
    longest: float | None = None

    @property
    def anchor(self) -> int:
        """Place of the frame with offset 0."""
        return self.offsets.index(0)


class Features(Protocol):
    """What the backbone gives for every atom of a batch."""

    scalars: Tensor  # [N,S]
    vectors: Tensor  # [N,3,V]


class Model(Protocol):
    """What a task may ask: frames, and what the potential in training says of them, with gradients."""

    store: FrameStore
    potential: Potential

    def evaluate(self, batch: Batch) -> Derivatives:
        """Energies, forces and features."""

    def features(self, batch: Batch) -> Derivatives:
        """Features alone, at less cost; energies and forces are empty."""


@dataclass(frozen=True)
class Setting:
    """What a task is made from.

    Attributes:
        potential: the one in training.
        section: the table [auxiliary].
        chains: a sample of the chains that it will see.
        scale: root mean square of the labelled force components, eV/Å.
        stencil: weights of frames from which forces follow, if labels told them (frames/data/stencil.py).
        motion_weights: [N] of every run with unlabelled frames: how far the forces of its motion can be trusted.
    """

    potential: Potential
    store: FrameStore
    section: AuxiliarySection
    chains: Sequence[Chain]
    scale: float
    stencil: Floats | None = None
    motion_weights: Mapping[int, Floats] = field(default_factory=dict)

    @property
    def kinds(self) -> int:
        """Number of species."""
        return len(self.potential.elements)

    @property
    def widths(self) -> tuple[int, int]:
        """Channels of the scalars and of the vectors of the backbone."""
        backbone: Any = self.potential.backbone
        return backbone.scalar_width, backbone.vector_width

    def species(self, frames: Sequence[FrameIndex]) -> Tensor:
        """[N] int64 of the atoms of these frames in a row."""
        numbers = np.concatenate([self.store.trajectories[t].atomic_numbers for t, _ in frames])
        return self.potential.species_of[torch.as_tensor(numbers, device=self.store.device)]


class AuxiliaryTask(nn.Module, ABC):
    """A loss of order one on frames that need no labels, or on labels in another form.

    Attributes:
        labelled, unlabelled: whether chains through labelled frames, and those of data.unlabelled, are used.
        weight: the default of auxiliary.weight.
        schedule: the default of auxiliary.schedule.
        with_forces: the forces of unlabelled frames with offset 0 are wanted; they are evaluated in one batch with the
            labelled frames, which costs far less than a second one.
    """

    labelled: ClassVar[bool] = True
    unlabelled: ClassVar[bool] = True
    weight: ClassVar[float] = 0.1
    schedule: ClassVar[Literal["decay", "constant"]] = "decay"
    with_forces: ClassVar[bool] = False

    @abstractmethod
    def forward(
        self, chains: Sequence[Chain], anchor: Derivatives | None, model: Model, random: np.random.Generator
    ) -> Tensor:
        """Scalar loss.

        Args:
            chains: of frames.
            anchor: features and forces of the frames with offset 0, where they are known already.
            random: a function of the seed and the step.
        """

    def extent(self, chains: Sequence[Chain], model: Model) -> float:
        """What the loss is a mean over: its share of the whole batch weighs the loss of one process of several."""
        return float(sum(model.store.trajectories[chain[0][0]].atoms for chain in chains))


class VectorHead(nn.Module):
    """`outputs` vectors per atom from the node features of one or several frames.

    The vectors of all frames are mixed linearly (equivariant), each mixed channel is scaled by a gate that an MLP
    computes from the scalars of all frames, and the channels are summed.
    """

    def __init__(
        self, scalar_width: int, vector_width: int, width: int = 64, *, frames: int = 2, outputs: int = 1
    ) -> None:
        super().__init__()
        self.mix = nn.Linear(frames * vector_width, width, bias=False)
        self.gate = nn.Sequential(nn.Linear(frames * scalar_width, width), nn.SiLU(), nn.Linear(width, width))
        self.sum = nn.Linear(width, outputs, bias=False)

    def forward(self, *frames: Features) -> Tensor:
        """[outputs,N,3], of order one."""
        vectors = self.mix(torch.cat([f.vectors for f in frames], dim=2))
        gates = self.gate(torch.cat([f.scalars for f in frames], dim=1))
        total: Tensor = self.sum(vectors * gates.unsqueeze(1)).permute(2, 0, 1)
        return total


def norm_loss(error: Tensor, weights: Tensor | None = None) -> Tensor:
    """mean ‖error‖ over the vectors [...,3], weighted if weights [...] are given."""
    size = (error.pow(2).sum(-1) + 1e-12).sqrt()
    return size.mean() if weights is None else (weights * size).sum() / weights.sum().clamp_min(1e-12)


def vector_scale(vectors: Tensor, species: Tensor, kinds: int) -> Tensor:
    """[kinds]: root mean square of the lengths of vectors [N,3] per species; the overall one where none occur."""
    square = vectors.pow(2).sum(1)
    total = square.new_zeros(kinds).index_add(0, species, square)
    count = square.new_zeros(kinds).index_add(0, species, square.new_ones(len(square)))
    overall = square.mean().clamp_min(1e-12)
    return (total + (count == 0) * overall).div(count.clamp_min(1)).clamp_min(1e-12).sqrt()


def normal(shape: Sequence[int], random: np.random.Generator, like: Tensor) -> Tensor:
    """Standard normal numbers from numpy's generator: the same on every device."""
    return torch.as_tensor(random.standard_normal(tuple(shape))).to(like)
