"""MLPotential('frames'): systems of OpenMM-ML, whole and mixed, and what it refuses."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("frames._openmm")
pytest.importorskip("openmmml")

import openmm
import openmmml
from ase import Atoms
from openmm import app, unit
from openmm_systems import ANGSTROM, DEVICES, EV, new_context

from frames.ase import FramesCalculator
from frames.errors import FramesError
from frames.openmm import FramesForce

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "ethanol" / "ethanol.pt"
EXAMPLES = ROOT / "examples" / "openmm"
NUMBERS = [6, 6, 8, 1, 1, 1, 1, 1, 1]


@pytest.fixture(scope="module")
def pdb() -> Any:
    return app.PDBFile(str(EXAMPLES / "ethanol.pdb"))


@pytest.fixture(scope="module")
def forcefield() -> Any:
    return app.ForceField(str(EXAMPLES / "ethanol_water.xml"))


@pytest.fixture(scope="module")
def potential() -> Any:
    return openmmml.MLPotential("frames", modelPath=MODEL)


@pytest.fixture(scope="module")
def solution(pdb: Any, forcefield: Any) -> Any:
    modeller = app.Modeller(pdb.topology, pdb.positions)
    modeller.addSolvent(forcefield, boxSize=openmm.Vec3(1.7, 1.7, 1.7) * unit.nanometer)
    return modeller


def context_of(system: Any, positions: Any, platform: str = "Reference") -> Any:
    context = new_context(system, openmm.VerletIntegrator(0.001), platform)
    context.setPositions(positions)
    context.computeVirtualSites()
    return context


def energy_of(system: Any, positions: Any, groups: Any = -1, platform: str = "Reference") -> float:
    context = context_of(system, positions, platform)
    return float(context.getState(energy=True, groups=groups).getPotentialEnergy()._value)


def model_energy(numbers: list[int], positions: np.ndarray) -> float:
    """kJ/mol, from positions in nm."""
    atoms = Atoms(numbers, positions * ANGSTROM, calculator=FramesCalculator(MODEL))
    return float(atoms.get_potential_energy()) / EV


def test_create_system(pdb: Any, potential: Any) -> None:
    system = potential.createSystem(pdb.topology)
    assert FramesForce.isFramesForce(system.getForce(0))
    assert isinstance(system.getForce(1), openmm.CMMotionRemover)
    positions = np.array(pdb.positions.value_in_unit(unit.nanometer))
    assert energy_of(system, positions) == pytest.approx(model_energy(NUMBERS, positions), abs=1e-3)
    assert not system.usesPeriodicBoundaryConditions()


def test_keywords_reach_the_force(pdb: Any, potential: Any) -> None:
    system = potential.createSystem(
        pdb.topology, removeCMMotion=False, precision="double", skin=0.03, bonds="topology", embed=False, charge=0
    )
    settings = FramesForce.cast(system.getForce(0)).settings
    assert (settings.precision, settings.skin, settings.embedded) == ("double", 0.03, False)
    assert len(settings.bonds) == 8
    assert system.getNumForces() == 1


@pytest.mark.parametrize("platform", ["Reference", *DEVICES])
@pytest.mark.parametrize("method", [app.PME, app.NoCutoff])
def test_mixed_system(solution: Any, forcefield: Any, potential: Any, method: Any, platform: str) -> None:
    """The internal energy of ethanol is the model's; all else, its interaction with water too, the force field's."""
    options = {"nonbondedMethod": method, "nonbondedCutoff": 0.8 * unit.nanometer}
    classical = forcefield.createSystem(solution.topology, **options)
    ligand = list(range(9))
    mixed = potential.createMixedSystem(solution.topology, classical, ligand, forceGroup=5)
    positions = np.array(solution.positions.value_in_unit(unit.nanometer))
    expected = model_energy(NUMBERS, positions[:9])
    assert energy_of(mixed, positions, {5}, platform) == pytest.approx(expected, abs=1e-3)
    if method is app.PME:  # which adds the images of ethanol
        return
    alone = app.Modeller(solution.topology, solution.positions)
    alone.delete([residue for residue in alone.topology.residues() if residue.name == "HOH"])
    internal = energy_of(forcefield.createSystem(alone.topology, nonbondedMethod=method), positions[:9])
    whole = energy_of(classical, positions)
    assert energy_of(mixed, positions, platform=platform) == pytest.approx(whole - internal + expected, abs=0.01)


@pytest.mark.parametrize("platform", ["Reference", *DEVICES])
def test_interpolation(solution: Any, forcefield: Any, potential: Any, platform: str) -> None:
    options = {"nonbondedMethod": app.PME, "nonbondedCutoff": 0.8 * unit.nanometer}
    classical = forcefield.createSystem(solution.topology, **options)
    mixed = potential.createMixedSystem(solution.topology, classical, range(9))
    both = potential.createMixedSystem(solution.topology, classical, range(9), interpolate=True)
    for force in both.getForces():
        if isinstance(force, openmm.CustomCVForce):
            force.addEnergyParameterDerivative("lambda_interpolate")
    context = context_of(both, solution.positions, platform)
    found = {}
    for scale in (0.0, 0.4, 1.0):
        context.setParameter("lambda_interpolate", scale)
        state = context.getState(energy=True, parameterDerivatives=True)
        found[scale] = state.getPotentialEnergy()._value
        slope = state.getEnergyParameterDerivatives()["lambda_interpolate"]
    assert found[0.0] == pytest.approx(energy_of(classical, solution.positions), abs=0.01)
    assert found[1.0] == pytest.approx(energy_of(mixed, solution.positions), abs=0.01)
    assert found[0.4] == pytest.approx(0.6 * found[0.0] + 0.4 * found[1.0], abs=0.01)
    assert slope == pytest.approx(found[1.0] - found[0.0], abs=0.01)
    # copies and XML hold the model
    again = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(both))
    assert energy_of(again, solution.positions, platform=platform) == pytest.approx(found[1.0], rel=1e-12)


def test_link_atom_caps_a_bond_that_is_cut(pdb: Any, forcefield: Any, potential: Any) -> None:
    """CH2OH by the model, with a hydrogen in place of the methyl group that the force field keeps."""
    if "returnInfo" not in inspect.signature(openmmml.MLPotential.createMixedSystem).parameters:
        pytest.skip("this OpenMM-ML cuts no bonds")
    classical = forcefield.createSystem(pdb.topology, nonbondedMethod=app.NoCutoff)
    atoms = [1, 2, 3, 4, 5]
    info = potential.createMixedSystem(pdb.topology, classical, atoms, forceGroup=5, returnInfo=True)
    system = info["system"]
    assert system.getNumParticles() == 10 and system.isVirtualSite(9)
    start = np.vstack([np.array(pdb.positions.value_in_unit(unit.nanometer)), np.zeros((1, 3))])
    context = context_of(system, start)
    state = context.getState(energy=True, forces=True, positions=True, groups={5})
    positions = state.getPositions(asNumpy=True)._value
    expected = model_energy([*(NUMBERS[i] for i in atoms), 1], positions[[*atoms, 9]])
    assert state.getPotentialEnergy()._value == pytest.approx(expected, abs=1e-3)
    # the force on the link atom is passed on to the carbon atoms that place it
    step = 1e-4
    ends = []
    for sign in (1, -1):
        moved = positions.copy()
        moved[0, 0] += sign * step
        context.setPositions(moved)
        context.computeVirtualSites()
        ends.append(context.getState(energy=True, groups={5}).getPotentialEnergy()._value)
    assert state.getForces()[0][0]._value == pytest.approx(-(ends[0] - ends[1]) / (2 * step), abs=5.0)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({}, "MLPotential.'frames'.: modelPath is missing; expected the path of a model file"),
        ({"modelPath": "absent.pt"}, "absent.pt: no such model file"),
        ({"modelPath": 3}, "expected the path of a model file, not 3 of type int"),
        ({"modelPath": MODEL, "device": "cuda"}, "unknown keyword 'device'; expected modelPath .backend, precision"),
    ],
)
def test_refuses_potentials(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(FramesError, match=message):
        openmmml.MLPotential("frames", **keywords)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"charge": 1}, "charge = 1: the model .*ethanol.pt describes systems of charge 0 only; leave charge out"),
        ({"multiplicity": 3}, "multiplicity = 3: the model .* describes systems of multiplicity 1 only"),
        ({"presicion": "double"}, "unknown keyword 'presicion'; expected backend, precision, skin, bonds, embed, cha"),
        ({"precision": "half"}, "precision 'half'; expected 'single', 'double'"),
        ({"backend": "cuda"}, "backend 'cuda'; expected one of auto, native, torchscript"),
    ],
)
def test_refuses_systems(pdb: Any, potential: Any, keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(FramesError, match=message):
        potential.createSystem(pdb.topology, **keywords)


def test_import_of_openmmml_loads_nothing_of_this_package() -> None:
    """Everybody who has both would wait for it, and fail with it."""
    script = "import sys, openmmml; print(sorted(name for name in sys.modules if name.split('.')[0] == 'frames'))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['frames', 'frames.errors', 'frames.openmm', 'frames.openmm.mlpotential']"
