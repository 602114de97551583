"""Energies, forces and derivatives of a FramesForce: finite differences, ASE, subsets, forces within forces."""

from __future__ import annotations

import copy
from pathlib import Path

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
    assert_same,
    cases,
    context_of,
    energy_of,
    ethanol,
    new_context,
    reference,
    single_point,
    system_of,
    topology_of,
)
from toy_potential import write_toy_model

from frames.openmm import FramesForce

CASES = {case.name: case for case in cases()}
# eV and eV/Å; single precision differs by its rounding, which depends on the order of the sums


@pytest.fixture(scope="module")
def models(native_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The native engine in both precisions, and a model that only TorchScript evaluates."""
    toy = write_toy_model(tmp_path_factory.mktemp("framesforce") / "toy.pt", dtype="float64").path
    return {**{f"native {dtype}": path for dtype, path in native_models.items()}, "torchscript float64": toy}


@pytest.fixture(scope="module")
def double(models: dict[str, Path]) -> Path:
    return models["native float64"]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", ["native float32", "native float64", "torchscript float64"])
def test_equals_ase(models: dict[str, Path], kind: str, name: str, platform: str) -> None:
    backend, dtype = kind.split()
    case, model = CASES[name], models[kind]
    force = FramesForce(model, topology_of(case))
    assert force.usesPeriodicBoundaryConditions() == (case.cell is not None)
    context = context_of(force, case, platform)
    assert force.getBackend(context).startswith(backend)
    state = context.getState(energy=True, forces=True)
    found = (
        state.getPotentialEnergy()._value * EV,
        state.getForces(asNumpy=True)._value * (EV / ANGSTROM),
    )
    assert_same(found, reference(model, case), dtype)
    assert np.allclose(force.getModelForces(context)._value * (EV / ANGSTROM), found[1], rtol=1e-12)
    assert force.getAtomEnergies(context).sum()._value * EV == pytest.approx(found[0], rel=1e-12)


@pytest.mark.torchforce
def test_equals_torchforce(double: Path) -> None:
    pytest.importorskip("openmmtorch")
    from frames.openmm import torch_force

    for case in (CASES["ethanol"], CASES["triclinic"]):
        topology = topology_of(case)
        wanted = single_point(torch_force(double, topology), case.positions, case.cell)
        found = single_point(FramesForce(double, topology), case.positions, case.cell)
        assert found[0] == pytest.approx(wanted[0], abs=1e-6)  # the radial functions are tables in one of them
        assert np.abs(found[1] - wanted[1]).max() < 1e-6


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", ["ethanol", "triclinic", "narrow"])
def test_forces_are_slopes_of_the_energy(double: Path, name: str, platform: str) -> None:
    case = CASES[name]
    context = context_of(FramesForce(double, topology_of(case)), case, platform)
    forces = context.getState(forces=True).getForces(asNumpy=True)._value * (EV / ANGSTROM)
    rng = np.random.default_rng(1)
    step = 2e-4
    for _ in range(5):
        direction = rng.normal(size=case.positions.shape)
        direction /= np.linalg.norm(direction)
        ends = []
        for sign in (1, -1):
            context.setPositions((case.positions + sign * step * direction) / ANGSTROM)
            ends.append(energy_of(context))
        slope = (ends[0] - ends[1]) / (2 * step)
        assert -slope == pytest.approx((forces * direction).sum(), abs=2e-6 * max(1.0, np.abs(forces).max()))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_scale_parameter_and_its_derivative(double: Path, platform: str) -> None:
    case = CASES["images"]
    wanted = reference(double, case)
    force = FramesForce(double, topology_of(case), scale_parameter="lambda_model")
    plain = context_of(copy.deepcopy(force), case, platform)
    force.addEnergyParameterDerivative("lambda_model")
    context = context_of(force, case, platform)
    assert context.getParameter("lambda_model") == 1.0
    step = 1e-3
    for scale in (0.0, 0.3, 1.0):
        ends = []
        for end in (scale - step, scale + step):
            context.setParameter("lambda_model", end)
            ends.append(energy_of(context))
        context.setParameter("lambda_model", scale)
        plain.setParameter("lambda_model", scale)
        state = context.getState(energy=True, forces=True, parameterDerivatives=True)
        derivative = state.getEnergyParameterDerivatives()["lambda_model"] * EV
        assert derivative == pytest.approx(wanted[0], abs=1e-7)
        assert derivative == pytest.approx((ends[1] - ends[0]) / (2 * step), abs=1e-6)
        assert energy_of(plain) == pytest.approx(scale * wanted[0], abs=1e-7)
        assert state.getPotentialEnergy()._value * EV == pytest.approx(scale * wanted[0], abs=1e-7)
        forces = state.getForces(asNumpy=True)._value * (EV / ANGSTROM)
        assert np.abs(forces - scale * wanted[1]).max() < 1e-8
        assert np.abs(force.getModelForces(context)._value * (EV / ANGSTROM) - wanted[1]).max() < 1e-8
        assert force.getAtomEnergies(context).sum()._value * EV == pytest.approx(scale * wanted[0], abs=1e-6)
        unasked = plain.getState(parameterDerivatives=True).getEnergyParameterDerivatives()
        assert unasked.asdict().get("lambda_model", 0.0) == 0  # OpenCL leaves it out


@pytest.mark.parametrize("name", ["frames_energy", "E", "energy", "s", "s_times"])
def test_no_name_of_the_parameter_is_taken(double: Path, name: str) -> None:
    case = CASES["ethanol"]
    force = FramesForce(double, topology_of(case), scale_parameter=name, scale_default=0.5)
    force.addEnergyParameterDerivative(name)
    assert energy_of(context_of(force, case, "Reference")) == pytest.approx(0.5 * reference(double, case)[0], abs=1e-7)


@pytest.mark.parametrize("platform", ["CPU", *DEVICES])
def test_subset_beside_other_forces_in_a_group(double: Path, platform: str) -> None:
    case = CASES["crystal"]
    atoms = np.random.default_rng(0).permutation(len(case.numbers))[:60]
    elements = [case.numbers[i] if i in atoms else None for i in range(len(case.numbers))]
    force = FramesForce(double, elements, atoms=atoms, periodic=True)
    force.setForceGroup(3)
    spring = openmm.CustomExternalForce("x")
    for index in range(len(elements)):
        spring.addParticle(index, [])
    system = system_of(len(elements), case.cell)
    system.addForce(spring)
    system.addForce(force)
    context = new_context(system, openmm.VerletIntegrator(0.001), platform)
    context.setPositions(case.positions / ANGSTROM)
    state = context.getState(energy=True, forces=True, groups={3})
    part = Case("part", [case.numbers[i] for i in atoms], case.positions[atoms], case.cell)
    energy, forces = reference(double, part)
    everywhere = np.zeros_like(case.positions)
    everywhere[atoms] = forces
    found = state.getPotentialEnergy()._value * EV, state.getForces(asNumpy=True)._value * (EV / ANGSTROM)
    assert_same(found, (energy, everywhere))
    rest = context.getState(energy=True, groups={0}).getPotentialEnergy()._value
    assert rest == pytest.approx(case.positions[:, 0].sum() / ANGSTROM, abs=1e-3)
    assert energy_of(context) == pytest.approx(energy + rest * EV, abs=1e-6)


@pytest.mark.parametrize("platform", ["CPU", *DEVICES])
def test_virtual_sites_are_left_alone(double: Path, platform: str) -> None:
    case = ethanol()
    force = FramesForce(double, [*case.numbers, None], atoms=range(9), periodic=False)
    system = system_of(9, None)
    system.addParticle(0.0)
    system.setVirtualSite(9, openmm.TwoParticleAverageSite(0, 1, 0.5, 0.5))
    system.addForce(force)
    context = new_context(system, openmm.VerletIntegrator(0.0005), platform)
    context.setPositions(np.vstack([case.positions, np.zeros((1, 3))]) / ANGSTROM)
    context.computeVirtualSites()
    assert energy_of(context) == pytest.approx(reference(double, case)[0], abs=1e-8)
    context.getIntegrator().step(3)
    positions = context.getState(positions=True).getPositions(asNumpy=True)._value
    assert np.allclose(positions[9], (positions[0] + positions[1]) / 2)


def test_link_atoms_that_are_virtual_sites_pass_their_forces_on(double: Path) -> None:
    """A hydrogen atom placed on the C-O bond, as embeddings cap a bond that they cut."""
    case = ethanol()
    system = system_of(9, None)
    system.addParticle(0.0)
    system.setVirtualSite(9, openmm.TwoParticleAverageSite(0, 2, 0.4, 0.6))
    system.addForce(FramesForce(double, [*case.numbers, 1], atoms=[1, 3, 4, 5, 9], periodic=False))
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))

    def energy(positions: np.ndarray) -> float:
        context.setPositions(np.vstack([positions, np.zeros((1, 3))]) / ANGSTROM)
        context.computeVirtualSites()
        return energy_of(context)

    energy(case.positions)
    force = context.getState(forces=True).getForces(asNumpy=True)._value[2, 0] * (EV / ANGSTROM)
    step = np.zeros_like(case.positions)
    step[2, 0] = 1e-3
    slope = (energy(case.positions + step) - energy(case.positions - step)) / 2e-3
    assert force == pytest.approx(-slope, abs=1e-5)
    assert abs(force) > 1e-2


@pytest.mark.parametrize(("stored", "precision"), [("float32", "double"), ("float64", "single")])
def test_precision_may_differ_from_that_of_the_file(models: dict[str, Path], stored: str, precision: str) -> None:
    case = CASES["triclinic"]
    force = FramesForce(models[f"native {stored}"], topology_of(case), precision=precision)
    context = context_of(force, case)
    assert {"double": "float64", "single": "float32"}[precision] in force.getBackend(context)
    own = context_of(FramesForce(models[f"native {stored}"], topology_of(case)), case)
    assert energy_of(context) == pytest.approx(energy_of(own), abs=2e-4)
    assert energy_of(context) != energy_of(own)


def test_a_box_of_the_topology_can_be_left_out(double: Path) -> None:
    case = CASES["images"]
    force = FramesForce(double, topology_of(case), periodic=False)
    found = single_point(force, case.positions, None)
    assert_same(found, reference(double, Case("open", case.numbers, case.positions, None)))


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("kind", ["native float64", "torchscript float64"])
def test_inside_custom_cv_force(models: dict[str, Path], kind: str, platform: str) -> None:
    case, model = CASES["images"], models[kind]
    energy, forces = reference(model, case)
    outer = openmm.CustomCVForce("lambda*E + 1e-9*E^2")
    outer.addGlobalParameter("lambda", 0.5)
    outer.addEnergyParameterDerivative("lambda")
    outer.addCollectiveVariable("E", FramesForce(model, topology_of(case)))
    context = context_of(outer, case, platform)
    state = context.getState(energy=True, forces=True, parameterDerivatives=True)
    kj = energy / EV
    found = state.getPotentialEnergy()._value * EV, state.getForces(asNumpy=True)._value * (EV / ANGSTROM)
    assert_same(found, ((0.5 * kj + 1e-9 * kj**2) * EV, (0.5 + 2e-9 * kj) * forces))
    assert state.getEnergyParameterDerivatives()["lambda"] * EV == pytest.approx(energy, abs=1e-7)
    assert outer.getCollectiveVariableValues(context)[0] * EV == pytest.approx(energy, abs=1e-7)


def test_inside_atm_force(double: Path) -> None:
    """The alchemical transfer force evaluates what it holds before and after it has displaced some particles."""
    case = ethanol()
    transfer = openmm.ATMForce("u0 + share*(u1 - u0)")
    transfer.addGlobalParameter("share", 0.25)
    for index in range(9):
        transfer.addParticle(openmm.Vec3(0.01, 0, 0) if index == 8 else openmm.Vec3(0, 0, 0))
    transfer.addForce(FramesForce(double, topology_of(case)))
    moved = Case("moved", case.numbers, case.positions.copy(), None)
    moved.positions[8, 0] += 0.1
    before, after = reference(double, case), reference(double, moved)
    found = single_point(transfer, case.positions, None)
    assert_same(found, (0.75 * before[0] + 0.25 * after[0], 0.75 * before[1] + 0.25 * after[1]))
