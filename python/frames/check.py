"""`frames check`: does a model file obey the physics that every engine relies on?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from frames.artifact import Array, TestFrame, read_model
from frames.errors import FramesError
from frames.inference import BackendName, Evaluator, Result, open_model


@dataclass(frozen=True)
class Finding:
    """One point of the check: the largest difference found and the largest that rounding explains."""

    name: str
    difference: float
    allowed: float
    unit: str

    @property
    def passed(self) -> bool:
        return bool(self.difference <= self.allowed)  # False for NaN


@dataclass(frozen=True)
class _Tolerance:
    """Relative to the largest force (at least 1 eV/Å), as differences in energy (eV) and force (eV/Å)."""

    exact: float  # the same arithmetic on other numbers: rotations, permutations
    numeric: float  # finite differences of the energy
    step: float  # Å; where rounding and truncation of the five-point formula meet


TOLERANCE = {"float32": _Tolerance(2e-5, 2e-3, 5e-3), "float64": _Tolerance(1e-9, 1e-5, 1e-3)}


def check_model(path: str | Path, *, backend: BackendName = "auto", seed: int = 0) -> tuple[str, list[Finding]]:
    """Checks a model on its own test frame, slightly distorted. Returns the backend used and one finding per point.

    Raises FramesError if the file cannot be read at all.
    """
    file = read_model(path)
    random = np.random.default_rng(seed)
    try:
        model = open_model(path, backend=backend)
    except FramesError as error:
        if "test frame" not in str(error):
            raise
        return backend, [Finding(f"replay of the test frame ({error})", float("inf"), 0.0, "")]
    check = _Check(model, file.test_frame, random)
    points: list[Callable[[], Finding]] = [
        check.replay,
        check.rotation,
        check.translation,
        check.permutation,
        check.two_copies,
        check.forces,
        check.virial,
        check.cutoff,
    ]
    return model.backend, [point() for point in points]


class _Check:
    def __init__(self, model: Evaluator, frame: TestFrame, random: np.random.Generator) -> None:
        self.model = model
        self.random = random
        self.frame = frame
        self.numbers = frame.atomic_numbers
        self.cell = frame.cell
        self.pbc = frame.pbc
        # away from a symmetric geometry, where wrong components could vanish
        self.positions = frame.positions + 0.02 * random.standard_normal(frame.positions.shape)
        self.result = self._evaluate(self.positions)
        self.size = max(1.0, float(np.abs(self.result.forces).max(initial=0.0)))
        self.tolerance = TOLERANCE[model.metadata.dtype]

    def replay(self) -> Finding:
        found = self._evaluate(self.frame.positions)
        return self._exact(
            "replay of the test frame", found.forces - self.frame.forces, found.energy - self.frame.energy
        )

    def rotation(self) -> Finding:
        turn = np.linalg.qr(self.random.standard_normal((3, 3)))[0]
        turn *= np.sign(np.linalg.det(turn))
        found = self.model.evaluate(self.numbers, self.positions @ turn.T, self.cell @ turn.T, self.pbc)
        return self._exact("rotation", found.forces - self.result.forces @ turn.T, found.energy - self.result.energy)

    def translation(self) -> Finding:
        moved = self._evaluate(self.positions + self.random.uniform(-9, 9, 3))
        return self._exact("translation", moved.forces - self.result.forces, moved.energy - self.result.energy)

    def permutation(self) -> Finding:
        order = self.random.permutation(len(self.numbers))
        found = self.model.evaluate(self.numbers[order], self.positions[order], self.cell, self.pbc)
        return self._exact("permutation", found.forces - self.result.forces[order], found.energy - self.result.energy)

    def two_copies(self) -> Finding:
        """Twice the energy for two copies out of each other's sight, or for a doubled cell."""
        if self.pbc.any():
            axis = int(np.argmax(self.pbc))
            shift, cell = self.cell[axis], self.cell.copy()
            cell[axis] *= 2
        else:
            reach = self.model.metadata.cutoff * self.model.metadata.receptive_layers
            shift, cell = np.array([np.ptp(self.positions[:, 0]) + 2 * reach, 0, 0]), self.cell
        positions = np.concatenate([self.positions, self.positions + shift])
        found = self.model.evaluate(np.tile(self.numbers, 2), positions, cell, self.pbc)
        forces = found.forces - np.tile(self.result.forces, (2, 1))
        return self._exact("two copies", forces, found.energy - 2 * self.result.energy)

    def forces(self) -> Finding:
        """A few components, or all of a small structure, against central differences of the energy."""
        n = len(self.numbers)
        components = self.random.permutation(3 * n)[: min(3 * n, 27)]
        worst = 0.0
        for component in components:
            direction = np.zeros(3 * n)
            direction[component] = 1.0
            slope = self._slope(partial(self._energy_along, direction.reshape(n, 3)))
            worst = max(worst, abs(slope + self.result.forces.reshape(-1)[component]))
        return Finding("forces against finite differences", worst, self.tolerance.numeric * self.size, "eV/Å")

    def virial(self) -> Finding:
        """W = −dE/dε for the nine components of a strain of positions and cell."""
        worst = 0.0
        # a strain moves an atom by its distance from the origin, which is put into the middle: far away from it, steps
        # and the errors that are allowed would be of another size
        middle = self.positions - self.positions.mean(axis=0)
        extent = max(1.0, float(np.abs(middle).max(initial=0)))
        step = self.tolerance.step / extent
        for a in range(3):
            for b in range(3):
                strain = np.zeros((3, 3))
                strain[a, b] = 1.0
                slope = self._slope(partial(self._energy_strained, middle, strain), step)
                worst = max(worst, abs(slope + self.result.virial[a, b]))
        scale = max(1.0, float(np.abs(self.result.virial).max()), self.size * extent)
        return Finding("virial against finite strain", worst, self.tolerance.numeric * scale, "eV")

    def cutoff(self) -> Finding:
        """The energy of every pair of elements as one leaves: no jump at the cutoff."""
        cutoff, elements = self.model.metadata.cutoff, self.model.metadata.elements
        worst = 0.0
        for i, first in enumerate(elements):
            for second in elements[i:]:
                numbers = np.array([first, second])
                energies = [
                    self.model.evaluate(numbers, np.array([[0.0, 0, 0], [cutoff * x, 0, 0]])).energy
                    for x in (1 - 1e-3, 1 + 1e-3)
                ]
                worst = max(worst, abs(energies[0] - energies[1]))
        # an envelope of second order or better leaves less than (1e-3)² of an interaction of order 1 eV
        return Finding("energy at the cutoff", worst, 1e-5 * self.size, "eV")

    def _energy_along(self, direction: Array, h: float) -> float:
        return self._evaluate(self.positions + h * direction).energy

    def _energy_strained(self, positions: Array, strain: Array, h: float) -> float:
        deform = np.eye(3) + h * strain
        return self.model.evaluate(self.numbers, positions @ deform, self.cell @ deform, self.pbc).energy

    def _evaluate(self, positions: Array) -> Result:
        return self.model.evaluate(self.numbers, positions, self.cell, self.pbc)

    def _exact(self, name: str, forces: Array, energy: float) -> Finding:
        worst = max(float(np.abs(forces).max(initial=0.0)), abs(energy) / len(self.numbers))
        return Finding(name, worst, self.tolerance.exact * self.size, "eV/Å")

    def _slope(self, energy: Callable[[float], float], step: float | None = None) -> float:
        """Five-point first derivative at 0; its error is of fourth order in the step."""
        h = step or self.tolerance.step
        return (8 * (energy(h) - energy(-h)) - (energy(2 * h) - energy(-2 * h))) / (12 * h)
