"""What every frame of a training is there for: training, validation, test, partner, unlabelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from frames.config import AuxiliarySection
from frames.data.known import KnownForces
from frames.data.trajectory import Floats, Integers, Trajectory
from frames.training.auxiliary.base import Chain, Need
from frames.training.auxiliary.tasks import find_chains
from frames.training.batch import FrameIndex


@dataclass
class TrainingData:
    """All frames that a run uses, each by trajectory and position in it."""

    trajectories: list[Trajectory]
    train: list[FrameIndex]
    validation: list[FrameIndex]
    test: list[FrameIndex]
    chains: dict[FrameIndex, Chain]  # what the auxiliary task sees with a labelled frame, itself included
    unlabelled: list[Chain]
    anchor: int = field(default=0, kw_only=True)  # place of the frame with offset 0 in a chain
    split: str  # how the frames were divided, in words
    auxiliary: AuxiliarySection = field(default_factory=AuxiliarySection)  # that of the configuration, "auto" decided
    because: str = ""  # of a task that was decided
    stencil: Floats | None = None  # of the task newton (frames/data/stencil.py), where labels tell it
    force_weights: dict[int, Floats] = field(default_factory=dict)  # [N] of runs whose forces are those of the motion
    motion_weights: dict[int, Floats] = field(default_factory=dict)  # [N] of runs with unlabelled frames, task newton
    matched: dict[int, KnownForces] = field(default_factory=dict)  # labels of frames of runs that store no forces
    notes: list[str] = field(default_factory=list)  # what else somebody should know who starts this training
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def used(self) -> set[FrameIndex]:
        """Every frame that training sees in any role."""
        return {*self.train, *(f for chain in (*self.chains.values(), *self.unlabelled) for f in chain)}

    @property
    def partners(self) -> list[FrameIndex]:
        """The frames beside the labelled ones in their chains."""
        return sorted({f for frame, chain in self.chains.items() for f in chain if f != frame})

    @property
    def of_files(self) -> list[str]:
        """What the readers assumed of the files, or changed."""
        known = {(Path(run.source).name, note): None for run in self.trajectories for note in run.notes}
        return [f"{name}: {note}" if name else note for name, note in known]

    @property
    def summary(self) -> str:
        partners = len(self.partners)
        pairs_text = f"{partners} partners" if partners else "no partners"
        return (
            f"{len(self.train)} training frames ({pairs_text}), {len(self.unlabelled)} unlabelled pairs or chains, "
            f"{len(self.validation)} validation and {len(self.test)} test frames; split: {self.split}"
            f"; auxiliary task: {self.auxiliary.task}"
        ) + "".join([f", since {self.because}" if self.because else "", *(f"; {note}" for note in self.notes)])


def chains_of(t: int, run: Trajectory, need: Need | None, allowed: Integers, seed: int) -> dict[FrameIndex, Chain]:
    """The chain of every frame of a run that has one, all of it among the allowed frames."""
    if need is None:
        return {}
    found = find_chains(run, need, allowed, seed)
    return {(t, int(row[need.anchor])): tuple((t, int(i)) for i in row) for row in found}


def evenly(frames: Sequence[Any], count: int | None) -> list[Any]:
    """`count` of the frames, evenly spread over them; all if count is None or more than there are."""
    if count is None or count >= len(frames):
        return list(frames)
    return [frames[i] for i in np.linspace(0, len(frames) - 1, count).round().astype(int)]
