"""Frames that occur twice, in one data set or in two."""

from __future__ import annotations

import numpy as np

from frames.data.trajectory import Floats, Integers, Trajectory


def find_duplicates(a: Trajectory, b: Trajectory | None = None, tolerance: float = 1e-4) -> Integers:
    """Pairs of frames with the same atoms at the same places.

    Positions are compared as stored: the same geometry turned or moved is not found. Consecutive frames of MD
    at 0.5 fs differ by 0.01 Å, rounding in text files by 1e-5 Å or less.

    Args:
        b: the other data set; None compares `a` with itself.
        tolerance: Å, largest difference of any coordinate.

    Returns:
        [K,2] indices (frame of a, frame of b), sorted; with b None each pair once, the lower index first.
    """
    other = a if b is None else b
    if not np.array_equal(a.atomic_numbers, other.atomic_numbers) or len(a) == 0 or len(other) == 0:
        return np.empty((0, 2), np.int64)
    first, second = a.positions.reshape(len(a), -1), other.positions.reshape(len(other), -1)
    candidates = _near_in_projection(first, second, tolerance)
    if b is None:
        candidates = candidates[candidates[:, 0] < candidates[:, 1]]
    same = [(i, j) for i, j in candidates.tolist() if np.abs(first[i] - second[j]).max(initial=0.0) <= tolerance]
    return np.array(sorted(same), dtype=np.int64).reshape(-1, 2)


def _near_in_projection(first: Floats, second: Floats, tolerance: float) -> Integers:
    """Pairs that agree along two random directions: all duplicates and few others, in n log n time."""
    direction = np.random.default_rng(0).standard_normal((first.shape[1], 2))
    # |d · x| <= max|x| * sum|d| bounds what a difference within the tolerance can make.
    reach = tolerance * np.abs(direction).sum(axis=0)
    one, two = first @ direction, second @ direction
    order = np.argsort(two[:, 0])
    low = np.searchsorted(two[order, 0], one[:, 0] - reach[0])
    high = np.searchsorted(two[order, 0], one[:, 0] + reach[0], side="right")
    i = np.repeat(np.arange(len(one)), high - low)
    j = order[np.concatenate([np.arange(a, b) for a, b in zip(low, high, strict=True)]).astype(np.int64)]
    near = np.abs(one[i, 1] - two[j, 1]) <= reach[1]
    return np.stack([i[near], j[near]], axis=1)
