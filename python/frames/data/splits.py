"""Training, validation and test frames that know nothing of each other.

Frame t+1 is nearly a copy of frame t: a random split of consecutive frames puts copies of the test set into
training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from frames.data.timeline import MOST_BACKWARD, backward_steps, looks_consecutive, pairs
from frames.data.trajectory import Integers, Trajectory
from frames.errors import FramesError


@dataclass(frozen=True)
class Split:
    """Indices of frames (of trajectories, for a split by molecule) in three parts, and how they were made."""

    train: Integers
    validation: Integers
    test: Integers
    kind: str
    """For reports: "time blocks, 50 frames between them"."""
    gap: int = 0
    """Frames between parts."""
    runs: Integers = field(default_factory=lambda: np.zeros(0, np.int64))
    """[T] run of every frame; the gap matters inside a run only. Empty: one run."""

    def check_gap(self, used_in_training: Integers | None = None) -> None:
        """Raise FramesError if a frame used in training, in any role, is held out or too near to one that is.

        Args:
            used_in_training: indices of all frames that training sees, partners of pairs included; the
                training part if None.
        """
        used = np.unique(self.train if used_in_training is None else np.asarray(used_in_training))
        for name, held_out in (("validation", self.validation), ("test", self.test)):
            kept = np.sort(held_out)
            if len(used) == 0 or len(kept) == 0:
                continue
            after = np.searchsorted(kept, used)
            for neighbour in (np.minimum(after, len(kept) - 1), np.maximum(after - 1, 0)):
                near = np.abs(kept[neighbour] - used) <= self.gap
                if len(self.runs):
                    near &= self.runs[kept[neighbour]] == self.runs[used]
                near |= kept[neighbour] == used
                if near.any():
                    first = int(np.argmax(near))
                    other = kept[neighbour[first]]
                    raise FramesError(
                        f"frame {used[first]} is used in training and lies {abs(other - used[first])} frames "
                        f"from {name} frame {other}; more than {self.gap} are needed"
                    )


def split_by_time(trajectory: Trajectory, train: float, validation: float, test: float, gap: int = 0) -> Split:
    """Blocks in time: train, gap, validation, gap, test.

    Args:
        train, validation, test: numbers of frames (integers), or fractions (floats up to 1) of the frames
            that gaps and counted parts leave.
        gap: frames left out between two blocks.

    Raises:
        FramesError: if the order of the frames is unknown or is not that of the file, or the blocks need more frames
            than there are.
    """
    if not trajectory.ordered:
        raise FramesError(
            f"{trajectory.source or 'trajectory'}: the order of the frames is unknown, so they cannot be "
            "split by time; give the time step in fs if they are consecutive"
        )
    _require_file_order(trajectory)
    if gap < 0:
        raise FramesError(f"the gap must be a number of frames, got {gap}")
    parts = [size for size in (train, validation, test) if size > 0]
    usable = len(trajectory) - gap * max(0, len(parts) - 1)
    sizes = _sizes((train, validation, test), usable, len(trajectory), f" with gaps of {gap}", trajectory.source)
    blocks, start = [], 0
    for size in sizes:
        blocks.append(np.arange(start, start + size))
        start += size + (gap if size else 0)
    kind = f"time blocks, {gap} frames between them"
    return Split(blocks[0], blocks[1], blocks[2], kind, gap, trajectory.runs)


def _require_file_order(trajectory: Trajectory) -> None:
    """Raises FramesError for shuffled frames, whose blocks would lie among each other in time.

    Some steps backward are those of a file made of several pieces.
    """
    backward = backward_steps(trajectory)
    if len(backward) > max(1, MOST_BACKWARD * (len(trajectory) - 1)):
        raise FramesError(
            f"{trajectory.source or 'trajectory'}: the frames are not stored in the order of their times (frame "
            f"{backward[0] + 1} is no later than the one before it, as are {len(backward)} in all), so "
            "they cannot be split into blocks of time; `frames data convert` sorts them"
        )


def split_random(trajectory: Trajectory, train: float, validation: float, test: float, seed: int = 0) -> Split:
    """Random frames, for data whose frames were drawn independently.

    Raises:
        FramesError: for consecutive frames, known by their times or by how little they differ.
    """
    if trajectory.ordered or looks_consecutive(trajectory):
        raise FramesError(
            f"{trajectory.source or 'trajectory'}: its frames are consecutive, and a random split would "
            "put near copies of the test frames into training; split by time with a gap"
        )
    sizes = _sizes((train, validation, test), len(trajectory), len(trajectory), "", trajectory.source)
    return _random_parts(len(trajectory), sizes, seed, "random frames of unordered data")


def split_by_molecule(
    trajectories: Sequence[Trajectory], train: float, validation: float, test: float, seed: int = 0
) -> Split:
    """Whole trajectories at random, so that no test molecule is seen in training. Indices are of the list.

    Trajectories of the same atoms in the same order count as one molecule and stay together.
    """
    keys = [trajectory.atomic_numbers.tobytes() for trajectory in trajectories]
    distinct = sorted(set(keys))
    sizes = _sizes((train, validation, test), len(distinct), len(distinct), " molecules")
    molecules = _random_parts(len(distinct), sizes, seed, "whole molecules")
    belongs = np.array([distinct.index(key) for key in keys], dtype=np.int64)
    train_, validation_, test_ = (
        np.flatnonzero(np.isin(belongs, part)) for part in (molecules.train, molecules.validation, molecules.test)
    )
    return Split(train_, validation_, test_, molecules.kind)


def choose_labelled(indices: Integers, count: int, seed: int = 0, evenly: bool = False) -> Integers:
    """`count` of these frames, sorted: the ones whose energies and forces training may use.

    Args:
        evenly: equally spaced instead of at random.

    Raises:
        FramesError: if there are fewer frames than that.
    """
    indices = np.sort(np.asarray(indices, dtype=np.int64))
    if not 0 < count <= len(indices):
        raise FramesError(f"cannot choose {count} labelled frames out of {len(indices)}")
    if evenly:
        return indices[np.round(np.linspace(0, len(indices) - 1, count)).astype(np.int64)]
    return np.sort(np.random.default_rng(seed).choice(indices, count, replace=False))


def partner_pairs(
    trajectory: Trajectory, labelled: Integers, allowed: Integers, stride: int = 1, step: float | None = None
) -> Integers:
    """Pairs (t, t + stride) of labelled frames t whose partners stay inside `allowed`, the training block.

    Returns:
        [P,2] indices; a labelled frame with no partner does not occur.
    """
    found = pairs(trajectory, stride, step)
    return found[np.isin(found[:, 0], labelled) & np.isin(found[:, 1], allowed)]


def _sizes(
    parts: tuple[float, float, float], usable: int, total: int, remark: str, source: str = ""
) -> tuple[int, int, int]:
    place = f"{source}: " if source else ""
    names = ("train", "validation", "test")
    for name, size in zip(names, parts, strict=True):
        if not (np.isfinite(size) and size >= 0) or (size > 1 and size != int(size)):
            raise FramesError(f"{name} must be a number of frames or a fraction up to 1, got {size}")
    fractions = sum(size for size in parts if _is_fraction(size))
    counted = sum(int(size) for size in parts if not _is_fraction(size))
    left = usable - counted
    if left < 0 or fractions > 1 + 1e-9:
        wanted = " + ".join(f"{size:g}" for size in parts)
        raise FramesError(f"{place}{wanted} frames{remark} cannot be taken from {total}")
    train, validation, test = (int(size * left + 1e-9) if _is_fraction(size) else int(size) for size in parts)
    if train == 0:
        raise FramesError(f"{place}no frames are left for training out of {total}{remark}")
    return train, validation, test


def _is_fraction(size: float) -> bool:
    return isinstance(size, float) and size <= 1


def _random_parts(count: int, sizes: tuple[int, int, int], seed: int, kind: str) -> Split:
    order = np.random.default_rng(seed).permutation(count)
    bounds = np.cumsum(sizes)
    train, validation, test = (np.sort(part) for part in np.split(order[: bounds[2]], bounds[:2]))
    return Split(train, validation, test, kind)
