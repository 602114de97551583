"""Whether the motion of unlabelled frames is that of the method by which frames are labelled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from frames.data.known import KnownForces, labels_of
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


def require_same_method(run: Trajectory, labelled: Sequence[Trajectory], reach: int) -> KnownForces | None:
    """The labels that forces of a run can be compared with, stored ones or else those of its motion; None without any.

    Raises OtherMethodError if they differ by more than their noise.
    """
    labels = labels_of(run, labelled)
    if labels is None:
        return None
    if run.forces is not None:
        known, found = labels.forces, run.forces[labels.frames]
        allowed, whose = STORED, "stored forces"
    else:
        around, known = labels.among(chains(run, range(-reach, reach + 1)))
        if not len(around):
            return None
        # by central differences: weights fitted to labels of another method would come nearer to them
        forces, velocities = motion(run, around)
        direction = momentum_direction(run.atomic_numbers, velocities)
        known, found = across(known, direction), across(forces, direction)
        test = motion_test(run, reach)
        noise = max(test.noise[z] / max(force, 1e-12) for z, force in test.force.items())
        allowed, whose = max(MOVED, 2 * noise), "forces of its motion"
    off = _rms(found - known) / max(_rms(known), 1e-12)
    if off > allowed:
        raise OtherMethodError(
            f"{run.source or 'data.unlabelled'}: its motion is not that of the method of the labels: for {len(known)} "
            f"frames that have labels, the {whose} differ from them by {off:.0%}, and {allowed:.0%} would be noise"
        )
    return labels


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
