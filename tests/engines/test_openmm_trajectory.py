"""Trajectories that MDTraj reads, with energies of atoms and the disagreement of a committee in them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("tables")
pytest.importorskip("mdtraj")
pytest.importorskip("frames._openmm")

import h5py
import mdtraj
import openmm
from openmm import app
from openmm_systems import ANGSTROM, EV, Case, cases, ethanol, system_of, topology_of

from frames.ase import FramesCalculator
from frames.data.readers import read
from frames.errors import FramesError
from frames.openmm import FramesForce, TrajectoryReporter, committee_forces

MODEL = Path(__file__).resolve().parents[2] / "models" / "ethanol" / "ethanol.pt"
CASES = {case.name: case for case in cases()}


def simulation_of(case: Case, *forces: Any) -> Any:
    system = system_of(len(case.numbers), case.cell)
    for force in forces:
        system.addForce(force)
    integrator = openmm.VerletIntegrator(0.0005)
    platform = openmm.Platform.getPlatformByName("Reference")
    simulation = app.Simulation(topology_of(case), system, integrator, platform)
    simulation.context.setPositions(case.positions / ANGSTROM)
    simulation.context.setVelocitiesToTemperature(300, 1)
    return simulation


def test_force_that_only_watches(tmp_path: Path) -> None:
    """In a group that is not integrated a force is evaluated by nobody else."""
    file = tmp_path / "ethanol.h5"
    force = FramesForce(MODEL, topology_of(ethanol()))
    force.setForceGroup(1)
    simulation = simulation_of(ethanol(), openmm.CustomExternalForce("0*x"), force)
    simulation.integrator.setIntegrationForceGroups({0})
    simulation.context.getState(energy=True)
    reporter = TrajectoryReporter(file, 4, force)
    simulation.reporters.append(reporter)
    simulation.step(4)
    reporter.close()
    simulation.context.getState(energy=True)
    with h5py.File(file) as arrays:
        assert np.allclose(arrays["frames_atom_energies"][-1], force.getAtomEnergies(simulation.context)._value)


def test_molecule(tmp_path: Path) -> None:
    """Energies of atoms are those of ASE at the positions in the file."""
    file = tmp_path / "ethanol.h5"
    force = FramesForce(MODEL, topology_of(ethanol()))
    simulation = simulation_of(ethanol(), force)
    reporter = TrajectoryReporter(file, 4, force, velocities=True)
    simulation.reporters.append(reporter)
    simulation.step(12)
    reporter.close()

    loaded = mdtraj.load(str(file))
    assert (loaded.n_frames, loaded.n_atoms, loaded.unitcell_lengths) == (3, 9, None)
    assert np.allclose(loaded.time, [0.002, 0.004, 0.006])
    assert [atom.element.number for atom in loaded.topology.atoms] == ethanol().numbers
    with h5py.File(file) as arrays:
        energies, atoms = arrays["frames_atom_energies"][:], arrays["frames_atoms"][:]
        total, velocities = arrays["potentialEnergy"][:], arrays["velocities"][:]
        assert arrays["frames_atom_energies"].attrs["units"] in (b"kilojoules_per_mole", "kilojoules_per_mole")
        assert "frames_force_deviations" not in arrays
    assert atoms.tolist() == list(range(9))
    assert energies.shape == (3, 9) and velocities.shape == (3, 9, 3)
    assert np.allclose(energies.sum(axis=1), total, rtol=1e-6)
    for frame, row in zip(loaded.xyz, energies, strict=True):
        structure = ethanol().atoms()
        structure.positions, structure.calc = frame * ANGSTROM, FramesCalculator(MODEL)
        assert np.allclose(row * EV, structure.get_potential_energies(), atol=1e-3)  # positions in single precision
    found = read(file)[0]
    assert found.positions.shape == (3, 9, 3)


def test_committee_in_a_triclinic_box(native_models: dict[str, Path], tmp_path: Path) -> None:
    case, file = CASES["images"], tmp_path / "committee.h5"
    atoms = [5, 0, 1, 2, 3]
    forces = committee_forces(native_models.values(), topology_of(case), atoms=atoms)
    simulation = simulation_of(case, *forces)
    reporter = TrajectoryReporter(file, 2, forces)
    simulation.reporters.append(reporter)
    simulation.step(4)
    deviations = np.stack([force.getModelForces(simulation.context)._value for force in forces])
    deviations = np.linalg.norm(deviations[0] - deviations[1], axis=1) / 2
    reporter.close()
    loaded = mdtraj.load(str(file))
    box = simulation.context.getState().getPeriodicBoxVectors(asNumpy=True)._value
    assert np.allclose(loaded.unitcell_vectors[1], box, atol=1e-5)
    with h5py.File(file) as arrays:
        assert arrays["frames_atoms"][:].tolist() == atoms
        assert arrays["frames_atom_energies"].shape == arrays["frames_force_deviations"].shape == (2, 5)
        assert np.allclose(arrays["frames_atom_energies"][:].sum(axis=1), arrays["potentialEnergy"][:], rtol=1e-6)
        assert np.allclose(arrays["frames_force_deviations"][1], deviations, rtol=1e-6, atol=1e-9)


def test_a_file_is_continued_or_replaced(tmp_path: Path) -> None:
    file = tmp_path / "ethanol.h5"
    force = FramesForce(MODEL, topology_of(ethanol()))
    simulation = simulation_of(ethanol(), force)
    for append, frames in ((False, 2), (True, 4), (False, 2)):
        reporter = TrajectoryReporter(file, 1, force, append=append)
        simulation.reporters = [reporter]
        simulation.step(2)
        reporter.close()
        assert mdtraj.load(str(file)).n_frames == frames
        with h5py.File(file) as arrays:
            assert len(arrays["frames_atom_energies"]) == frames


def test_a_file_whose_last_frame_was_cut_off(tmp_path: Path) -> None:
    """As by a kill between two arrays: every later row would belong to another frame."""
    file = tmp_path / "ethanol.h5"
    force = FramesForce(MODEL, topology_of(ethanol()))
    simulation = simulation_of(ethanol(), force)
    simulation.reporters.append(TrajectoryReporter(file, 1, force))
    simulation.step(3)
    simulation.reporters.pop().close()
    with h5py.File(file, "a") as arrays:
        arrays["frames_atom_energies"].resize(2, axis=0)
    with pytest.raises(FramesError, match="continued: its last frame was cut off, it has 3 coordinates, 3 time, 2 fr"):
        TrajectoryReporter(file, 1, force, append=True)


def test_refuses(tmp_path: Path) -> None:
    force = FramesForce(MODEL, topology_of(ethanol()))
    part = FramesForce(MODEL, topology_of(ethanol()), atoms=[0, 1])
    members = committee_forces([MODEL, MODEL.parent / "member_2.pt"], topology_of(ethanol()))
    other, begun = tmp_path / "other.h5", tmp_path / "begun.h5"
    with mdtraj.formats.HDF5TrajectoryFile(str(other), "w") as stream:
        stream.write(np.zeros((1, 9, 3)))
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"file": tmp_path / "run.dcd"}, r"run.dcd: expected a name that ends in .h5"),
        ({"file": tmp_path / "absent" / "run.h5"}, r"run.h5: cannot be written"),
        ({"append": True}, "run.h5: no such file; expected the trajectory that is to be continued"),
        ({"file": other, "append": True}, "other.h5: cannot be continued: this reporter has not written it"),
        (
            {"file": begun, "append": True, "forces": part},
            r"it has the atoms \[0, 1, .* of the model, the force has \[0",
        ),
        ({"file": begun, "append": True, "velocities": True}, "it has no velocities, and they are to be written"),
        ({"file": begun, "append": True, "forces": members}, "it has no deviations of a committee, and they are to be"),
        ({"reportInterval": 0}, "reportInterval = 0; expected a number of steps"),
        ({"forces": []}, r"forces = \[\]; expected a FramesForce, or those that committee_forces returned"),
        ({"forces": openmm.HarmonicBondForce()}, "expected a FramesForce, or those that committee_forces returned"),
        ({"forces": [force, part]}, "forces: 2 that are no whole committee; expected all that committee_forces"),
        ({"forces": [force, force]}, "forces: 2 that are no whole committee"),
        ({"forces": members[:1]}, "forces: 1 that are no whole committee"),
        ({"forces": members[0]}, "forces: 1 that are no whole committee"),
    ]
    simulation = simulation_of(ethanol(), force)
    simulation.reporters.append(TrajectoryReporter(begun, np.int64(1), force))
    simulation.step(1)
    simulation.reporters.pop().close()
    for options, message in wrong:
        settings = {"file": tmp_path / "run.h5", "reportInterval": 1, "forces": force, **options}
        with pytest.raises(FramesError, match=message):
            TrajectoryReporter(**settings)


def test_says_what_to_install(tmp_path: Path) -> None:
    script = f"""
import sys
sys.modules["tables"] = None
from frames.errors import FramesError
from frames.openmm import FramesForce, TrajectoryReporter
try:
    TrajectoryReporter({str(tmp_path / "run.h5")!r}, 1, FramesForce({str(MODEL)!r}, ["C"], periodic=False))
except FramesError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "a trajectory for MDTraj needs MDTraj and PyTables" in done.stdout
    assert "pip install mdtraj tables" in done.stdout
