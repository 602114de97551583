"""A molecule of Morse bonds: exact forces, and dynamics of any length in no time."""

from __future__ import annotations

import numpy as np
from ase.data import atomic_masses

from frames.data.trajectory import Trajectory
from frames.units import AMU_ANGSTROM2_PER_FS2

NUMBERS = np.array([8, 1, 1, 6])
DEPTH, WIDTH, LENGTH = 3.0, 1.4, 1.3  # eV, 1/Å, Å


def morse(positions: np.ndarray, width: float = WIDTH, length: float = LENGTH) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces (eV/Å) of Morse bonds between all atoms."""
    delta = positions[None] - positions[:, None]
    distance = np.linalg.norm(delta, axis=2) + np.eye(len(positions))
    decay = np.exp(-width * (distance - length)) * (1 - np.eye(len(positions)))
    energy = 0.5 * DEPTH * float((decay**2 - 2 * decay).sum())
    slope = DEPTH * width * 2 * (decay - decay**2)  # dE/dr of each pair
    return energy, (slope[:, :, None] * delta / distance[:, :, None]).sum(1)


def run_morse(frames: int, step: float = 0.5, seed: int = 0) -> Trajectory:
    """Velocity Verlet at constant energy, every step stored."""
    random = np.random.default_rng(seed)
    masses = atomic_masses[NUMBERS][:, None] * AMU_ANGSTROM2_PER_FS2
    r = LENGTH * np.array([[0, 0, 0], [1, 0, 0], [0.5, 0.87, 0], [0.5, 0.29, 0.82]])
    v = random.normal(size=r.shape) * np.sqrt(0.06 / masses)
    v -= (masses * v).sum(0) / masses.sum()
    energy, force = morse(r)
    record: dict[str, list[np.ndarray | float]] = {"positions": [], "energies": [], "forces": [], "velocities": []}
    for _ in range(frames):
        for key, value in (("positions", r), ("energies", energy), ("forces", force), ("velocities", v)):
            record[key].append(np.array(value))
        half = v + 0.5 * step * force / masses
        r = r + step * half
        energy, force = morse(r)
        v = half + 0.5 * step * force / masses
    arrays = {key: np.array(values) for key, values in record.items()}
    return Trajectory(NUMBERS, times=np.arange(frames) * step, source="morse", **arrays)
