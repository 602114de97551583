"""Simulations with a TorchForce: energy conservation, changing boxes, constant memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("openmmtorch")

import openmm
from openmm_systems import ANGSTROM, EV, Case, cases, ethanol, resident_mib, system_of, topology_of
from toy_potential import ToyModel, write_toy_model

from frames.ase import FramesCalculator
from frames.openmm import torch_force

pytestmark = pytest.mark.torchforce

FEMTOSECOND = 0.001  # ps


@pytest.fixture(scope="module", params=["float32", "float64"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ToyModel:
    return write_toy_model(tmp_path_factory.mktemp("dynamics") / "toy.pt", dtype=request.param)


def context_of(model: ToyModel, case: Case, integrator: Any, extra: tuple[Any, ...] = (), **options: Any) -> Any:
    system = system_of(len(case.numbers), case.cell)
    for force in (torch_force(model.path, topology_of(case), **options), *extra):
        system.addForce(force)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("CPU"))
    context.setPositions(case.positions / ANGSTROM)
    return context


def total_energies(context: Any, steps: int, every: int) -> np.ndarray:
    """Potential and kinetic energy in eV, every so many steps."""
    energies = []
    for _ in range(steps // every):
        context.getIntegrator().step(every)
        state = context.getState(energy=True)
        energies.append((state.getPotentialEnergy() + state.getKineticEnergy())._value * EV)
    return np.array(energies)


def test_energy_is_conserved_to_second_order_in_the_time_step(model: ToyModel) -> None:
    fluctuations = []
    for femtoseconds in (1.0, 0.5):
        context = context_of(model, ethanol(), openmm.VerletIntegrator(femtoseconds * FEMTOSECOND))
        openmm.LocalEnergyMinimizer.minimize(context, 1.0)
        context.setVelocitiesToTemperature(300, 7)
        total_energies(context, 10, 10)
        energies = total_energies(context, int(200 / femtoseconds), 2)
        fluctuations.append(energies.std())
    assert fluctuations[1] < 1e-3
    assert 3.0 < fluctuations[0] / fluctuations[1] < 5.5


def test_minimised_structure_has_no_forces(model: ToyModel) -> None:
    context = context_of(model, ethanol(), openmm.VerletIntegrator(FEMTOSECOND))
    before = context.getState(energy=True, forces=True)
    openmm.LocalEnergyMinimizer.minimize(context, 0.5)
    after = context.getState(energy=True, forces=True)
    assert after.getPotentialEnergy() < before.getPotentialEnergy()
    assert np.abs(after.getForces(asNumpy=True)._value).max() < 10 < np.abs(before.getForces(asNumpy=True)._value).max()


@pytest.mark.parametrize("name", ["images", "triclinic"])
def test_barostat_changes_the_box(model: ToyModel, name: str) -> None:
    case = next(case for case in cases() if case.name == name)
    integrator = openmm.LangevinMiddleIntegrator(300, 10.0, FEMTOSECOND)
    integrator.setRandomNumberSeed(1)
    barostat = openmm.MonteCarloBarostat(20000, 300, 2)
    barostat.setRandomNumberSeed(1)
    context = context_of(model, case, integrator, (barostat,))
    openmm.LocalEnergyMinimizer.minimize(context, 10.0, 30)
    integrator.step(60)
    state = context.getState(positions=True, energy=True, forces=True)
    box = state.getPeriodicBoxVectors(asNumpy=True)._value * ANGSTROM
    assert case.cell is not None
    assert abs(np.linalg.det(box) / np.linalg.det(case.cell) - 1) > 1e-3
    end = Case("end", case.numbers, state.getPositions(asNumpy=True)._value * ANGSTROM, box).atoms()
    end.calc = FramesCalculator(model.path)
    assert state.getPotentialEnergy()._value * EV == pytest.approx(end.get_potential_energy(), abs=1e-4)
    forces = state.getForces(asNumpy=True)._value * (EV / ANGSTROM)
    assert np.abs(forces - end.get_forces()).max() < (1e-4 if model.dtype == "float32" else 1e-8)


def test_two_contexts_do_not_disturb_each_other(model: ToyModel) -> None:
    force = torch_force(model.path, topology_of(ethanol()))
    system = system_of(9, None)
    system.addForce(force)
    platform = openmm.Platform.getPlatformByName("Reference")
    contexts = [openmm.Context(system, openmm.VerletIntegrator(FEMTOSECOND), platform) for _ in range(2)]
    for context, scale in zip(contexts, (1.0, 1.1), strict=True):
        context.setPositions(ethanol().positions * scale / ANGSTROM)
    first = [context.getState(energy=True).getPotentialEnergy()._value for context in contexts]
    contexts[0].getIntegrator().step(3)
    assert contexts[1].getState(energy=True).getPotentialEnergy()._value == pytest.approx(first[1], abs=1e-6)
    assert first[0] != first[1]


@pytest.mark.parametrize("outputs_forces", [False, True])
def test_memory_stays_flat(model: ToyModel, outputs_forces: bool) -> None:
    case = next(case for case in cases() if case.name == "triclinic")
    integrator = openmm.LangevinMiddleIntegrator(300, 1.0, 0.2 * FEMTOSECOND)
    context = context_of(model, case, integrator, outputs_forces=outputs_forces)
    openmm.LocalEnergyMinimizer.minimize(context, 10.0, 20)
    total_energies(context, 100, 10)
    before = resident_mib()
    total_energies(context, 400, 10)
    assert resident_mib() - before < 8  # one step's edges and graph take 5 MiB: kept, they would be 2 GiB
