"""What does not move freely: bonds of constant length (SHAKE, LINCS, rigid water) and atoms held in place."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from frames.data.periodic import whole_vectors
from frames.data.trajectory import Trajectory

LONGEST = 2.0
"""Å, of a bond that somebody would constrain."""
CONSTANT = 5e-4
"""Standard deviation of a length over the length: between the tolerance of constraints, 1e-4 and less, and the thermal
motion of a free bond, √(kT/k) over its length, some 4e-3 for one to hydrogen (k = 45 eV/Å²) at 10 K."""
_FRAMES = 200


def held_fast(trajectory: Trajectory) -> tuple[int, int]:
    """Numbers of bonds of constant length and of atoms that never move, over frames from all of a trajectory.

    Forces on them are in part those that hold them, which their motion shows as if they were of the potential.
    """
    frames = np.unique(np.linspace(0, len(trajectory) - 1, min(_FRAMES, len(trajectory))).astype(int))
    positions = trajectory.positions[frames]
    fixed = int((np.ptp(positions, axis=0).max(axis=1) == 0.0).sum())
    cell = None if trajectory.cells is None else trajectory.cells[0]
    first = Atoms(trajectory.atomic_numbers, positions[0], cell=cell, pbc=trajectory.pbc)
    i, j = neighbor_list("ij", first, LONGEST)  # type: ignore[no-untyped-call]
    i, j = i[i < j], j[i < j]
    if not len(i) or len(frames) < 2:
        return 0, fixed
    bonds = positions[:, j] - positions[:, i]
    if trajectory.periodic:
        assert trajectory.cells is not None
        bonds = bonds - whole_vectors(bonds, trajectory.cells[frames], trajectory.pbc)
    lengths = np.linalg.norm(bonds, axis=2)
    return int((lengths.std(axis=0) < CONSTANT * lengths.mean(axis=0)).sum()), fixed
