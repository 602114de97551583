"""The facts about a trajectory that `frames data inspect` prints."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from frames.data.duplicates import find_duplicates
from frames.data.graph import neighbour_list
from frames.data.selftest import SelfTest
from frames.data.timeline import time_line
from frames.data.trajectory import Floats, Integers, Trajectory

_MOST_DISTANCES = 50_000_000
_ALL_PAIRS = 1000  # atoms
_PERIODIC_REACH = 5.0
"""Å."""


def summary(trajectory: Trajectory) -> dict[str, Any]:
    """Counts, ranges and distances, as plain numbers and strings with the unit in the name of the key."""
    line = time_line(trajectory)
    lengths = None if trajectory.cells is None else np.linalg.norm(trajectory.cells, axis=2).mean(axis=0)
    return {
        "source": trajectory.source,
        "frames": len(trajectory),
        "atoms": trajectory.atoms,
        "formula": formula(trajectory.atomic_numbers),
        "periodic": list(trajectory.pbc),
        "mean_cell_lengths_angstrom": None if lengths is None else [round(float(x), 4) for x in lengths],
        "runs": line.runs,
        "ordered": trajectory.ordered,
        "time_step_fs": line.step,
        "gaps": len(line.gaps),
        "jumps": len(line.jumps),
        "labels": [key for key in ("energies", "forces", "virials", "velocities") if _has(trajectory, key)],
        "energy_ev": _range(trajectory.energies),
        "force_rms_ev_per_angstrom": _rms(trajectory.forces),
        "force_max_ev_per_angstrom": None
        if trajectory.forces is None or trajectory.forces.size == 0
        else float(np.linalg.norm(trajectory.forces, axis=2).max()),
        "net_force_ev_per_angstrom": net_force(trajectory),
        "shortest_distances_angstrom": shortest_distances(trajectory),
        "duplicate_frames": len(find_duplicates(trajectory)),
        "notes": list(trajectory.notes),
        "metadata": dict(trajectory.metadata),
    }


def self_test_facts(result: SelfTest) -> dict[str, Any]:
    """The result of a self-test as plain numbers and strings."""
    return {
        "verdict": result.verdict,
        "work": None if result.work is None else vars(result.work),
        "verlet": None if result.verlet is None else vars(result.verlet),
        "findings": [vars(finding) for finding in result.findings],
    }


def formula(atomic_numbers: Integers) -> str:
    """In Hill order: carbon, hydrogen, then the alphabet; the alphabet alone without carbon."""
    from ase.data import chemical_symbols

    counts = Counter(chemical_symbols[number] for number in atomic_numbers)
    first = ["C", "H"] if "C" in counts else []
    order = [symbol for symbol in first if symbol in counts] + sorted(set(counts) - set(first))
    return "".join(f"{symbol}{counts[symbol] if counts[symbol] > 1 else ''}" for symbol in order)


def net_force(trajectory: Trajectory) -> float | None:
    """Mean over frames and directions of |Σᵢ Fᵢ| / N in eV/Å, None without forces.

    Forces of a potential that depends on relative positions add up to zero, so by the triangle inequality its MAE on
    these forces is no smaller. Labels have a net force where a grid, an external field or atoms held in place gave one.
    """
    if trajectory.forces is None or trajectory.forces.size == 0:
        return None
    return float(np.abs(trajectory.forces.mean(axis=1)).mean())


def shortest_distances(trajectory: Trajectory) -> dict[str, float]:
    """Shortest distance in Å for every pair of elements ("C-H"), in periodic frames of pairs within 5 Å, to images too.

    Over all frames, or over as many evenly spaced ones as 50 million distances allow. Of more than 1,000 atoms only
    pairs within 5 Å are looked at, as in periodic frames.
    """
    from ase.data import chemical_symbols

    if len(trajectory) == 0:
        return {}
    if trajectory.periodic or trajectory.atoms > _ALL_PAIRS:
        return _shortest_to_images(trajectory)
    atoms = trajectory.atoms
    i, j = np.triu_indices(atoms, k=1)
    if len(i) == 0:
        return {}
    most = max(1, _MOST_DISTANCES // len(i))
    chosen = np.unique(np.linspace(0, len(trajectory) - 1, min(most, len(trajectory))).astype(np.int64))
    shortest = np.full(len(i), np.inf)
    for frame in chosen:
        vectors = trajectory.positions[frame][j] - trajectory.positions[frame][i]
        shortest = np.minimum(shortest, np.einsum("pi,pi->p", vectors, vectors))
    symbols = np.array([chemical_symbols[number] for number in trajectory.atomic_numbers])
    found: dict[str, float] = {}
    for a, b, squared in zip(symbols[i], symbols[j], shortest, strict=True):
        pair = "-".join(sorted((a, b)))
        found[pair] = min(found.get(pair, np.inf), float(np.sqrt(squared)))
    return dict(sorted(found.items()))


def _shortest_to_images(trajectory: Trajectory) -> dict[str, float]:
    from ase.data import chemical_symbols

    cells = trajectory.cells

    def edges_of(frame: int) -> tuple[Integers, Floats]:
        cell = None if cells is None else cells[frame]
        return neighbour_list(trajectory.positions[frame], cell, trajectory.pbc, _PERIODIC_REACH)

    most = max(1, _MOST_DISTANCES // max(edges_of(0)[0].shape[1], 1))
    chosen = np.unique(np.linspace(0, len(trajectory) - 1, min(most, len(trajectory))).astype(np.int64))
    symbols = np.array([chemical_symbols[number] for number in trajectory.atomic_numbers])
    names, kind = np.unique(symbols, return_inverse=True)
    shortest = np.full((len(names), len(names)), np.inf)
    for frame in chosen:
        positions = trajectory.positions[frame]
        edges, shifts = edges_of(frame)
        squared = np.square(positions[edges[1]] + shifts - positions[edges[0]]).sum(1)
        np.minimum.at(shortest, (kind[edges[0]], kind[edges[1]]), squared)
    return {
        f"{names[a]}-{names[b]}": float(np.sqrt(shortest[a, b]))
        for a, b in zip(*np.triu_indices(len(names)), strict=True)
        if np.isfinite(shortest[a, b])
    }


def _has(trajectory: Trajectory, key: str) -> bool:
    return getattr(trajectory, key) is not None


def _range(values: Any) -> dict[str, float] | None:
    if values is None or len(values) == 0:
        return None
    return {"min": float(values.min()), "max": float(values.max()), "std": float(values.std())}


def _rms(values: Any) -> float | None:
    return None if values is None or values.size == 0 else float(np.sqrt(np.mean(np.square(values))))
