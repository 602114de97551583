"""Simulations with a FramesForce: conservation, barostats, restarts, contexts and threads."""

from __future__ import annotations

import copy
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("frames._openmm")

import openmm
from openmm_systems import (
    ANGSTROM,
    DEVICES,
    EV,
    PLATFORMS,
    Case,
    cases,
    ethanol,
    jittered_lattice,
    new_context,
    resident_mib,
    system_of,
    topology_of,
)

from frames.ase import FramesCalculator
from frames.openmm import FramesForce

FEMTOSECOND = 0.001  # ps
TRAINED = Path(__file__).resolve().parents[2] / "models" / "ethanol" / "ethanol.pt"
CASES = {case.name: case for case in cases()}


@pytest.fixture
def model(native_models: dict[str, Path]) -> Path:
    return native_models["float64"]


def context_of(
    force: Any, case: Case, integrator: Any, platform: str = "CPU", extra: tuple[Any, ...] = (), mass: float = 12.0
) -> Any:
    system = system_of(len(case.numbers), case.cell, mass)
    for each in (force, *extra):
        system.addForce(each)
    properties = {"Threads": "1"} if platform == "CPU" else {}
    context = new_context(system, integrator, platform, **properties)
    context.setPositions(case.positions / ANGSTROM)
    return context


def snapshot(context: Any) -> np.ndarray:
    """Positions, velocities, forces and energy."""
    state = context.getState(positions=True, velocities=True, forces=True, energy=True)
    arrays = (state.getPositions(asNumpy=True), state.getVelocities(asNumpy=True), state.getForces(asNumpy=True))
    return np.vstack([*(array._value for array in arrays), np.full((1, 3), state.getPotentialEnergy()._value)])


def assert_agrees_with_ase(model: Path, case: Case, context: Any) -> np.ndarray:
    """Returns the box [3,3] in Å."""
    state = context.getState(positions=True, energy=True, forces=True)
    box = state.getPeriodicBoxVectors(asNumpy=True)._value * ANGSTROM
    positions = state.getPositions(asNumpy=True)._value * ANGSTROM
    atoms = Case("end", case.numbers, positions, None if case.cell is None else box).atoms()
    atoms.calc = FramesCalculator(model)
    assert state.getPotentialEnergy()._value * EV == pytest.approx(atoms.get_potential_energy(), abs=1e-7)
    forces = state.getForces(asNumpy=True)._value * (EV / ANGSTROM)
    assert np.abs(forces - atoms.get_forces()).max() < 1e-7
    return box


def test_energy_is_conserved_to_second_order_in_the_time_step() -> None:
    """The trained model in single precision."""
    fluctuations, drifts = [], []
    for femtoseconds in (0.5, 0.25):
        context = context_of(
            FramesForce(TRAINED, topology_of(ethanol())), ethanol(), openmm.VerletIntegrator(femtoseconds * FEMTOSECOND)
        )
        openmm.LocalEnergyMinimizer.minimize(context, 1.0)
        context.setVelocitiesToTemperature(300, 7)
        context.getIntegrator().step(10)
        energies = []
        for _ in range(200):
            context.getIntegrator().step(round(5 / femtoseconds))
            state = context.getState(energy=True)
            energies.append((state.getPotentialEnergy() + state.getKineticEnergy())._value * EV)
        fluctuations.append(np.std(energies))
        drifts.append(abs(np.mean(energies[-50:]) - np.mean(energies[:50])))
    assert fluctuations[1] < 4e-3
    assert 3.0 < fluctuations[0] / fluctuations[1] < 5.5
    assert drifts[1] < 1e-3


def test_minimised_structure_has_no_forces() -> None:
    context = context_of(FramesForce(TRAINED, topology_of(ethanol())), ethanol(), openmm.VerletIntegrator(FEMTOSECOND))
    before = snapshot(context)
    openmm.LocalEnergyMinimizer.minimize(context, 0.5)
    after = snapshot(context)
    assert after[-1, 0] < before[-1, 0]
    assert np.abs(after[18:27]).max() < 10 < np.abs(before[18:27]).max()


def test_constraints_hold() -> None:
    case = ethanol()
    system = system_of(9, None)
    lengths = {}
    for hydrogen, heavy in ((3, 2), (4, 1), (5, 1)):
        lengths[hydrogen, heavy] = np.linalg.norm(case.positions[hydrogen] - case.positions[heavy]) / ANGSTROM
        system.addConstraint(hydrogen, heavy, lengths[hydrogen, heavy])
    system.addForce(FramesForce(TRAINED, topology_of(case)))
    integrator = openmm.LangevinMiddleIntegrator(300, 1.0, FEMTOSECOND)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("CPU"))
    context.setPositions(case.positions / ANGSTROM)
    integrator.step(50)
    positions = context.getState(positions=True).getPositions(asNumpy=True)._value
    for (i, j), length in lengths.items():
        assert np.linalg.norm(positions[i] - positions[j]) == pytest.approx(length, rel=1e-4)


@pytest.mark.parametrize("derivative", [False, True])
@pytest.mark.parametrize("kind", ["isotropic", "anisotropic", "flexible"])
@pytest.mark.parametrize(
    ("name", "platform"), [("images", "CPU"), ("crystal", "CPU"), *(("images", device) for device in DEVICES)]
)
def test_barostats_change_the_box(model: Path, name: str, platform: str, kind: str, derivative: bool) -> None:
    case = CASES[name]
    assert case.cell is not None
    integrator = openmm.LangevinMiddleIntegrator(300, 10.0, FEMTOSECOND)
    integrator.setRandomNumberSeed(1)
    pressure = 2e4  # bar
    barostat = {
        "isotropic": lambda: openmm.MonteCarloBarostat(pressure, 300, 2),
        "anisotropic": lambda: openmm.MonteCarloAnisotropicBarostat((pressure,) * 3, 300, True, True, True, 2),
        "flexible": lambda: openmm.MonteCarloFlexibleBarostat(pressure, 300, 2),
    }[kind]()
    barostat.setRandomNumberSeed(1)
    force = FramesForce(model, topology_of(case), scale_parameter="scale")
    if derivative:
        force.addEnergyParameterDerivative("scale")
    context = context_of(force, case, integrator, platform, extra=(barostat,))
    integrator.step(40)
    box = assert_agrees_with_ase(model, case, context)
    assert abs(np.linalg.det(box) / np.linalg.det(case.cell) - 1) > 1e-4


def test_barostat_moves_bonded_atoms_as_a_molecule(model: Path) -> None:
    """Without forces between them, pairs keep their distance only where the force says that they are bonded."""
    pairs = jittered_lattice("pairs", (3, 3, 3), [[30, 0, 0], [0, 30, 0], [0, 0, 30]], 4)
    partners = pairs.positions + np.array([1.0, 0, 0])
    case = Case("pairs", [6] * 54, np.vstack([pairs.positions, partners]), pairs.cell)
    moved = []
    for bonds in (None, [(i, i + 27) for i in range(27)]):
        integrator = openmm.VerletIntegrator(1e-9)
        barostat = openmm.MonteCarloBarostat(1.0, 300, 1)
        barostat.setRandomNumberSeed(3)
        force = FramesForce(model, case.numbers, periodic=True, bonds=bonds, scale_parameter="scale")
        context = context_of(force, case, integrator, extra=(barostat,))
        context.setParameter("scale", 0.0)
        assert len(context.getMolecules()) == (54 if bonds is None else 27)
        integrator.step(30)
        positions = context.getState(positions=True).getPositions(asNumpy=True)._value * ANGSTROM
        volume = context.getState().getPeriodicBoxVolume()._value * ANGSTROM**3
        assert abs(volume / 27000 - 1) > 0.01
        distances = np.linalg.norm(positions[27:] - positions[:27], axis=1)
        moved.append(np.abs(distances - 1.0).max())
    assert moved[0] > 1e-3
    assert moved[1] < 1e-5


@pytest.mark.parametrize(
    ("name", "platform"), [("triclinic", "CPU"), ("images", "CPU"), *(("triclinic", device) for device in DEVICES)]
)
def test_neighbour_list_is_rebuilt_and_never_shows(model: Path, name: str, platform: str) -> None:
    """Hot atoms cross many cutoffs: whatever the skin, the same trajectory to the last bit."""
    case, ends, builds = CASES[name], [], []
    for skin in (0.0, 0.02, 0.1):
        force = FramesForce(model, topology_of(case), skin=skin)
        context = context_of(force, case, openmm.VerletIntegrator(FEMTOSECOND), platform)
        context.setVelocitiesToTemperature(2000, 3)
        context.getIntegrator().step(60)
        ends.append(snapshot(context))
        builds.append(force.getNeighbourListBuilds(context))
        assert_agrees_with_ase(model, case, context)
    assert np.array_equal(ends[0], ends[1]) and np.array_equal(ends[0], ends[2])
    assert builds[0] >= 60 > builds[1] > builds[2] >= 2


@pytest.mark.parametrize("platform", PLATFORMS)
def test_restart_goes_on_bit_for_bit(model: Path, platform: str) -> None:
    """The new Context finds its neighbours from other positions than the old one did."""
    case = CASES["triclinic"]

    def new_context() -> tuple[FramesForce, Any]:
        integrator = openmm.LangevinMiddleIntegrator(1500, 1.0, FEMTOSECOND)
        integrator.setRandomNumberSeed(11)
        force = FramesForce(model, topology_of(case))
        return force, context_of(force, case, integrator, platform)

    force, first = new_context()
    first.setVelocitiesToTemperature(1500, 5)
    first.getIntegrator().step(25)
    checkpoint, builds = first.createCheckpoint(), force.getNeighbourListBuilds(first)
    first.getIntegrator().step(40)
    other, second = new_context()
    second.loadCheckpoint(checkpoint)
    second.getIntegrator().step(40)
    assert np.array_equal(snapshot(first), snapshot(second))
    assert force.getNeighbourListBuilds(first) > builds and other.getNeighbourListBuilds(second) > 1


def test_contexts_in_threads_do_not_disturb_each_other(model: Path) -> None:
    case = CASES["images"]
    force = FramesForce(model, topology_of(case))

    def run(seed: int) -> np.ndarray:
        context = context_of(copy.deepcopy(force), case, openmm.VerletIntegrator(FEMTOSECOND), "Reference")
        context.setVelocitiesToTemperature(500, seed)
        context.getIntegrator().step(40)
        return snapshot(context)

    alone = [run(seed) for seed in range(4)]
    together: list[Any] = [None] * 4

    def work(seed: int) -> None:
        together[seed] = run(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
    assert not np.array_equal(alone[0], alone[1])


@pytest.mark.parametrize("platform", ["Reference", *DEVICES])
def test_two_contexts_of_one_system(model: Path, platform: str) -> None:
    case = CASES["images"]
    system = system_of(len(case.numbers), case.cell)
    system.addForce(FramesForce(model, topology_of(case)))
    contexts = [new_context(system, openmm.VerletIntegrator(FEMTOSECOND), platform) for _ in range(2)]
    for context, shift in zip(contexts, (0.0, 0.02), strict=True):
        positions = case.positions / ANGSTROM
        positions[0, 0] += shift
        context.setPositions(positions)
    before = [context.getState(energy=True).getPotentialEnergy()._value for context in contexts]
    contexts[0].getIntegrator().step(3)
    assert contexts[1].getState(energy=True).getPotentialEnergy()._value == before[1] != before[0]


def test_ring_polymers(model: Path) -> None:
    """One Context evaluates many copies of the system in turn."""
    case = CASES["images"]
    integrator = openmm.RPMDIntegrator(4, 300, 1.0, 0.5 * FEMTOSECOND)
    context = context_of(FramesForce(model, topology_of(case)), case, integrator, "Reference")
    rng = np.random.default_rng(2)
    for bead in range(4):
        integrator.setPositions(bead, (case.positions + rng.normal(0, 0.3, case.positions.shape)) / ANGSTROM)
    integrator.step(3)
    for bead in range(4):
        state = integrator.getState(bead, getEnergy=True, getForces=True, getPositions=True)
        atoms = Case("bead", case.numbers, state.getPositions(asNumpy=True)._value * ANGSTROM, case.cell).atoms()
        atoms.calc = FramesCalculator(model)
        forces = state.getForces(asNumpy=True)._value * (EV / ANGSTROM)
        assert np.abs(forces - atoms.get_forces()).max() < 1e-7
    del context


def test_memory_stays_flat(model: Path) -> None:
    integrator = openmm.LangevinMiddleIntegrator(2000, 1.0, FEMTOSECOND)
    context = context_of(FramesForce(model, topology_of(CASES["images"])), CASES["images"], integrator)
    integrator.step(200)
    before = resident_mib()
    integrator.step(1500)
    assert resident_mib() - before < 2  # the edges of one step take 0.1 MiB: kept, they would be 150
    del context
