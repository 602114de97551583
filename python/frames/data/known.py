"""Frames of a run whose forces are known: stored with it, or labels of the same positions in another file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from frames.data.duplicates import find_duplicates
from frames.data.trajectory import Floats, Integers, Trajectory


@dataclass(frozen=True)
class KnownForces:
    """What forces from the motion of a run can be compared with.

    Attributes:
        frames: [K] of the run, ascending.
        forces: [K,N,3] eV/Å.
        whose: in words.
    """

    frames: Integers
    forces: Floats
    whose: str = "stored forces"

    def among(self, chains: Integers) -> tuple[Integers, Floats]:
        """The chains [C,2p+1] through the middle of which a known frame goes, and its forces [C,N,3]."""
        middle = chains[:, chains.shape[1] // 2]
        found = chains[np.isin(middle, self.frames)]
        return found, self.forces[np.searchsorted(self.frames, found[:, chains.shape[1] // 2])]


def known_forces(run: Trajectory, labelled: Sequence[Trajectory] = ()) -> KnownForces | None:
    """The stored forces of a run; where it has none, the labels of those of its frames that others hold as well."""
    if run.forces is not None:
        return KnownForces(np.arange(len(run)), run.forces)
    return labels_of(run, labelled)


def labels_of(run: Trajectory, labelled: Sequence[Trajectory]) -> KnownForces | None:
    """The labels of those frames of a run that others hold as well; None if there are none."""
    labels = {
        int(i): frames.forces[j]
        for frames in labelled
        if frames.forces is not None
        for i, j in find_duplicates(run, frames)
    }
    if not labels:
        return None
    places = sorted(labels)
    return KnownForces(np.array(places), np.array([labels[i] for i in places]), f"labels of {len(places)} frames")
