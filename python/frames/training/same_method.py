"""Whether the motion of unlabelled frames is that of the method by which frames are labelled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from frames.data.duplicates import find_duplicates
from frames.data.motion import across, momentum_direction, motion, motion_test
from frames.data.timeline import chains
from frames.data.trajectory import Floats, Trajectory
from frames.errors import FramesError

STORED = 0.05
"""Difference of stored forces over the force (root mean squares) that makes two methods."""
MOVED = 0.1
"""The same of forces from motion, or twice their noise if that is more."""


class OtherMethodError(FramesError):
    """Forces of the motion contradict the labels."""


def require_same_method(run: Trajectory, labelled: Sequence[Trajectory], reach: int) -> int:
    """How many frames of a run have labels to compare its forces with, stored ones or else those of its motion.

    Raises OtherMethodError if they differ by more than their noise.
    """
    pairs = [(i, frames.forces[j]) for frames in labelled for i, j in _same(run, frames) if frames.forces is not None]
    if not pairs:
        return 0
    labels = dict(pairs)
    if run.forces is not None:
        places = sorted(labels)
        known, found = np.array([labels[i] for i in places]), run.forces[places]
        allowed, whose = STORED, "stored forces"
    else:
        around = chains(run, range(-reach, reach + 1))
        around = around[np.isin(around[:, reach], list(labels))]
        if not len(around):
            return 0
        forces, velocities = motion(run, around)
        direction = momentum_direction(run.atomic_numbers, velocities)
        known = across(np.array([labels[int(i)] for i in around[:, reach]]), direction)
        found = across(forces, direction)
        test = motion_test(run, reach)
        noise = max(test.noise[z] / max(force, 1e-12) for z, force in test.force.items())
        allowed, whose = max(MOVED, 2 * noise), "forces of its motion"
    off = _rms(found - known) / max(_rms(known), 1e-12)
    if off > allowed:
        raise OtherMethodError(
            f"{run.source or 'data.unlabelled'}: its motion is not that of the method of the labels: for {len(known)} "
            f"frames that have labels, the {whose} differ from them by {off:.0%}, and {allowed:.0%} would be noise"
        )
    return len(known)


def _same(run: Trajectory, frames: Trajectory) -> list[tuple[int, int]]:
    """Frames of two trajectories with the same positions."""
    if run.atoms != frames.atoms or not np.array_equal(run.atomic_numbers, frames.atomic_numbers):
        return []
    return [(int(i), int(j)) for i, j in find_duplicates(run, frames)]


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
