"""Frames that occur twice, in one data set or in two."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from frames.data.periodic import completed
from frames.data.trajectory import Floats, Integers, Trajectory, in_blocks

_PAIRS_AT_ONCE = 1 << 20


def find_duplicates(a: Trajectory, b: Trajectory | None = None, tolerance: float = 1e-4) -> Integers:
    """Pairs of frames with the same atoms at the same places relative to each other.

    Positions are compared wherever the whole lies, since programs move centres of mass, and in periodic directions up
    to lattice vectors: files differ in which image of an atom they hold. A molecule without a box is compared with one
    in a box of constant size as if it had that box. The same geometry turned is not found.
    Consecutive frames of MD at 0.5 fs differ by 0.01 Å, rounding in text files by 1e-5 Å or less.

    Args:
        b: the other data set; None compares `a` with itself.
        tolerance: Å, largest difference of any coordinate.

    Returns:
        [K,2] indices (frame of a, frame of b), sorted; with b None each pair once, the lower index first.
    """
    other = a if b is None else b
    if not np.array_equal(a.atomic_numbers, other.atomic_numbers) or len(a) == 0 or len(other) == 0:
        return np.empty((0, 2), np.int64)
    a, other = _boxed(a, other), _boxed(other, a)
    a, other = _anchored(a), _anchored(other)
    periodic = np.array(a.pbc) & np.array(other.pbc)
    first, second = (_without_images(run, a, periodic) for run in (a, other))
    candidates = _near_in_projection(first, second, tolerance)
    if b is None:
        candidates = candidates[candidates[:, 0] < candidates[:, 1]]
    same = [part[_largest_difference(a, other, part, periodic) <= tolerance] for part in in_blocks(candidates, a.atoms)]
    found = np.concatenate([np.empty((0, 2), np.int64), *same])
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def _boxed(run: Trajectory, other: Trajectory) -> Trajectory:
    """The run, with the box of the other one where it has none: the same molecule may lie in a file of each kind."""
    if run.periodic or not other.periodic or other.cells is None:
        return run
    return replace(run, cells=other.cells[0], pbc=other.pbc)


def _anchored(run: Trajectory) -> Trajectory:
    """The run with the centre of every frame, or in periodic ones the first atom, at the origin. A lone atom stays."""
    if run.atoms == 1:
        return run
    origin = run.positions[:, :1] if run.periodic else run.positions.mean(axis=1, keepdims=True)
    return replace(run, positions=run.positions - origin)


def _without_images(run: Trajectory, scale: Trajectory, periodic: NDArray[np.bool_]) -> Floats:
    """[T,K] coordinates that are the same for all images of an atom, none of which changes faster than a position.

    Of a fractional coordinate f they are cos 2πf and sin 2πf, divided by the largest slope, 2π √3 ‖∇f‖, that the cell
    of `scale` gives them; where only some directions are periodic, the others are left to the comparison of candidates.
    """
    if not periodic.any() or run.cells is None or scale.cells is None:
        return run.positions.reshape(len(run), -1)
    inverse = np.linalg.inv(completed(scale.cells[:1], scale.pbc))[0]
    slope = 2 * np.pi * np.sqrt(3) * np.linalg.norm(inverse, axis=0)[periodic]
    angles = 2 * np.pi * (run.positions @ np.linalg.inv(completed(run.cells, run.pbc)))[:, :, periodic]
    return np.concatenate([np.cos(angles) / slope, np.sin(angles) / slope], axis=2).reshape(len(run), -1)


def _largest_difference(a: Trajectory, b: Trajectory, frames: Integers, periodic: NDArray[np.bool_]) -> Floats:
    """[P] Å, of any coordinate of the frames [P,2] of a and b, lattice vectors of the first taken off."""
    first, second = frames.T
    difference = b.positions[second] - a.positions[first]
    if periodic.any() and a.cells is not None:
        cells = completed(a.cells[first], a.pbc)
        difference = difference - (np.round(difference @ np.linalg.inv(cells)) * periodic) @ cells
    return np.asarray(np.abs(difference).max(axis=(1, 2), initial=0.0))


def _near_in_projection(first: Floats, second: Floats, tolerance: float) -> Integers:
    """Pairs that agree along two random directions: all duplicates and few others."""
    direction = np.random.default_rng(0).standard_normal((first.shape[1], 2))
    # |d · x| <= max|x| * sum|d| bounds what a difference within the tolerance can make.
    reach = tolerance * np.abs(direction).sum(axis=0)
    one, two = first @ direction, second @ direction
    order = np.argsort(two[:, 0])
    low = np.searchsorted(two[order, 0], one[:, 0] - reach[0])
    high = np.searchsorted(two[order, 0], one[:, 0] + reach[0], side="right")
    found = [np.empty((0, 2), np.int64)]
    # so many at once as memory has room for: of large systems, every hundredth pair or more agrees along the first one
    ends = np.cumsum(high - low)
    for part in np.split(np.arange(len(one)), np.flatnonzero(np.diff(ends // _PAIRS_AT_ONCE)) + 1):
        count = (high - low)[part]
        i = np.repeat(part, count)
        j = order[np.repeat(low[part] - np.cumsum(count) + count, count) + np.arange(count.sum())]
        near = np.abs(one[i, 1] - two[j, 1]) <= reach[1]
        found.append(np.stack([i[near], j[near]], axis=1))
    return np.concatenate(found)
