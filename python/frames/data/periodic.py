"""Displacements across periodic boundaries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from frames.data.trajectory import Floats, Integers, Trajectory


def displacements(trajectory: Trajectory, frames: Integers) -> Floats:
    """r(second) - r(first) of each pair of frames, to the nearest image in periodic directions.

    Args:
        frames: [P,2] indices of frames.

    Returns:
        [P,N,3] Å.
    """
    first, second = np.asarray(frames, dtype=np.int64).reshape(-1, 2).T
    moved = trajectory.positions[second] - trajectory.positions[first]
    if not trajectory.periodic:
        return np.asarray(moved)
    assert trajectory.cells is not None  # checked when a trajectory with periodic directions is made
    return np.asarray(moved - whole_vectors(moved, trajectory.cells[second], trajectory.pbc))


def whole_vectors(vectors: Floats, cells: Floats, pbc: tuple[bool, bool, bool]) -> Floats:
    """The lattice vectors nearest to `vectors` [...,N,3], for cells [...,3,3]: zero along open directions.

    Rounding of fractional coordinates, which is the nearest image for displacements well below half the cell.
    """
    lattice = completed(cells, pbc)
    fractions = np.einsum("...ni,...ij->...nj", vectors, np.linalg.inv(lattice))
    whole = np.where(pbc, np.round(fractions), 0.0)
    return np.asarray(np.einsum("...ni,...ij->...nj", whole, lattice))


def completed(cells: Floats, pbc: tuple[bool, bool, bool]) -> Floats:
    """Cells [...,3,3] with the vectors of open directions replaced so that every cell is invertible."""
    lattice = np.array(cells)
    if all(pbc):
        return lattice
    for axis in (axis for axis in range(3) if not pbc[axis]):
        lattice[..., axis, :] = 0.0
    for axis in (axis for axis in range(3) if not pbc[axis]):
        # The direction most nearly perpendicular to what is there: the last right singular vector.
        lattice[..., axis, :] = np.linalg.svd(lattice)[2][..., -1, :]
    return lattice


def unwrap(trajectory: Trajectory) -> Trajectory:
    """The same trajectory with atoms followed across periodic boundaries inside each run.

    Positions wrapped into the cell jump by a lattice vector when an atom leaves it; afterwards differences of
    positions are displacements. Needs frames in order, and steps shorter than half the cell.
    """
    if not trajectory.periodic or len(trajectory) < 2:
        return trajectory
    assert trajectory.cells is not None
    # Counted in fractional coordinates, so that a changing cell (constant pressure) is no jump.
    inverse = np.linalg.inv(completed(trajectory.cells, trajectory.pbc))
    fractions = np.einsum("tni,tij->tnj", trajectory.positions, inverse)
    jumps = np.where(trajectory.pbc, np.round(np.diff(fractions, axis=0)), 0.0)
    jumps[np.diff(trajectory.runs) != 0] = 0.0
    if not jumps.any():
        return trajectory
    whole = np.concatenate([np.zeros_like(fractions[:1]), np.cumsum(jumps, axis=0)])
    for run in np.unique(trajectory.runs):
        inside = np.flatnonzero(trajectory.runs == run)
        whole[inside] -= whole[inside[0]]
    shift = np.einsum("tni,tij->tnj", whole, trajectory.cells)
    crossings = int(np.count_nonzero(jumps.any(axis=2)))
    note = f"unwrapped {crossings} crossings of periodic boundaries"
    return replace(trajectory, positions=trajectory.positions - shift).with_notes(note)
