"""Errors of a model file on labelled frames: energy, force by element and by size, stress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from ase.data import chemical_symbols

from frames.data.trajectory import Floats, Integers, Trajectory
from frames.errors import FramesError
from frames.inference import Evaluator, check_elements
from frames.units import GIGAPASCAL

FORCE_SIZES = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, float("inf"))
"""Borders in eV/Å of the classes that force errors are listed by."""


@dataclass(frozen=True)
class Predictions:
    """Labels and what the model says, over F frames with together M atoms; empty where there are no labels."""

    compositions: Integers  # [F,K] atoms of each element, of the frames that have energies
    energies: Floats  # [F,2] eV: label, prediction
    elements: Integers  # [M] atomic numbers of the atoms that have forces
    forces: Floats  # [M,2,3] eV/Å
    stresses: Floats  # [S,2,3,3] eV/Å³, −W/V


@dataclass(frozen=True)
class Error:
    """Mean absolute and root mean square error of `count` values, in `unit`."""

    name: str
    unit: str
    count: int
    mae: float
    rmse: float


def predict(
    model: Evaluator, trajectories: Sequence[Trajectory], progress: Callable[[int, int], None] | None = None
) -> Predictions:
    """Asks the model about every frame.

    Args:
        progress: called with the frames done and their number.

    Raises FramesError for elements that the model does not know, and for frames without any label.
    """
    if all(run.energies is None and run.forces is None for run in trajectories):
        raise FramesError("the data hold neither energies nor forces, so there is nothing to compare with")
    for run in trajectories:
        check_elements(model.metadata.elements, run.atomic_numbers)
    compositions: list[Integers] = []
    kinds = np.unique(np.concatenate([run.atomic_numbers for run in trajectories]))
    energies: list[tuple[float, float]] = []
    elements: list[Integers] = []
    forces: list[Floats] = []
    stresses: list[Floats] = []
    done, total = 0, sum(len(run) for run in trajectories)
    for run in trajectories:
        composition = (run.atomic_numbers[:, None] == kinds).sum(axis=0)
        for i in range(len(run)):
            cell = None if run.cells is None else run.cells[i]
            found = model.evaluate(run.atomic_numbers, run.positions[i], cell, np.array(run.pbc))
            if run.energies is not None:
                compositions.append(composition)
                energies.append((float(run.energies[i]), found.energy))
            if run.forces is not None:
                elements.append(run.atomic_numbers)
                forces.append(np.stack([run.forces[i], found.forces], axis=1))
            if run.virials is not None and all(run.pbc) and cell is not None:
                stresses.append(-np.stack([run.virials[i], found.virial]) / abs(float(np.linalg.det(cell))))
            done += 1
            if progress is not None:
                progress(done, total)
    return Predictions(
        np.array(compositions, np.int64).reshape(len(compositions), len(kinds)),
        np.array(energies, np.float64).reshape(-1, 2),
        np.concatenate(elements) if elements else np.zeros(0, np.int64),
        np.concatenate(forces) if forces else np.zeros((0, 2, 3)),
        np.array(stresses, np.float64).reshape(-1, 2, 3, 3),
    )


def errors(found: Predictions) -> list[Error]:
    """The table of errors: whole, per atom, by element, by the size of the labelled force, and of the stress.

    Force and stress errors are over components. The line "energy, mean removed" is what is left where labels and model
    count energies from different zeros: one for each element is fitted, which for one molecule is the mean.
    """
    table: list[Error] = []
    if len(found.energies):
        difference = 1e3 * (found.energies[:, 1] - found.energies[:, 0])
        table.append(_error("energy", "meV", difference))
        table.append(_error("energy per atom", "meV", difference / found.compositions.sum(axis=1)))
        table.append(_error("energy, mean removed", "meV", _without_zeros(difference, found.compositions)))
    if len(found.forces):
        change = 1e3 * (found.forces[:, 1] - found.forces[:, 0])
        table.append(_error("force", "meV/Å", change))
        kinds = np.unique(found.elements).tolist()
        table += [_error(f"force on {chemical_symbols[z]}", "meV/Å", change[found.elements == z]) for z in kinds]
        size = np.linalg.norm(found.forces[:, 0], axis=1)
        for low, high in pairwise(FORCE_SIZES):
            inside = (size >= low) & (size < high)
            if inside.any():
                label = f"{low:g} to {high:g}" if np.isfinite(high) else f"{low:g} and more"
                table.append(_error(f"force where it is {label} eV/Å", "meV/Å", change[inside]))
    if len(found.stresses):
        stress = 1e3 / GIGAPASCAL * (found.stresses[:, 1] - found.stresses[:, 0])
        table.append(_error("stress", "MPa", stress))
    return table


def _without_zeros(values: Floats, compositions: Integers) -> Floats:
    """[F] less what energies of the elements can explain, by least squares."""
    counts = compositions.astype(np.float64)
    return np.asarray(values - counts @ np.linalg.lstsq(counts, values, rcond=None)[0])


def _error(name: str, unit: str, difference: Floats) -> Error:
    """`difference` [count,...]."""
    values = np.asarray(difference).reshape(-1)
    return Error(name, unit, len(difference), float(np.abs(values).mean()), float(np.sqrt(np.square(values).mean())))
