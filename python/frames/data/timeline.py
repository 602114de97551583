"""The time step of a trajectory, its gaps and jumps, and the pairs of consecutive frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from frames.data.periodic import displacements
from frames.data.trajectory import Floats, Integers, Trajectory, in_blocks
from frames.errors import FramesError

TIME_TOLERANCE = 0.01
"""Two times are one step apart when their difference is off by less than this fraction of the step."""
MOST_BACKWARD = 0.05
"""Fraction of the steps in a file that may lie between the pieces that it was made of."""
_JUMP_FACTOR = 5.0
_AROUND = 11  # steps that tell what is usual
_FEW = 0.01  # expected accidents
_SHUFFLED_ABOVE = 0.5
_CLOSE_STEP = 5.0
_FEWEST_NEIGHBOURS = 5


def time_step(trajectory: Trajectory) -> float | None:
    """The most common positive time between successive frames of one run, in fs; None if there is none."""
    if trajectory.times is None or len(trajectory) < 2:
        return None
    order = np.lexsort((trajectory.times, trajectory.runs))
    steps = np.diff(trajectory.times[order])[np.diff(trajectory.runs[order]) == 0]
    steps = steps[steps > 0]
    if len(steps) == 0:
        return None
    # Times that were stored in ps or single precision differ in their last digits.
    rounded = np.round(steps, 4)
    values, counts = np.unique(rounded, return_counts=True)
    return float(np.median(steps[rounded == values[np.argmax(counts)]]))


def backward_steps(trajectory: Trajectory) -> Integers:
    """Frames whose successor in the same run has the same or an earlier time; none if times are unknown."""
    if trajectory.times is None:
        return np.empty(0, np.int64)
    return np.flatnonzero((np.diff(trajectory.times) <= 0) & (np.diff(trajectory.runs) == 0))


def in_pieces(trajectory: Trajectory) -> Trajectory:
    """The same frames with a new run or piece wherever one cannot follow on the one before it.

    A new run begins where time starts again, as in a file made of several simulations; a new piece where a frame is
    repeated, as after a restart, and where the atoms jump. Frames of two simulations would be paired otherwise, and a
    repeated frame would give a force of any size. Where more than a few steps are of one kind, it means something else,
    frames in no order or atoms that do not move, and they stay as they are.
    """
    most = max(1, MOST_BACKWARD * (len(trajectory) - 1))
    starts = backward_steps(trajectory)
    if 0 < len(starts) <= most:
        runs = _numbered(trajectory.runs, starts)
        note = f"time starts again after frame {starts[0]}: {runs.max() + 1} runs"
        trajectory = replace(trajectory, runs=runs).with_notes(note)
    for text, frames in (
        ("the atoms are at the same places after", _repeats(trajectory)),
        ("the atoms jump after", _sudden(trajectory)),
    ):
        if 0 < len(frames) <= most:
            others = f" and {len(frames) - 1} others" if len(frames) > 1 else ""
            note = f"{text} frame {frames[0]}{others}: not taken for neighbours in time"
            trajectory = replace(trajectory, pieces=_numbered(trajectory.pieces, frames)).with_notes(note)
    return trajectory


def _numbered(numbers: Integers, last: Integers) -> Integers:
    """[T] numbers that change where `numbers` do, and after each of these frames."""
    more = np.zeros(len(numbers), np.int64)
    more[last + 1] = 1
    both = np.stack([numbers, np.cumsum(more)], axis=1)
    return np.unique(both, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _repeats(trajectory: Trajectory) -> Integers:
    """Frames whose successor, one step later, has the very same positions, where that is no matter of few digits."""
    first = _followed(trajectory)
    changed = np.concatenate(
        [np.zeros(0), *(_changed(trajectory, part) for part in in_blocks(first, trajectory.atoms))]
    )
    same = changed == 0.0
    if not same.any() or same.all():
        return np.asarray(first[same])
    # rounding leaves a coordinate as it is with this chance, and all of them by accident so often
    by_accident = len(first) * (1.0 - changed[~same].mean()) ** (3 * trajectory.atoms)
    return np.asarray(first[same]) if by_accident < _FEW else np.empty(0, np.int64)


def _changed(trajectory: Trajectory, first: Integers) -> Floats:
    """Share of the coordinates that differ between these frames and the ones after them."""
    return np.asarray((trajectory.positions[first] != trajectory.positions[first + 1]).mean(axis=(1, 2)))


def _sudden(trajectory: Trajectory) -> Integers:
    """Frames whose successor, one step later, lies five times as far away as is usual around it, and twice as far as
    almost all there."""
    first = _followed(trajectory)
    if len(first) < _AROUND:
        return np.empty(0, np.int64)
    blocks = in_blocks(first, trajectory.atoms)
    size = np.concatenate([_sizes(trajectory, np.stack([part, part + 1], axis=1)) for part in blocks])
    around = np.sort(np.lib.stride_tricks.sliding_window_view(np.pad(size, _AROUND // 2, mode="edge"), _AROUND), axis=1)
    usual = np.maximum(around[:, _AROUND // 2], 1e-3 * np.median(size))
    # into a wrong frame and out of it are two
    return np.asarray(first[(size > _JUMP_FACTOR * usual) & (size > 2 * around[:, -3])])


def _followed(trajectory: Trajectory) -> Integers:
    """Frames that the next one in the file follows one step later, in the same run, be it in another piece."""
    step = time_step(trajectory)
    if trajectory.times is None or step is None:
        return np.empty(0, np.int64)
    later = np.abs(np.diff(trajectory.times) - step) < TIME_TOLERANCE * step
    return np.flatnonzero(later & (np.diff(trajectory.runs) == 0))


def in_order(trajectory: Trajectory) -> Trajectory:
    """The same frames sorted by run and time, where times are known."""
    if trajectory.times is None:
        return trajectory
    order = np.lexsort((trajectory.times, trajectory.runs))
    if (np.diff(order) == 1).all():
        return trajectory
    return trajectory[order].with_notes("sorted by time")


def pairs(trajectory: Trajectory, stride: int = 1, step: float | None = None) -> Integers:
    """Frames (t, t + stride steps) of one run that are exactly `stride` time steps apart.

    Args:
        stride: number of time steps between the two.
        step: the time step in fs; that of the trajectory if None.

    Returns:
        [P,2] indices of frames, sorted by the first.

    Raises:
        FramesError: if the order of the frames is unknown.
    """
    if stride < 1:
        raise FramesError(f"the stride between paired frames must be at least 1, got {stride}")
    if trajectory.times is None:
        raise FramesError(
            f"{trajectory.source or 'trajectory'}: the order of the frames is unknown, so there are no "
            "pairs; if the frames are consecutive, give the time step in fs"
        )
    step = time_step(trajectory) if step is None else step
    if step is None:
        return np.empty((0, 2), np.int64)
    stretches = trajectory.stretches
    order = np.lexsort((trajectory.times, stretches))
    parts = np.split(order, np.flatnonzero(np.diff(stretches[order])) + 1)
    found = [_pairs_of_run(frames, trajectory.times, stride * step, step) for frames in parts]
    joined = np.concatenate(found)
    return joined[np.argsort(joined[:, 0], kind="stable")]


def _pairs_of_run(frames: Integers, times: np.ndarray, interval: float, step: float) -> Integers:
    """Of frames in the order of their times."""
    sorted_times = times[frames]
    tolerance = TIME_TOLERANCE * step
    later = np.searchsorted(sorted_times, sorted_times + interval - tolerance)
    inside = np.flatnonzero(later < len(frames))
    later = later[inside]
    hit = np.abs(sorted_times[later] - sorted_times[inside] - interval) < tolerance
    return np.stack([frames[inside[hit]], frames[later[hit]]], axis=1).astype(np.int64)


def chains(trajectory: Trajectory, offsets: Sequence[int], step: float | None = None) -> Integers:
    """Frames of one run at the times t + offset · step for every offset, wherever all of them exist.

    Args:
        offsets: in time steps; one of them is 0, the frame t itself.
        step: the time step in fs; that of the trajectory if None.

    Returns:
        [P,len(offsets)] indices of frames, sorted by the one with offset 0.

    Raises:
        FramesError: as `pairs`.
    """
    if 0 not in offsets:
        raise ValueError(f"offsets must contain 0, got {list(offsets)}")
    ordered = sorted(set(offsets))
    found: Integers = np.arange(len(trajectory), dtype=np.int64)[:, None]
    for before, after in pairwise(ordered):
        following = pairs(trajectory, after - before, step)
        next_of = np.full(len(trajectory), -1, np.int64)
        next_of[following[:, 0]] = following[:, 1]
        last = next_of[found[:, -1]]
        found = np.column_stack([found, last])[last >= 0]
    found = found[:, [ordered.index(offset) for offset in offsets]]
    return found[np.argsort(found[:, list(offsets).index(0)], kind="stable")]


def successive(trajectory: Trajectory, longest: float) -> Integers:
    """Pairs [P,2] of frames that follow each other in one run, at most `longest` fs apart and however unevenly.

    For trajectories that were thinned out irregularly. Raises FramesError if the order of the frames is unknown.
    """
    if trajectory.times is None:
        raise FramesError(
            f"{trajectory.source or 'trajectory'}: the order of the frames is unknown, so there are no pairs"
        )
    stretches = trajectory.stretches
    order = np.lexsort((trajectory.times, stretches))
    gap = np.diff(trajectory.times[order])
    good = (np.diff(stretches[order]) == 0) & (gap > 0) & (gap <= longest * (1 + TIME_TOLERANCE))
    found = np.stack([order[:-1][good], order[1:][good]], axis=1).astype(np.int64)
    return found[np.argsort(found[:, 0], kind="stable")]


@dataclass(frozen=True)
class TimeLine:
    """What the times and displacements of a trajectory say about its order."""

    step: float | None
    """fs."""
    runs: int
    gaps: Integers
    """Frames whose successor in the same run comes later than one time step."""
    backward: Integers
    """Frames whose successor in the same run has the same or an earlier time."""
    jumps: Integers
    """Frames whose successor, one time step later, is too far away to be it."""
    step_ratio: float
    """As the function `step_ratio` gives it: about 1 in shuffled data."""


def time_line(trajectory: Trajectory) -> TimeLine:
    """Time step, gaps, and jumps, those that `in_pieces` found included."""
    step = time_step(trajectory)
    same_run = np.flatnonzero(np.diff(trajectory.runs) == 0)
    gaps = backward = jumps = np.empty(0, np.int64)
    if trajectory.times is not None and step is not None:
        steps = np.diff(trajectory.times)[same_run]
        gaps = same_run[steps > step * (1 + TIME_TOLERANCE)]
        backward = backward_steps(trajectory)
        jumps = _sudden(trajectory)
    runs = len(np.unique(trajectory.runs))
    return TimeLine(step, runs, gaps, backward, jumps, step_ratio(trajectory))


def step_ratio(trajectory: Trajectory, sample: int = 500) -> float:
    """Median displacement between neighbours over that between frames drawn at random.

    Neighbours are one time step apart where times are known, and next to each other in the file where not. The ratio
    is near 1 for shuffled frames and far below for consecutive ones; NaN where there are too few frames to tell.
    """
    if trajectory.times is not None:
        neighbours = pairs(trajectory)
    else:
        first = np.flatnonzero(np.diff(trajectory.runs) == 0)
        neighbours = np.stack([first, first + 1], axis=1)
    if len(neighbours) < _FEWEST_NEIGHBOURS:
        return float("nan")
    random = np.random.default_rng(0)
    chosen = random.choice(neighbours, min(sample, len(neighbours)), replace=False)
    other = random.permutation(len(trajectory))[: len(chosen)]
    near = _sizes(trajectory, chosen)
    far = _sizes(trajectory, np.stack([chosen[:, 0], other], axis=1)[chosen[:, 0] != other])
    if len(far) == 0 or np.median(far) == 0:
        return float("nan")
    return float(np.median(near) / np.median(far))


def looks_consecutive(trajectory: Trajectory) -> bool:
    """Whether stored neighbours are so close to each other that they must be neighbours in time."""
    return step_ratio(trajectory) < _SHUFFLED_ABOVE


def looks_shuffled(trajectory: Trajectory, step: float | None) -> bool:
    """Whether frames said to be `step` fs apart are as far from each other as frames drawn at random.

    Steps above 5 fs are not judged: half the fastest vibration has passed, and frames may differ that much.
    """
    return step is not None and step <= _CLOSE_STEP and step_ratio(trajectory) > _SHUFFLED_ABOVE


def _sizes(trajectory: Trajectory, frames: Integers) -> np.ndarray:
    """[P] root mean square displacement in Å between the frames of each pair, less that of the centre."""
    if len(frames) == 0:
        return np.empty(0)
    moved = displacements(trajectory, frames)
    moved = moved - moved.mean(axis=1, keepdims=True)
    return np.asarray(np.sqrt(np.square(moved).sum(axis=2).mean(axis=1)))
