"""A FramesForce in what OpenMM builds around forces: every platform there is, threads, integrators, other forces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("frames._openmm")

import openmm
from openmm_systems import ANGSTROM, EV, Case, cases, ethanol, system_of, topology_of

from frames.ase import FramesCalculator
from frames.openmm import FramesForce

CASES = {case.name: case for case in cases()}
INSTALLED = [openmm.Platform.getPlatform(k).getName() for k in range(openmm.Platform.getNumPlatforms())]


@pytest.fixture
def model(native_models: dict[str, Path]) -> Path:
    return native_models["float64"]


def reference(model: Path, case: Case) -> tuple[float, np.ndarray]:
    atoms = case.atoms()
    atoms.calc = FramesCalculator(model)
    return atoms.get_potential_energy(), atoms.get_forces()


def context_of(case: Case, platform: str, force: Any, integrator: Any = None, **properties: str) -> Any:
    system = system_of(len(case.numbers), case.cell)
    system.addForce(force)
    integrator = integrator or openmm.VerletIntegrator(0.001)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName(platform), properties)
    context.setPositions(case.positions / ANGSTROM)
    return context


def answer(context: Any) -> tuple[float, np.ndarray]:
    state = context.getState(energy=True, forces=True)
    return state.getPotentialEnergy()._value * EV, state.getForces(asNumpy=True)._value * (EV / ANGSTROM)


@pytest.mark.parametrize("name", ["ethanol", "images", "triclinic"])
@pytest.mark.parametrize("platform", INSTALLED)
def test_every_platform(model: Path, platform: str, name: str) -> None:
    """GPU platforms hold positions and forces in single precision, the box too."""
    case = CASES[name]
    try:
        context = context_of(case, platform, FramesForce(model, topology_of(case)))
    except openmm.OpenMMException as error:
        pytest.skip(f"{platform}: {error}")
    energy, forces = answer(context)
    wanted = reference(model, case)
    exact = platform in ("Reference", "CPU")
    assert energy == pytest.approx(wanted[0], abs=1e-7 if exact else 1e-3)
    assert np.abs(forces - wanted[1]).max() < (1e-7 if exact else 1e-3 * max(1.0, np.abs(wanted[1]).max()))


def test_threads_of_the_platform_are_those_of_the_model(model: Path) -> None:
    case = CASES["crystal"]
    force = FramesForce(model, topology_of(case))
    context = context_of(case, "CPU", force, Threads="2")
    assert "2 threads" in force.getBackend(context)
    energy, forces = answer(context)
    wanted = reference(model, case)
    assert energy == pytest.approx(wanted[0], abs=1e-7)
    assert np.abs(forces - wanted[1]).max() < 1e-8


@pytest.mark.parametrize("derivative", [False, True])
def test_scaled_inside_an_alchemical_transfer(model: Path, derivative: bool) -> None:
    """The parameter of a force inside belongs to the Context outside."""
    case = ethanol()
    inner = FramesForce(model, topology_of(case), scale_parameter="mu", scale_default=0.5)
    if derivative:
        inner.addEnergyParameterDerivative("mu")
    transfer = openmm.ATMForce("0.5*(u0 + u1)")
    for index in range(9):
        transfer.addParticle(openmm.Vec3(0.01, 0, 0) if index == 8 else openmm.Vec3(0, 0, 0))
    transfer.addForce(inner)
    context = context_of(case, "Reference", transfer)
    moved = Case("moved", case.numbers, case.positions.copy(), None)
    moved.positions[8, 0] += 0.1
    ends = [reference(model, each) for each in (case, moved)]
    for scale in (0.5, 0.25):
        context.setParameter("mu", scale)
        energy, forces = answer(context)
        assert energy == pytest.approx(0.5 * scale * (ends[0][0] + ends[1][0]), abs=1e-7)
        assert np.abs(forces - 0.5 * scale * (ends[0][1] + ends[1][1])).max() < 1e-7


@pytest.mark.parametrize("derivative", [False, True])
def test_scaled_inside_a_collective_variable(model: Path, derivative: bool) -> None:
    case = CASES["images"]
    energy, forces = reference(model, case)
    inner = FramesForce(model, topology_of(case), scale_parameter="mu", scale_default=0.5)
    if derivative:
        inner.addEnergyParameterDerivative("mu")
    outer = openmm.CustomCVForce("2*E")
    outer.addCollectiveVariable("E", inner)
    context = context_of(case, "Reference", outer)
    for scale in (0.5, 0.25):
        context.setParameter("mu", scale)
        found = answer(context)
        assert found[0] == pytest.approx(2 * scale * energy, abs=1e-7)
        assert np.abs(found[1] - 2 * scale * forces).max() < 1e-7


def test_multiple_time_steps(model: Path) -> None:
    """The model in the outer loop, a stiff spring in the inner one: energy is conserved."""
    case = ethanol()
    system = system_of(9, None)
    force = FramesForce(Path(__file__).resolve().parents[2] / "models" / "ethanol" / "ethanol.pt", topology_of(case))
    force.setForceGroup(1)
    spring = openmm.HarmonicBondForce()
    spring.addBond(0, 1, 0.15, 2e5)
    system.addForce(force)
    system.addForce(spring)
    integrator = openmm.MTSIntegrator(0.0004, [(1, 1), (0, 4)])
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("CPU"))
    context.setPositions(case.positions / ANGSTROM)
    openmm.LocalEnergyMinimizer.minimize(context, 1.0)
    context.setVelocitiesToTemperature(300, 1)
    integrator.step(10)
    energies = []
    for _ in range(50):
        integrator.step(10)
        state = context.getState(energy=True)
        energies.append((state.getPotentialEnergy() + state.getKineticEnergy())._value * EV)
    assert np.std(energies) < 5e-3


def test_state_of_a_file_goes_on(model: Path) -> None:
    """A State as XML, which holds decimal numbers that are read back exactly."""
    case = CASES["images"]
    first = context_of(case, "Reference", FramesForce(model, topology_of(case)))
    first.setVelocitiesToTemperature(300, 1)
    first.getIntegrator().step(20)
    state = first.getState(positions=True, velocities=True, parameters=True)
    xml = openmm.XmlSerializer.serialize(state)
    second = context_of(case, "Reference", FramesForce(model, topology_of(case)))
    second.setState(openmm.XmlSerializer.deserialize(xml))
    for context in (first, second):
        context.getIntegrator().step(20)
    ends = [context.getState(positions=True).getPositions(asNumpy=True)._value for context in (first, second)]
    assert np.allclose(ends[0], ends[1], atol=1e-9)
