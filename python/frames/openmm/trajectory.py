"""Trajectories that MDTraj reads, with what the models say about every atom in the same file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frames.errors import FramesError
from frames.openmm.committee import WEIGHT, checked_members, force_deviations
from frames.openmm.framesforce import FramesForce
from frames.openmm.reporter import checked_interval, evaluate_outside_of_integration

ATOMS = "frames_atoms"
ATOM_ENERGIES = "frames_atom_energies"
DEVIATIONS = "frames_force_deviations"
PER_FRAME = ("coordinates", "time", "velocities", ATOM_ENERGIES, DEVIATIONS)


class TrajectoryReporter:
    """A reporter of OpenMM's `Simulation` that writes an HDF5 file in MDTraj's convention.

    `mdtraj.load(file)` needs no topology beside it: the file holds topology, positions, box, time, potential and
    kinetic energy, as MDTraj's own HDF5Reporter writes them. Beside those are, for the atoms that the model describes,

    - `frames_atoms` [atoms]: their indices in the system,
    - `frames_atom_energies` [frames, atoms]: their energies in kJ/mol; of a committee, the mean of the members,
    - `frames_force_deviations` [frames, atoms], of a committee: root mean square over the members of |F − mean F|, in
      kJ/mol/nm.

    The models are not evaluated again for them, unless the integrator leaves their groups out. h5py and PyTables read
    these arrays by name.
    """

    def __init__(
        self,
        file: str | Path,
        reportInterval: int,
        forces: FramesForce | Sequence[FramesForce],
        velocities: bool = False,
        append: bool = False,
    ) -> None:
        """Opens the file.

        Args:
            file: path, ending in .h5.
            reportInterval: steps between two frames.
            forces: a force of the simulation's System, or all members of a committee.
            velocities: whether they are written as well, in nm/ps.
            append: go on with a file that this reporter has written; otherwise one that exists is replaced.

        Raises FramesError if the file cannot be written, MDTraj or PyTables is missing, or an argument cannot be used.
        """
        self._interval = checked_interval(reportInterval)
        self._forces = _checked_forces(forces)
        self._velocities = bool(velocities)
        self._file = _open(Path(file), append)
        if append and (difference := self._difference()):
            self._file.close()
            raise FramesError(f"{file}: cannot be continued: {difference}")

    def describeNextReport(self, simulation: Any) -> dict[str, Any]:
        """Called by `Simulation`."""
        steps = self._interval - simulation.currentStep % self._interval
        include = ["positions", "energy", *(["velocities"] if self._velocities else [])]
        return {"steps": steps, "periodic": None, "include": include}

    def report(self, simulation: Any, state: Any) -> None:
        """Called by `Simulation`."""
        evaluate_outside_of_integration(simulation.context, self._forces)
        # asked for before anything is written, so that a frame is in the file with all that belongs to it
        energies = [force.getAtomEnergies(simulation.context)._value for force in self._forces]
        deviations = force_deviations(self._forces, simulation.context) if len(self._forces) > 1 else None
        if ATOM_ENERGIES not in self._file.root:
            self._write_header(simulation)
        frame: dict[str, Any] = {
            "time": state.getTime(),
            "potentialEnergy": state.getPotentialEnergy(),
            "kineticEnergy": state.getKineticEnergy(),
        }
        if self._velocities:
            frame["velocities"] = state.getVelocities(asNumpy=True)
        if simulation.system.usesPeriodicBoundaryConditions():
            frame["cell_lengths"], frame["cell_angles"] = _lengths_and_angles(state)
        self._file.write(state.getPositions(asNumpy=True), **frame)
        # Members of a committee are scaled by one over their number: the sum is the mean.
        self._append(ATOM_ENERGIES, np.sum(energies, axis=0), "kilojoules_per_mole")
        if deviations is not None:
            self._append(DEVIATIONS, deviations, "kilojoules_per_mole/nanometer")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _difference(self) -> str:
        """In what the file is no beginning of what will be written, or ""."""
        root = self._file.root
        if ATOMS not in root or ATOM_ENERGIES not in root:
            return "this reporter has not written it"
        if (atoms := root._f_get_child(ATOMS)[:].tolist()) != self._forces[0].settings.atoms:
            return f"it has the atoms {atoms} of the model, the force has {self._forces[0].settings.atoms}"
        for name, what, wanted in (
            (DEVIATIONS, "deviations of a committee", len(self._forces) > 1),
            ("velocities", "velocities", self._velocities),
        ):
            if (name in root) != wanted:
                return f"it has {'no ' if wanted else ''}{what}, and {'they' if wanted else 'none'} are to be written"
        lengths = {name: len(root._f_get_child(name)) for name in PER_FRAME if name in root}
        if len(set(lengths.values())) > 1:
            return f"its last frame was cut off, it has {', '.join(f'{n} {name}' for name, n in lengths.items())}"
        return ""

    def _write_header(self, simulation: Any) -> None:
        from mdtraj import Topology

        self._file.topology = Topology.from_openmm(simulation.topology)
        handle = self._file.root._v_file
        handle.create_array("/", ATOMS, np.array(self._forces[0].settings.atoms, np.int64))

    def _append(self, name: str, values: Any, unit: str) -> None:
        root = self._file.root
        if name not in root:
            array = root._v_file.create_earray("/", name, self._file.tables.Float64Atom(), shape=(0, len(values)))
            array.attrs.units = unit
        root._f_get_child(name).append(values[None])


def _open(path: Path, append: bool) -> Any:
    try:
        import tables  # noqa: F401  MDTraj imports it when a file is opened, and its message names no way out
        from mdtraj.formats import HDF5TrajectoryFile
    except ImportError as error:
        raise FramesError(
            f"a trajectory for MDTraj needs MDTraj and PyTables ({error}); pip install mdtraj tables"
        ) from None
    if path.suffix != ".h5":
        raise FramesError(f"{path}: expected a name that ends in .h5, by which MDTraj knows the format")
    try:
        if not append:
            path.unlink(missing_ok=True)
        elif not path.is_file():
            raise FramesError(f"{path}: no such file; expected the trajectory that is to be continued")
        # MDTraj gives access to arrays of other names in files that are open for appending, new ones too.
        return HDF5TrajectoryFile(str(path), mode="a")
    except (OSError, RuntimeError) as error:  # PyTables' own errors are RuntimeErrors
        raise FramesError(f"{path}: cannot be written ({str(error).strip().splitlines()[-1]})") from None


def _checked_forces(forces: Any) -> list[FramesForce]:
    members = [forces] if FramesForce.isFramesForce(forces) else list(forces) if isinstance(forces, Sequence) else []
    if not members or not all(FramesForce.isFramesForce(force) for force in members):
        raise FramesError(f"forces = {forces!r}; expected a FramesForce, or those that committee_forces returned")
    alone = len(members) == 1 and FramesForce.cast(members[0]).settings.scale_parameter != WEIGHT
    return [FramesForce.cast(members[0])] if alone else checked_members(members)


def _lengths_and_angles(state: Any) -> tuple[Any, Any]:
    """Of the box, in nm and degrees."""
    from mdtraj.utils.unitcell import box_vectors_to_lengths_and_angles

    found = box_vectors_to_lengths_and_angles(*state.getPeriodicBoxVectors(asNumpy=True)._value)
    return np.array(found[:3]), np.array(found[3:])
