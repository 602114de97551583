"""What is fixed before the first step: reference energies, energy scale, neighbours, shortest distances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

from frames.data.graph import neighbour_list
from frames.data.trajectory import Trajectory
from frames.errors import FramesError
from frames.training.batch import FrameIndex

Floats = npt.NDArray[np.float64]


def energy_reference(
    trajectories: Sequence[Trajectory], frames: Sequence[FrameIndex], elements: Sequence[int]
) -> Floats:
    """Reference energy per element [S] in eV: least squares of E ≈ Σ_elements n_element · e_element.

    Of all solutions, as there are many when every frame has the same composition, the one of smallest norm; zeros for
    frames without energies.
    """
    frames = [(t, i) for t, i in frames if trajectories[t].energies is not None]
    if not frames:
        return np.zeros(len(elements))
    counts = np.array(
        [[np.count_nonzero(trajectories[t].atomic_numbers == z) for z in elements] for t, _ in frames], np.float64
    )
    energies = np.array([_energies(trajectories[t])[i] for t, i in frames])
    solution: Floats = np.linalg.lstsq(counts, energies, rcond=None)[0]
    return solution


def energy_spread(
    trajectories: Sequence[Trajectory], frames: Sequence[FrameIndex], elements: Sequence[int], reference: Floats
) -> float:
    """Standard deviation of the energy per atom in eV, reference energies taken off; at least 1e-4."""
    left = []
    for t, i in frames:
        run = trajectories[t]
        if run.energies is not None:
            own = sum(e * np.count_nonzero(run.atomic_numbers == z) for z, e in zip(elements, reference, strict=True))
            left.append((run.energies[i] - own) / run.atoms)
    return max(float(np.std(left)), 1e-4) if left else 1.0


def virial_spread(trajectories: Sequence[Trajectory], frames: Sequence[FrameIndex]) -> float:
    """Root mean square of the virial components per atom in eV; at least 1e-4."""
    square = []
    for t, i in frames:
        virials = trajectories[t].virials
        if virials is not None:
            square.append(np.mean(np.square(virials[i] / trajectories[t].atoms)))
    return max(float(np.sqrt(np.mean(square))), 1e-4) if square else 1.0


def force_scale(trajectories: Sequence[Trajectory], frames: Sequence[FrameIndex]) -> float:
    """Root mean square of the force components, eV/Å. As energy per Å it is the scale of the backbone's output."""
    square = [np.mean(_forces(trajectories[t])[i] ** 2) for t, i in frames]
    return float(np.sqrt(np.mean(square))) or 1.0


def average_neighbours(
    trajectories: Sequence[Trajectory], frames: Sequence[FrameIndex], cutoff: float, sample: int = 32
) -> float:
    """Mean number of neighbours within the cutoff, over a sample of the frames; at least 1.

    Raises FramesError where no atom of several has a neighbour.
    """
    chosen = [frames[i] for i in np.linspace(0, len(frames) - 1, min(sample, len(frames))).astype(int)]
    edges = atoms = 0
    for t, i in chosen:
        run = trajectories[t]
        cell = None if run.cells is None else run.cells[i]
        edges += neighbour_list(run.positions[i], cell, run.pbc, cutoff)[0].shape[1]
        atoms += len(run.atomic_numbers)
    if edges == 0 and any(trajectories[t].atoms > 1 for t, _ in chosen):
        raise FramesError(f"model.cutoff = {cutoff:g}: no atom has a neighbour within it; it is a length in Å, as 5.0")
    return max(edges / atoms, 1.0)


def shortest_distances(
    trajectories: Sequence[Trajectory], frames: Sequence[FrameIndex], cutoff: float, sample: int = 20_000
) -> dict[str, float]:
    """Shortest distance in Å of every pair of elements within the cutoff, keyed "H-C", lighter element first.

    Below it a model extrapolates, which engines warn of. More frames than `sample` are thinned out evenly.
    """
    chosen = [frames[i] for i in np.unique(np.linspace(0, len(frames) - 1, min(sample, len(frames))).astype(int))]
    shortest: dict[tuple[int, int], float] = {}
    for t, i in chosen:
        run = trajectories[t]
        cell = None if run.cells is None else run.cells[i]
        edges, shifts = neighbour_list(run.positions[i], cell, run.pbc, cutoff)
        square = np.square(run.positions[i][edges[1]] + shifts - run.positions[i][edges[0]]).sum(1)
        ends = np.sort(run.atomic_numbers[edges], axis=0)
        for first, second in np.unique(ends, axis=1).T.tolist():
            here = float(square[(ends[0] == first) & (ends[1] == second)].min())
            shortest[first, second] = min(here, shortest.get((first, second), np.inf))
    return {f"{chemical_symbols[a]}-{chemical_symbols[b]}": float(np.sqrt(d)) for (a, b), d in sorted(shortest.items())}


def _energies(trajectory: Trajectory) -> Floats:
    assert trajectory.energies is not None
    return trajectory.energies


def _forces(trajectory: Trajectory) -> Floats:
    assert trajectory.forces is not None
    return trajectory.forces
