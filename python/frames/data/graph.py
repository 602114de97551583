"""Neighbour lists, by vesin. NumPy only: every engine that is driven from Python builds its graph here."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from frames.errors import FramesError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# vesin 0.6 shrinks a grid of more cells than this by one factor in all directions, and ends the process with
# a floating point exception where a direction is left with none: chains and layers of atoms, not bulk.
_GRID_CELLS = 100_000
# Open directions longer than this many cutoffs have their empty stretches cut short first.
_LONGEST_GRID = 200
# An atom this many cells outside the box is the sign of a run that blew up, and vesin's shifts are int32.
_FARTHEST_CELL = 1e6
_THREADED_FROM = 2000


def neighbour_list(positions: Floats, cell: Floats | None, pbc: Any, cutoff: float) -> tuple[Integers, Floats]:
    """All pairs closer than `cutoff`, in both directions, images of the atom itself included.

    Args:
        positions: [N,3] Å; atoms may lie outside the cell.
        cell: [3,3] Å, rows are the lattice vectors; those of open directions are ignored and may be zero.
            None for a molecule.
        pbc: one bool, or three; which directions are periodic.
        cutoff: Å; may exceed the cell.

    Returns:
        edge_index: [2,E] int64, sorted by row 0; row 0 is the centre i, row 1 its neighbour j.
        shifts: [E,3] Å, whole lattice vectors; the edge vector is `positions[j] + shifts - positions[i]`.

    Raises:
        FramesError: for wrong shapes, non-finite positions, a singular cell in a periodic direction, a
            system too long and thin for vesin, or atoms more than a million cells outside the box.
    """
    positions, lattice, periodic = _checked(positions, cell, pbc, cutoff)
    if len(positions) == 0:
        return np.empty((2, 0), np.int64), np.empty((0, 3))
    compacted, box, moved = positions, lattice, None
    if periodic.any() and not periodic.all():
        compacted, box, moved = _straightened(positions, lattice, periodic)
    compacted = _without_empty_space(compacted, box[periodic], cutoff)
    _check_grid(compacted, box[periodic], cutoff)

    # Imported here because vesin imports torch wherever torch is installed, which takes seconds.
    from vesin import NeighborList

    threads = 0 if len(positions) >= _THREADED_FROM else 1
    search = NeighborList(cutoff=cutoff, full_list=True, sorted=True, n_threads=threads)
    try:
        i, j, images = search.compute(compacted, box, periodic, quantities="ijS")
    except RuntimeError as error:
        raise FramesError(f"no neighbour list of {len(positions)} atoms: {error}") from error
    if moved is not None:
        images = images + moved[i] - moved[j]
    return np.stack([i, j]).astype(np.int64), images.astype(np.float64) @ lattice


def _checked(
    positions: Floats, cell: Floats | None, pbc: Any, cutoff: float
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    positions = np.ascontiguousarray(positions, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise FramesError(f"positions must have shape [N,3], got {list(positions.shape)}")
    finite = np.isfinite(positions).all(axis=1)
    if not finite.all():
        raise FramesError(f"atom {int(np.argmin(finite))} has the position {positions[np.argmin(finite)]}")
    if not (np.isfinite(cutoff) and cutoff > 0):
        raise FramesError(f"the cutoff must be a positive length in Å, got {cutoff}")
    periodic = np.array(np.broadcast_to(np.asarray(pbc, dtype=bool), (3,)))
    if cell is None:
        if periodic.any():
            raise FramesError("periodic directions need a cell: give a [3,3] cell in Å, or pbc = False")
        return positions, np.zeros((3, 3)), periodic
    lattice = np.array(cell, dtype=np.float64)
    if lattice.shape != (3, 3) or not np.isfinite(lattice).all():
        raise FramesError(f"the cell must be 3x3 finite numbers in Å, got {np.array(cell).tolist()}")
    lattice[~periodic] = 0.0
    _check_periodic_vectors(positions, lattice[periodic], cutoff)
    return positions, lattice, periodic


def _check_periodic_vectors(positions: Floats, vectors: Floats, cutoff: float) -> None:
    if len(vectors) == 0:
        return
    lengths = np.linalg.norm(vectors, axis=1)
    # The volume spanned by unit vectors along the lattice: zero if two are parallel or one vanishes.
    if not lengths.all() or np.linalg.matrix_rank(vectors / lengths[:, None], tol=1e-6) < len(vectors):
        raise FramesError(f"the periodic lattice vectors {vectors.tolist()} Å do not span a cell")
    if np.abs(positions @ np.linalg.pinv(vectors)).max(initial=0.0) > _FARTHEST_CELL:
        raise FramesError("atoms lie more than a million cells outside the box: the simulation has blown up")


def _straightened(
    positions: Floats, lattice: Floats, periodic: NDArray[np.bool_]
) -> tuple[Floats, Floats, NDArray[np.int32]]:
    """Chains and layers with their atoms inside the cell and their open directions along axes; for vesin.

    vesin wraps the atoms of bulk itself. Around those of chains and layers it makes a box along the axes, as they are,
    whose grid takes minutes, or ends the process, for tilted ones and for atoms that have moved on by some cells.

    Returns: positions [N,3] and lattice [3,3] so turned, and the whole vectors [N,3] taken off the positions.
    """
    moved = np.zeros((len(positions), 3), np.int32)
    moved[:, periodic] = np.floor(positions @ np.linalg.pinv(lattice[periodic]))
    axes = np.empty((3, 3))
    axes[periodic] = np.linalg.qr(lattice[periodic].T)[0].T
    axes[~periodic] = _open_directions(lattice[periodic])
    return (positions - moved @ lattice) @ axes.T, lattice @ axes.T, moved


def _check_grid(positions: Floats, periodic_vectors: Floats, cutoff: float) -> None:
    # The height of a cell along a lattice vector is one over the length of its reciprocal vector.
    reciprocal = np.linalg.pinv(periodic_vectors) if len(periodic_vectors) else np.empty((3, 0))
    heights = 1 / np.linalg.norm(reciprocal, axis=0)
    extents = np.ptp(positions @ _open_directions(periodic_vectors).T, axis=0)
    cells = np.maximum(1.0, np.concatenate([heights, extents]) // cutoff)
    shrink = np.cbrt(np.prod(cells) / _GRID_CELLS)
    if shrink > 1 and cells.min() < shrink:
        size = " x ".join(f"{count * cutoff:.4g}" for count in cells)
        raise FramesError(f"a system of about {size} Å is too long and thin for a cutoff of {cutoff} Å")


def _open_directions(periodic_vectors: Floats) -> Floats:
    """Orthonormal rows that span the complement of the periodic directions."""
    rank = len(periodic_vectors)
    return np.asarray(np.linalg.svd(periodic_vectors)[2][rank:]) if rank else np.eye(3)


def _without_empty_space(positions: Floats, periodic_vectors: Floats, cutoff: float) -> Floats:
    """Positions with the same neighbours, with long empty stretches along the open directions cut short.

    Along a direction perpendicular to every periodic vector, two groups of atoms separated by more than the
    cutoff stay separated by more than the cutoff when the gap between them shrinks to 1.01 cutoffs.
    """
    longest_gap = 1.01 * cutoff
    for direction in _open_directions(periodic_vectors):
        height = positions @ direction
        if np.ptp(height) <= _LONGEST_GRID * cutoff:
            continue
        order = np.argsort(height)
        gaps = np.diff(height[order])
        moved = np.zeros(len(positions))
        moved[order[1:]] = np.cumsum(np.maximum(gaps - longest_gap, 0.0))
        positions = positions - moved[:, None] * direction
    return positions
