"""Energies of atoms and the disagreement of a committee, written during a simulation."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("frames._openmm")

import openmm
from openmm import app
from openmm_systems import ANGSTROM, EV, ethanol, system_of, topology_of
from toy_potential import write_toy_model

from frames.ase import FramesCalculator
from frames.errors import FramesError
from frames.openmm import CommitteeReporter, FramesForce, FramesReporter, committee_forces
from frames.openmm.committee import force_deviations

MODEL = Path(__file__).resolve().parents[2] / "models" / "ethanol" / "ethanol.pt"
FORCE = EV / ANGSTROM  # eV/Å per kJ/mol/nm


def simulation_of(*forces: Any) -> Any:
    system = system_of(9, None)
    for force in forces:
        system.addForce(force)
    integrator = openmm.VerletIntegrator(0.0002)
    platform = openmm.Platform.getPlatformByName("Reference")
    simulation = app.Simulation(topology_of(ethanol()), system, integrator, platform)
    simulation.context.setPositions(ethanol().positions / ANGSTROM)
    return simulation


def rows_of(text: str) -> np.ndarray:
    return np.array([[float(x) for x in line.split(",")] for line in text.splitlines()[1:]])


def test_energies_of_atoms(tmp_path: Path) -> None:
    file = tmp_path / "atoms.csv"
    force = FramesForce(MODEL, topology_of(ethanol()), scale_parameter="scale", scale_default=0.5)
    simulation = simulation_of(force)
    reporter = FramesReporter(file, 5, force)
    simulation.reporters.append(reporter)
    state_file, positions = io.StringIO(), []
    simulation.reporters.append(app.StateDataReporter(state_file, 5, potentialEnergy=True))
    for _ in range(3):
        simulation.step(5)
        positions.append(simulation.context.getState(positions=True).getPositions(asNumpy=True)._value * ANGSTROM)
    reporter.close()
    assert file.read_text().splitlines()[0].startswith("step,time (ps),energy (kJ/mol),atom 0 (kJ/mol),atom 1")
    rows = rows_of(file.read_text())
    assert rows[:, 0].tolist() == [5, 10, 15]
    assert np.allclose(rows[:, 1], [0.001, 0.002, 0.003])
    assert np.allclose(rows[:, 2], rows_of(state_file.getvalue())[:, 0], atol=1e-4)
    for row, place in zip(rows, positions, strict=True):
        atoms = ethanol().atoms()
        atoms.positions, atoms.calc = place, FramesCalculator(MODEL)
        assert np.allclose(row[3:] * EV, 0.5 * atoms.get_potential_energies(), atol=1e-5)
    simulation.reporters = [FramesReporter(file, 5, force, append=True)]
    simulation.step(5)
    assert len(rows_of(file.read_text())) == 4
    simulation.reporters = [FramesReporter(tmp_path / "new.csv", 5, force, append=True)]
    simulation.step(5)
    assert (tmp_path / "new.csv").read_text().startswith("step,time (ps),energy (kJ/mol),atom 0 (kJ/mol)")


@pytest.fixture
def members(native_models: dict[str, Path], tmp_path: Path) -> list[Path]:
    return [native_models["float64"], write_toy_model(tmp_path / "toy.pt").path, native_models["float32"]]


def test_committee_moves_on_the_mean_and_tells_its_deviation(members: list[Path]) -> None:
    forces = committee_forces(members, topology_of(ethanol()))
    simulation = simulation_of(*forces)
    file = io.StringIO()
    simulation.reporters.append(CommitteeReporter(file, 2, forces))
    simulation.step(4)
    state = simulation.context.getState(positions=True, forces=True, energy=True)
    answers = []
    for path in members:
        atoms = ethanol().atoms()
        atoms.positions = state.getPositions(asNumpy=True)._value * ANGSTROM
        atoms.calc = FramesCalculator(path)
        answers.append((atoms.get_potential_energy(), atoms.get_forces()))
    mean = np.mean([answer[1] for answer in answers], axis=0)
    assert state.getPotentialEnergy()._value * EV == pytest.approx(np.mean([answer[0] for answer in answers]), abs=1e-4)
    assert np.abs(state.getForces(asNumpy=True)._value * FORCE - mean).max() < 1e-4
    deviations = np.sqrt(np.mean([np.square(answer[1] - mean).sum(axis=1) for answer in answers], axis=0))
    row = rows_of(file.getvalue())[-1]
    assert row[:2].tolist() == [4, pytest.approx(0.0008)]
    assert row[2] * FORCE == pytest.approx(deviations.max(), rel=1e-4)
    assert row[3] == deviations.argmax()


@pytest.mark.parametrize("unit", [1, openmm.unit.kilojoule_per_mole / openmm.unit.nanometer])
def test_committee_that_disagrees_stops_the_simulation(members: list[Path], unit: Any) -> None:
    forces = committee_forces(members, topology_of(ethanol()))
    simulation = simulation_of(*forces)
    simulation.reporters.append(CommitteeReporter(io.StringIO(), 2, forces, threshold=10.0 * unit))
    with pytest.raises(
        FramesError, match=r"step 2: the committee's forces on particle \d \([CHO]\) deviate by .* than 10"
    ):
        simulation.step(10)
    assert simulation.currentStep == 2


@pytest.mark.parametrize("reporter", ["energies", "committee"])
def test_forces_that_only_watch(members: list[Path], reporter: str) -> None:
    """In a group that is not integrated a force is evaluated by nobody else."""
    forces = committee_forces(members[:2], topology_of(ethanol()))
    for group, force in enumerate(forces, start=1):
        force.setForceGroup(group)
    pull = openmm.CustomExternalForce("-20000*x")
    for particle in range(3):
        pull.addParticle(particle)
    simulation = simulation_of(pull, *forces)
    simulation.integrator.setIntegrationForceGroups({0})
    context, file = simulation.context, io.StringIO()
    context.getState(energy=True)  # what would be written later on
    if reporter == "energies":
        simulation.reporters.append(FramesReporter(file, 20, forces[0]))
    else:
        simulation.reporters.append(CommitteeReporter(file, 20, forces))
    written = []
    for _ in range(2):
        simulation.step(20)
        context.getState(energy=True)
        values = forces[0].getAtomEnergies(context)._value.sum(), force_deviations(forces, context).max()
        written.append(values[reporter == "committee"])
    assert abs(written[1] - written[0]) > 1.0
    assert rows_of(file.getvalue())[:, 2] == pytest.approx(written, rel=1e-8)


def make_reporter(**options: Any) -> Any:
    force = FramesForce(MODEL, ethanol().numbers, periodic=False)
    settings = {"file": io.StringIO(), "reportInterval": 1, "force": force, **options}
    return FramesReporter(**settings)


def make_committee(models: Any = (MODEL, MODEL), **options: Any) -> Any:
    return committee_forces(models, ethanol().numbers, periodic=False, **options)


def make_committee_reporter(**options: Any) -> Any:
    settings = {"file": io.StringIO(), "reportInterval": 1, "forces": make_committee(), **options}
    return CommitteeReporter(**settings)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (make_reporter, {"file": "/no/such/folder/atoms.csv"}, "atoms.csv: cannot be written .No such file"),
        (make_reporter, {"reportInterval": 0}, "reportInterval = 0; expected a number of steps, 1 or more"),
        (make_reporter, {"reportInterval": 2.5}, "reportInterval = 2.5; expected a number of steps"),
        (make_reporter, {"force": "ethanol"}, "expected the FramesForce whose energies are wanted, not 'ethanol'"),
        (make_committee, {"models": [MODEL]}, "a committee of 1 model.s.; expected two or more model files"),
        (make_committee, {"models": MODEL}, "a committee of 1 model.s.; expected two or more model files"),
        (make_committee, {"scale_parameter": "s"}, "scale_parameter: the members of a committee share the parameter"),
        (make_committee_reporter, {"forces": []}, "forces: 0 that are no whole committee; expected all that"),
        (make_committee_reporter, {"threshold": -1}, "threshold = -1; expected a number above 0, in kJ/mol/nm"),
        (make_committee_reporter, {"threshold": 1 * openmm.unit.kelvin}, "threshold = 1 K; expected a force per mole"),
    ],
)
def test_refuses(make: Callable[..., Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(FramesError, match=message):
        make(**options)


def test_members_that_add_up_to_no_mean_are_refused() -> None:
    alone = [FramesForce(MODEL, ethanol().numbers, periodic=False) for _ in range(2)]
    with pytest.raises(FramesError, match="forces: 2 that are no whole committee"):
        CommitteeReporter(io.StringIO(), 1, alone)


def test_a_committee_reads_iterators_once() -> None:
    forces = committee_forces(
        (MODEL, MODEL), iter(ethanol().numbers), periodic=False, atoms=iter([0, 1, 2]), bonds=iter([(0, 1)])
    )
    assert [(force.settings.atoms, len(force.settings.bonds)) for force in forces] == [([0, 1, 2], 1)] * 2


def test_numbers_of_numpy() -> None:
    FramesForce(
        MODEL,
        ethanol().numbers,
        periodic=False,
        skin=np.float32(0.1),
        scale_parameter="s",
        scale_default=np.float64(0.5),
    )
    make_reporter(reportInterval=np.int64(10))
    make_committee_reporter(threshold=np.float32(5.0))
