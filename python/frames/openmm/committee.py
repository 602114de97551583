"""Several models of the same system: their mean drives the simulation, their disagreement is watched."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from numbers import Real
from pathlib import Path
from typing import IO, Any

import numpy as np
import openmm
from ase.data import chemical_symbols

from frames.errors import FramesError
from frames.openmm.framesforce import FramesForce
from frames.openmm.reporter import checked_interval, evaluate_outside_of_integration, has_content, open_output

WEIGHT = "frames_committee_weight"
"""Global parameter that every member's energy is multiplied by: one over the number of members."""


def committee_forces(models: Iterable[str | Path], topology_or_elements: Any, **options: Any) -> list[FramesForce]:
    """One FramesForce per model file, to be added to one System, which then moves on the mean of the models.

    Args:
        models: paths of two or more model files.
        topology_or_elements, options: as those of FramesForce, but for scale_parameter and scale_default.

    Raises FramesError as FramesForce does, and for fewer than two models.
    """
    paths = [models] if isinstance(models, str | Path) else list(models)
    if len(paths) < 2:
        raise FramesError(f"a committee of {len(paths)} model(s); expected two or more model files")
    weight: dict[str, Any] = {"scale_parameter": WEIGHT, "scale_default": 1 / len(paths)}
    if repeated := sorted(weight.keys() & options.keys()):
        raise FramesError(f"{repeated[0]}: the members of a committee share the parameter {WEIGHT}; leave it out")
    # each member reads them, and an iterator gives its items once
    options = {name: list(given) if isinstance(given, Iterator) else given for name, given in options.items()}
    if isinstance(topology_or_elements, Iterator):
        topology_or_elements = list(topology_or_elements)
    return [FramesForce(path, topology_or_elements, **options, **weight) for path in paths]


def checked_members(forces: Iterable[Any]) -> list[FramesForce]:
    """The forces as FramesForces.

    Raises FramesError unless they are all that `committee_forces` returned: of the same atoms, each with its weight.
    """
    members = [FramesForce.cast(force) for force in forces]
    count = len(members)
    alike = len({tuple(force.settings.atoms) for force in members}) == 1
    weighted = all(
        force.settings.scale_parameter == WEIGHT and math.isclose(force.settings.scale_default, 1 / count)
        for force in members
    )
    if count < 2 or not alike or not weighted:
        raise FramesError(
            f"forces: {count} that are no whole committee; expected all that committee_forces returned, two or more of "
            "the same atoms, each of which adds its share of the mean"
        )
    return members


class CommitteeReporter:
    """A reporter of OpenMM's `Simulation` that writes by how much the members of a committee disagree, and stops
    the simulation where that is too much.

    One line of comma-separated values per report: step, time in ps, largest deviation of the force on an atom in
    kJ/mol/nm, and the particle that has it. The deviation of an atom is the root mean square over the members of
    |F − mean F|. The members are not evaluated again for it, unless the integrator leaves their groups out.
    """

    def __init__(
        self,
        file: str | Path | IO[str],
        reportInterval: int,
        forces: Sequence[FramesForce],
        threshold: Any = None,
        append: bool = False,
    ) -> None:
        """Opens the file and writes the line of names.

        Args:
            file: path, or a stream that stays open.
            reportInterval: steps between two looks at the deviation.
            forces: the members, as `committee_forces` returned them, in one System.
            threshold: kJ/mol/nm or a Quantity; a larger deviation raises FramesError out of `simulation.step`.
                None: nothing stops it.
            append: add to a file, without a line of names if there is something in it.

        Raises FramesError if the file cannot be written, or an argument cannot be used.
        """
        self._interval = checked_interval(reportInterval)
        self._forces = checked_members(forces)
        self._threshold = _checked_threshold(threshold)
        self._owned = isinstance(file, str | Path)
        continued = append and has_content(file)
        self._stream = open_output(file, append)
        if not continued:
            print("step,time (ps),deviation (kJ/mol/nm),particle", file=self._stream)

    def describeNextReport(self, simulation: Any) -> dict[str, Any]:
        """Called by `Simulation`."""
        steps = self._interval - simulation.currentStep % self._interval
        return {"steps": steps, "periodic": None, "include": ["energy", "forces"]}

    def report(self, simulation: Any, state: Any) -> None:
        """Called by `Simulation`. Raises FramesError if the threshold is exceeded."""
        evaluate_outside_of_integration(simulation.context, self._forces)
        deviations = force_deviations(self._forces, simulation.context)
        worst = int(deviations.argmax())
        settings = self._forces[0].settings
        particle = settings.atoms[worst]
        line = (simulation.currentStep, f"{state.getTime()._value:.10g}", f"{deviations[worst]:.10g}", particle)
        print(*line, sep=",", file=self._stream, flush=True)
        if deviations[worst] > self._threshold:
            symbol = chemical_symbols[settings.atomic_numbers[worst]]
            raise FramesError(
                f"step {simulation.currentStep}: the committee's forces on particle {particle} ({symbol}) deviate by "
                f"{deviations[worst]:.4g} kJ/mol/nm, more than {self._threshold:.4g}: the models do not know this "
                "structure; add it to their training data"
            )

    def close(self) -> None:
        """Closes the file, if this reporter opened it."""
        if self._owned:
            self._stream.close()


def force_deviations(forces: Sequence[FramesForce], context: Any) -> Any:
    """Root mean square over the members of |F − mean F| for each atom [N], in kJ/mol/nm, from the last evaluation."""
    members = np.stack([force.getModelForces(context)._value for force in forces])  # [members,N,3]
    return np.sqrt(np.square(members - members.mean(axis=0)).sum(axis=2).mean(axis=0))


def _checked_threshold(threshold: Any) -> float:
    unit = openmm.unit.kilojoule_per_mole / openmm.unit.nanometer
    if threshold is None:
        return np.inf
    if openmm.unit.is_quantity(threshold):
        if not threshold.unit.is_compatible(unit):
            raise FramesError(f"threshold = {threshold}; expected a force per mole, in kJ/mol/nm")
        threshold = threshold.value_in_unit(unit)
    if isinstance(threshold, bool) or not isinstance(threshold, Real) or not float(threshold) > 0:
        raise FramesError(f"threshold = {threshold!r}; expected a number above 0, in kJ/mol/nm")
    return float(threshold)
