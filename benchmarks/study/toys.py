"""Two systems with exact forces: masses on springs, and a Lennard-Jones cluster. Velocity Verlet, every step stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase.cluster import Icosahedron
from ase.data import atomic_masses

from frames.data.dynamics import velocity_verlet
from frames.data.readers import hdf5
from frames.data.trajectory import Trajectory
from frames.units import AMU_ANGSTROM2_PER_FS2, BOLTZMANN

FRAMES = 20_000
LENGTH, STIFFNESS, BEND = 1.5, 15.0, 1.5  # Å, eV/Å², eV/Å²: springs to the next mass and to the one after it
EPSILON, SIGMA = 0.25, 1.5  # eV, Å: all of the cluster is within a cutoff of 5 Å


def springs(positions: np.ndarray) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces (eV/Å) of a chain: springs of rest length LENGTH, and of twice it to second neighbours."""
    energy, forces = 0.0, np.zeros_like(positions)
    for apart, stiffness in ((1, STIFFNESS), (2, BEND)):
        bond = positions[apart:] - positions[:-apart]
        length = np.sqrt(np.square(bond).sum(1))
        stretch = length - apart * LENGTH
        energy += 0.5 * stiffness * float(stretch @ stretch)
        pull = (stiffness * stretch / length)[:, None] * bond
        forces[:-apart] += pull
        forces[apart:] -= pull
    return energy, forces


def lennard_jones(positions: np.ndarray) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces (eV/Å) of 4ε((σ/r)¹² − (σ/r)⁶) between all atoms, without a cutoff."""
    delta = positions[None] - positions[:, None]
    square = np.square(delta).sum(2)
    np.fill_diagonal(square, np.inf)
    six = (SIGMA**2 / square) ** 3
    energy = 2.0 * EPSILON * float((six**2 - six).sum())
    return energy, ((24 * EPSILON * (six - 2 * six**2) / square)[:, :, None] * delta).sum(1)


def write_chain(path: Path, frames: int = FRAMES) -> None:
    """Eight masses in a row, of two kinds, 1 fs."""
    numbers = np.array([6, 8, 6, 6, 8, 6, 8, 6])
    start = np.column_stack([LENGTH * np.arange(8.0), np.zeros(8), np.zeros(8)])
    _write(path, "spring–mass chain", springs, numbers, start, temperature=600.0, step=1.0, frames=frames)


def write_cluster(path: Path, frames: int = FRAMES) -> None:
    """Thirteen atoms, an icosahedron that is hot but does not melt, 2 fs."""
    start = Icosahedron("Ar", 2, latticeconstant=1.0).positions
    start *= 2 ** (1 / 6) * SIGMA / np.linalg.norm(start[1:] - start[0], axis=1).mean()
    _write(path, "Lennard-Jones cluster", lennard_jones, np.full(13, 6), start, 700.0, step=2.0, frames=frames)


def _write(
    path: Path,
    name: str,
    potential: Callable[[np.ndarray], tuple[float, np.ndarray]],
    numbers: np.ndarray,
    start: np.ndarray,
    temperature: float,
    step: float,
    frames: int,
) -> None:
    random = np.random.default_rng(0)
    masses = np.asarray(atomic_masses)[numbers]
    weights = masses[:, None] * AMU_ANGSTROM2_PER_FS2
    # twice the thermal kinetic energy at the minimum: half of it becomes potential energy
    v = random.standard_normal(start.shape) * np.sqrt(2 * BOLTZMANN * temperature / weights)
    v -= (weights * v).sum(0) / weights.sum()
    r = start - (weights * start).sum(0) / weights.sum()
    v = _without_rotation(r, v, masses)
    energy, force = potential(r)
    settle, stored = 2000, []
    for k in range(settle + frames):
        if k >= settle:
            stored.append((r, v, energy, force))
        r, v, energy, force = velocity_verlet(potential, r, v, force, masses, step)
    positions, velocities, energies, forces = (np.array(values) for values in zip(*stored, strict=True))
    trajectory = Trajectory(
        numbers,
        positions,
        velocities=velocities,
        energies=energies,
        forces=forces,
        times=np.arange(frames) * step,
        source=name,
    )
    hdf5.write(path, [trajectory])


def _without_rotation(r: np.ndarray, v: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Velocities with the rigid rotation taken out; the tensor of inertia of a line has no inverse, so lstsq."""
    inertia = sum(m * (x @ x * np.eye(3) - np.outer(x, x)) for m, x in zip(masses, r, strict=True))
    momentum = (masses[:, None] * np.cross(r, v)).sum(0)
    return np.asarray(v - np.cross(np.linalg.lstsq(inertia, momentum, rcond=None)[0], r))
