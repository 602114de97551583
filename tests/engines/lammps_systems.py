"""Structures for the tests with LAMMPS: what makes neighbour lists and ghosts hard, for a cutoff of 4 Å."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.units import fs
from numpy.typing import ArrayLike

TYPES = (8, 6, 1)  # atomic number of each atom type: neither the order of the model nor that of the symbols


def jittered(shape: tuple[int, int, int], cell: ArrayLike, seed: int) -> Atoms:
    """C, H and O atoms on a lattice, each displaced at random by up to 0.15 Å along each axis."""
    rng = np.random.default_rng(seed)
    steps = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) / n for n in shape], indexing="ij"), axis=-1).reshape(-1, 3)
    positions = steps @ np.asarray(cell, float) + rng.uniform(-0.15, 0.15, (len(steps), 3))
    return Atoms(rng.choice([1, 6, 8], len(steps)), positions, cell=cell, pbc=True)


def ethanol() -> Atoms:
    """Nine atoms with open boundaries."""
    return molecule("CH3CH2OH")


def crystal() -> Atoms:
    """A box between two and three cutoffs wide."""
    return jittered((4, 4, 5), np.diag([9.0, 9.5, 11.0]), 1)


def triclinic() -> Atoms:
    """A tilted box."""
    return jittered((4, 4, 4), [[10, 0, 0], [4, 9.5, 0], [-3, 4.5, 9]], 2)


def narrow() -> Atoms:
    """A box narrower than the cutoff, so that atoms are neighbours of their own images."""
    return jittered((1, 2, 1), [[2.5, 0, 0], [0.7, 3.6, 0], [0.5, -0.9, 2.4]], 4)


def slab() -> Atoms:
    """A layer in a tall box: ranks above and below it own no atom."""
    atoms = jittered((4, 4, 2), np.diag([9.0, 9.5, 4.4]), 5)
    atoms.set_cell([9.0, 9.5, 60.0])
    return atoms


def chain() -> Atoms:
    """Periodic along one direction, open along the others."""
    atoms = jittered((6, 2, 2), np.diag([13.0, 4.6, 4.6]), 6)
    atoms.pbc = (True, False, False)
    return atoms


STRUCTURES = [ethanol, crystal, triclinic, narrow, slab, chain]


def heated(atoms: Atoms, temperature: float, seed: int = 11) -> Atoms:
    """The same with random velocities, without drift."""
    rng = np.random.default_rng(seed)
    masses = atoms.get_masses()[:, None]
    velocities = rng.normal(size=(len(atoms), 3)) * np.sqrt(8.617333262e-5 * temperature / masses)
    atoms.set_velocities(velocities - (masses * velocities).sum(axis=0) / masses.sum())
    assert np.abs(atoms.get_velocities()).max() * fs < 1.0  # Å per fs: nothing flies
    return atoms
