"""What a model knows beyond energy and forces, written during a simulation."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from pathlib import Path
from typing import IO, Any

from frames.errors import FramesError
from frames.openmm.framesforce import FramesForce


class FramesReporter:
    """A reporter of OpenMM's `Simulation` that writes the energy of every atom that a FramesForce describes.

    One line of comma-separated values per report: step, time in ps, energy of the force, and the energies of its
    atoms in the order of `force.settings.atoms`, in kJ/mol. They come from the evaluation that any other
    reporter of energies needs as well; the model is not evaluated again for them, unless the integrator leaves the
    force's group out.
    """

    def __init__(
        self, file: str | Path | IO[str], reportInterval: int, force: FramesForce, append: bool = False
    ) -> None:
        """Opens the file and writes the line of names.

        Args:
            file: path, or a stream that stays open.
            reportInterval: steps between two reports.
            force: a force of the simulation's System.
            append: add to a file, without a line of names if there is something in it.

        Raises FramesError if the file cannot be written, or the interval or the force is none.
        """
        self._interval = checked_interval(reportInterval)
        if not FramesForce.isFramesForce(force):
            raise FramesError(f"expected the FramesForce whose energies are wanted, not {force!r}")
        self._force = FramesForce.cast(force)
        self._owned = isinstance(file, str | Path)
        continued = append and has_content(file)
        self._stream = open_output(file, append)
        if not continued:
            names = [f"atom {atom} (kJ/mol)" for atom in self._force.settings.atoms]
            print("step", "time (ps)", "energy (kJ/mol)", *names, sep=",", file=self._stream)

    def describeNextReport(self, simulation: Any) -> dict[str, Any]:
        """Called by `Simulation`."""
        steps = self._interval - simulation.currentStep % self._interval
        return {"steps": steps, "periodic": None, "include": ["energy"]}

    def report(self, simulation: Any, state: Any) -> None:
        """Called by `Simulation`."""
        evaluate_outside_of_integration(simulation.context, [self._force])
        energies = self._force.getAtomEnergies(simulation.context)._value
        values = (f"{value:.10g}" for value in (energies.sum(), *energies))
        time = f"{state.getTime()._value:.10g}"
        print(simulation.currentStep, time, *values, sep=",", file=self._stream, flush=True)

    def close(self) -> None:
        """Closes the file, if this reporter opened it."""
        if self._owned:
            self._stream.close()


def evaluate_outside_of_integration(context: Any, forces: Iterable[FramesForce]) -> None:
    """Evaluates those forces that the integrator leaves out, and whose last results are of another structure.

    The state that a Simulation asks for a report holds the groups of `setIntegrationForceGroups` alone.
    """
    integrated = context.getIntegrator().getIntegrationForceGroups()  # one bit per group
    groups = {force.getForceGroup() for force in forces}
    if left_out := {group for group in groups if not integrated >> group & 1}:
        context.getState(energy=True, groups=left_out)


def has_content(file: str | Path | IO[str]) -> bool:
    """Whether a file is there and not empty; of a stream, which nothing tells, it is taken so."""
    return not isinstance(file, str | Path) or (Path(file).is_file() and Path(file).stat().st_size > 0)


def open_output(file: str | Path | IO[str], append: bool) -> IO[str]:
    """The stream itself, or that of a path. Raises FramesError if it cannot be written."""
    if not isinstance(file, str | Path):
        return file
    try:
        return Path(file).open("a" if append else "w", encoding="utf-8")
    except OSError as error:
        raise FramesError(f"{file}: cannot be written ({error.strerror})") from None


def checked_interval(interval: Any) -> int:
    """Raises FramesError unless it is a number of steps."""
    if isinstance(interval, bool) or not isinstance(interval, Integral) or interval < 1:
        raise FramesError(f"reportInterval = {interval!r}; expected a number of steps, 1 or more")
    return int(interval)
