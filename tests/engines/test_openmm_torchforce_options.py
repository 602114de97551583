"""What a TorchForce can do beside giving an energy: forces in the same call, a scale, tensors of fixed shape."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("openmmtorch")

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
    reference,
    single_point,
    topology_of,
)
from toy_potential import ToyModel, write_toy_model

from frames.errors import FramesError
from frames.openmm import torch_force, write_torchforce

pytestmark = [
    pytest.mark.torchforce,
    pytest.mark.filterwarnings("ignore:cuda_graphs. this OpenMM has no CUDA platform"),
]

CASES = {case.name: case for case in cases()}
OPTIONS = {
    "forces": {"outputs_forces": True},
    "fixed shapes": {"cuda_graphs": True},
    "both": {"outputs_forces": True, "cuda_graphs": True},
}


@pytest.fixture(scope="module", params=["float32", "float64"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ToyModel:
    return write_toy_model(tmp_path_factory.mktemp("options") / "toy.pt", dtype=request.param)


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> ToyModel:
    return write_toy_model(tmp_path_factory.mktemp("options") / "double.pt", dtype="float64")


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", ["ethanol", "far apart", "one atom", "triclinic", "narrow", "one atom in a box"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_equals_ase(model: ToyModel, options: dict[str, bool], name: str, platform: str) -> None:
    case = CASES[name]
    force = torch_force(model.path, topology_of(case), **options)
    assert force.getOutputsForces() == options.get("outputs_forces", False)
    assert_same(
        single_point(force, case.positions, case.cell, platform), reference(model.path, case), dtype=model.dtype
    )


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_equals_ase_with_a_trained_backbone(native_models: dict[str, Path], options: dict[str, bool]) -> None:
    """The backbone that is exported most: its messages end at the cutoff, so that far pairs may stay in."""
    for name in ("ethanol", "images", "crystal"):
        case, model = CASES[name], native_models["float64"]
        found = single_point(torch_force(model, topology_of(case), **options), case.positions, case.cell)
        wanted = single_point(torch_force(model, topology_of(case)), case.positions, case.cell)
        assert_same(found, wanted)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_forces_are_slopes_of_the_energy(double: ToyModel, options: dict[str, bool]) -> None:
    case = CASES["images"]
    context = context_of(torch_force(double.path, topology_of(case), **options), case)
    forces = context.getState(forces=True).getForces(asNumpy=True)._value * (EV / ANGSTROM)
    rng = np.random.default_rng(1)
    for _ in range(5):
        direction = rng.normal(size=case.positions.shape)
        direction /= np.linalg.norm(direction)
        ends = []
        for sign in (1, -1):
            context.setPositions((case.positions + sign * 2e-4 * direction) / ANGSTROM)
            ends.append(energy_of(context))
        slope = (ends[0] - ends[1]) / 4e-4
        assert -slope == pytest.approx((forces * direction).sum(), abs=2e-6 * max(1.0, np.abs(forces).max()))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_subset_of_a_larger_system(double: ToyModel, options: dict[str, bool]) -> None:
    case = CASES["crystal"]
    atoms = np.random.default_rng(0).permutation(len(case.numbers))[:40]
    force = torch_force(double.path, topology_of(case), atoms=atoms, **options)
    found = single_point(force, case.positions, case.cell, "CPU")
    part = Case("part", [case.numbers[i] for i in atoms], case.positions[atoms], case.cell)
    energy, forces = reference(double.path, part)
    everywhere = np.zeros_like(case.positions)
    everywhere[atoms] = forces
    assert_same(found, (energy, everywhere))


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("outputs_forces", [False, True])
@pytest.mark.parametrize("name", ["ethanol", "images"])
def test_scale_and_its_derivative(double: ToyModel, name: str, outputs_forces: bool, platform: str) -> None:
    """openmmtorch hands the scale over in single precision: these numbers are exact in it."""
    case = CASES[name]
    energy, forces = reference(double.path, case)
    force = torch_force(
        double.path, topology_of(case), outputs_forces=outputs_forces, scale_parameter="mu", scale_default=0.25
    )
    force.addEnergyParameterDerivative("mu")
    context = context_of(force, case, platform)
    assert context.getParameter("mu") == 0.25
    step = 2.0**-8
    for scale in (0.0, 0.25, 1.0):
        context.setParameter("mu", scale)
        state = context.getState(energy=True, forces=True, parameterDerivatives=True)
        found = state.getPotentialEnergy()._value * EV, state.getForces(asNumpy=True)._value * (EV / ANGSTROM)
        assert_same(found, (scale * energy, scale * forces))
        ends = []
        for end in (scale - step, scale + step):
            context.setParameter("mu", end)
            ends.append(energy_of(context))
        derivative = state.getEnergyParameterDerivatives()["mu"] * EV
        # openmmtorch rounds it to single precision on OpenCL
        assert derivative == pytest.approx(energy, rel=1e-7 if platform in DEVICES else 1e-9)
        assert derivative == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-7)


def test_fixed_shapes_report_a_box_that_has_become_too_small(double: ToyModel) -> None:
    """Instead of forgetting neighbours. A barostat may take a few per cent off."""
    case = CASES["triclinic"]
    assert case.cell is not None
    force = torch_force(double.path, topology_of(case), cuda_graphs=True)
    assert force.getProperties().asdict()["useCUDAGraphs"] == "true"
    context = context_of(force, case)
    for factor in (1.1, 0.97):
        smaller = replace(case, cell=factor * case.cell, positions=factor * case.positions)
        context.setPeriodicBoxVectors(*(smaller.cell / ANGSTROM))
        context.setPositions(smaller.positions / ANGSTROM)
        assert energy_of(context) == pytest.approx(reference(double.path, smaller)[0], abs=1e-6)
    context.setPeriodicBoxVectors(*(0.5 * case.cell / ANGSTROM))
    assert np.isnan(energy_of(context))


def test_graphs_without_a_gpu_are_said_to_be_none(double: ToyModel) -> None:
    names = [openmm.Platform.getPlatform(k).getName() for k in range(openmm.Platform.getNumPlatforms())]
    if "CUDA" in names:
        pytest.skip("this OpenMM has a CUDA platform")
    with pytest.warns(UserWarning, match="cuda_graphs: this OpenMM has no CUDA platform; the force gives the same"):
        torch_force(double.path, topology_of(ethanol()), cuda_graphs=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outputs_forces": 1}, "outputs_forces = 1; expected True or False"),
        ({"cuda_graphs": "true"}, "cuda_graphs = 'true'; expected True or False"),
        ({"scale_parameter": "a+b"}, "scale_parameter = 'a.b'; expected a name of letters"),
        ({"scale_default": 0.5}, "scale_default = 0.5 without scale_parameter; name the parameter"),
        ({"scale_parameter": "s", "scale_default": float("nan")}, "scale_default = nan; expected a finite number"),
        ({"scale_parameter": "s", "cuda_graphs": True}, "a CUDA graph keeps the value that the parameter had"),
        ({"cuda_graphs": True, "periodic": True}, "expected a topology that has the box vectors"),
    ],
)
def test_refuses_options(double: ToyModel, options: dict[str, Any], message: str) -> None:
    with pytest.raises(FramesError, match=message):
        torch_force(double.path, ethanol().numbers, **{"periodic": False, **options})


def test_refuses_fixed_shapes_for_a_large_system(double: ToyModel) -> None:
    with pytest.raises(
        FramesError, match=r"cuda_graphs: 640000 pairs of atoms would be evaluated in every step, 524288"
    ):
        torch_force(double.path, [6] * 800, periodic=False, cuda_graphs=True)


PLAIN_SCRIPT = """
import json, sys
import torch
import openmm
from openmmtorch import TorchForce

force = TorchForce(sys.argv[1])
for line in sys.argv[3:]:
    exec(line)
positions = json.loads(sys.argv[2])
system = openmm.System()
for _ in positions:
    system.addParticle(12.0)
system.addForce(force)
context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
context.setPositions(positions)
try:
    state = context.getState(energy=True, forces=True)
    print(json.dumps([state.getPotentialEnergy()._value, [list(f) for f in state.getForces()._value]]))
except openmm.OpenMMException as error:
    print("refused:", error)
"""

OUTPUTS, PARAMETER, PERIODIC = (
    "force.setOutputsForces(True)",
    "force.addGlobalParameter('s', 0.5)",
    "force.setUsesPeriodicBoundaryConditions(True)",
)


def run_plain_script(file: Path, *lines: str) -> str:
    positions = json.dumps((ethanol().positions / ANGSTROM).tolist())
    done = subprocess.run(
        [sys.executable, "-c", PLAIN_SCRIPT, str(file), positions, *lines], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("lines", [(), (OUTPUTS,), (PARAMETER,), (OUTPUTS, PARAMETER)], ids=len)
def test_file_is_loaded_by_a_plain_script(double: ToyModel, tmp_path: Path, lines: tuple[str, ...]) -> None:
    file = tmp_path / "torchforce.pt"
    write_torchforce(
        double.path,
        topology_of(ethanol()),
        file,
        outputs_forces=OUTPUTS in lines,
        scale_parameter="s" if PARAMETER in lines else None,
    )
    energy, forces = json.loads(run_plain_script(file, *lines))
    wanted, scale = reference(double.path, ethanol()), 0.5 if PARAMETER in lines else 1.0
    assert_same((energy * EV, np.array(forces) * (EV / ANGSTROM)), (scale * wanted[0], scale * wanted[1]))


@pytest.mark.parametrize(
    ("options", "lines", "message"),
    [
        ({"scale_parameter": "s"}, (), r"scales its energy: call force.addGlobalParameter\(name, 1.0\)"),
        ({}, (PARAMETER,), "does not scale its energy: leave out force.addGlobalParameter"),
        ({"scale_parameter": "s"}, (PARAMETER, PERIODIC), "this TorchForce is not periodic: leave out"),
        ({"outputs_forces": True}, (), "Tuple"),
        ({}, (OUTPUTS,), "[Tt]uple"),
    ],
)
def test_file_says_what_the_script_forgot(
    double: ToyModel, tmp_path: Path, options: dict[str, Any], lines: tuple[str, ...], message: str
) -> None:
    file = tmp_path / "torchforce.pt"
    write_torchforce(double.path, topology_of(ethanol()), file, **options)
    printed = run_plain_script(file, *lines)
    assert printed.startswith("refused:") and re.search(message, printed), printed
