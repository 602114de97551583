"""How far apart in their motion the frames of a run lie, which decides what its self-tests can judge.

Positions alone say it, so that wrong energies, forces and times cannot hide. The work test is limited by the size of
displacements, since the trapezoidal rule misses V‴ δ³ / 12. The Verlet test is limited by their turning, since the
second difference over a vibration of frequency ω falls short of its acceleration by (2 sin(ωΔt/2) / ωΔt)².
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from frames.data.periodic import displacements
from frames.data.trajectory import Floats, Integers, Trajectory

FARTHEST = 0.1
"""Å; in molecules, crystals and melts the work stays correlated with the energies above 0.98 up to there."""
FEWEST_PER_PERIOD = 7.0
"""Frames per period above which the second difference gives the time step within about 4 %."""
_SAMPLES = 2000


@dataclass(frozen=True)
class Spacing:
    """Displacements between consecutive frames, and how much they change from one to the next."""

    moved: float
    """Å, of the element that moves farthest; median over pairs of its root mean square displacement."""
    per_period: float
    """Frames per period of the motion, 2 or more; NaN where no three frames are consecutive. Motion faster than two
    frames per period looks slow, and shows by its size only."""

    @property
    def short(self) -> bool:
        """Whether displacements are small enough for the work test."""
        return not self.moved > FARTHEST

    @property
    def smooth(self) -> bool:
        """Whether the motion is resolved well enough for the Verlet test."""
        return self.short and not self.per_period < FEWEST_PER_PERIOD


def spacing(trajectory: Trajectory, frames: Integers, threes: Integers) -> Spacing:
    """Measures pairs [P,2] and triples [K,3] of consecutive frames."""
    return Spacing(_moved(trajectory, _sample(frames)), _per_period(trajectory, _sample(threes)))


def _moved(trajectory: Trajectory, frames: Integers) -> float:
    if len(frames) == 0:
        return float("nan")
    squared = np.square(_without_drift(trajectory, frames)).sum(axis=2)
    numbers = trajectory.atomic_numbers
    each = [np.median(np.sqrt(squared[:, numbers == z].mean(axis=1))) for z in np.unique(numbers)]
    return float(max(each))


def _per_period(trajectory: Trajectory, threes: Integers) -> float:
    """π / arcsin(|d' − d| / 2|d|) for successive displacements d and d': 2π / ωΔt in a vibration of frequency ω."""
    if len(threes) == 0:
        return float("nan")
    first, second = (_without_drift(trajectory, threes[:, k : k + 2]) for k in (0, 1))
    size = np.square(first).sum(axis=(1, 2)) + np.square(second).sum(axis=(1, 2))
    change = np.square(second - first).sum(axis=(1, 2))
    # The median is not moved by the minority of steps in which a thermostat acts.
    turned = float(np.median(np.sqrt(0.5 * change[size > 0] / size[size > 0]))) if (size > 0).any() else 0.0
    return math.pi / math.asin(min(turned, 1.0)) if turned > 0 else math.inf


def _without_drift(trajectory: Trajectory, frames: Integers) -> Floats:
    moved = displacements(trajectory, frames)
    return np.asarray(moved - moved.mean(axis=1, keepdims=True))


def _sample(frames: Integers) -> Integers:
    if len(frames) <= _SAMPLES:
        return frames
    return frames[np.linspace(0, len(frames) - 1, _SAMPLES).astype(np.int64)]
