"""Energies and forces of a TorchForce equal those of ASE."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

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
    ethanol,
    jittered_lattice,
    new_context,
    reference,
    single_point,
    system_of,
    topology_of,
)
from toy_potential import ToyModel, write_toy_model

from frames.ase import FramesCalculator
from frames.inference import TorchScriptModel
from frames.openmm import torch_force, write_torchforce
from frames.openmm.particles import model_particles
from frames.openmm.torchforce import scripted_program

pytestmark = pytest.mark.torchforce

# eV and eV/Å; a float32 model differs by its rounding, which depends on the order of the sums
CASES = {case.name: case for case in cases()}


@pytest.fixture(scope="module", params=["float32", "float64"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ToyModel:
    return write_toy_model(tmp_path_factory.mktemp("torchforce") / "toy.pt", dtype=request.param)


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> ToyModel:
    return write_toy_model(tmp_path_factory.mktemp("torchforce") / "double.pt", dtype="float64")


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", CASES)
def test_equals_ase(model: ToyModel, name: str, platform: str) -> None:
    case = CASES[name]
    force = torch_force(model.path, topology_of(case))
    assert force.usesPeriodicBoundaryConditions() == (case.cell is not None)
    found = single_point(force, case.positions, case.cell, platform)
    assert_same(found, reference(model.path, case), model.dtype)


@pytest.mark.parametrize("platform", ["CPU", *DEVICES])
def test_subset_of_a_larger_system(double: ToyModel, platform: str) -> None:
    case = CASES["crystal"]
    rng = np.random.default_rng(0)
    atoms = rng.permutation(len(case.numbers))[:60]
    elements = [case.numbers[i] if i in atoms else None for i in range(len(case.numbers))]
    found = single_point(
        torch_force(double.path, elements, atoms=atoms, periodic=True), case.positions, case.cell, platform
    )
    part = Case("part", [case.numbers[i] for i in atoms], case.positions[atoms], case.cell)
    energy, forces = reference(double.path, part)
    everywhere = np.zeros_like(case.positions)
    everywhere[atoms] = forces
    assert_same(found, (energy, everywhere))

    # beside another force, in a force group of its own
    system = system_of(len(elements), case.cell)
    spring = openmm.CustomExternalForce("x")
    for index in range(len(elements)):
        spring.addParticle(index, [])
    force = torch_force(double.path, elements, atoms=atoms, periodic=True)
    force.setForceGroup(3)
    system.addForce(spring)
    system.addForce(force)
    context = new_context(system, openmm.VerletIntegrator(0.001), platform)
    context.setPositions(case.positions / 10)
    per_mole = openmm.unit.kilojoule_per_mole
    whole, alone, rest = (
        context.getState(energy=True, groups=groups).getPotentialEnergy().value_in_unit(per_mole)
        for groups in (-1, {3}, {0})
    )
    assert whole == pytest.approx(alone + rest, abs=1e-6)
    assert rest == pytest.approx(case.positions[:, 0].sum() / 10, abs=1e-3)


def test_elements_in_every_form(double: ToyModel) -> None:
    from openmm import app

    case = ethanol()
    wanted = reference(double.path, case)
    symbols = [atom.symbol for atom in case.atoms()]
    for elements in (
        symbols,
        np.array(case.numbers),
        [app.Element.getBySymbol(symbol) for symbol in symbols],
    ):
        force = torch_force(double.path, elements, periodic=False)
        assert_same(single_point(force, case.positions, None), wanted)


def test_topology_with_a_box_can_be_taken_without_it(double: ToyModel) -> None:
    case = CASES["images"]
    force = torch_force(double.path, topology_of(case), periodic=False)
    found = single_point(force, case.positions, None)
    assert_same(found, reference(double.path, Case("open", case.numbers, case.positions, None)))


def test_same_lattice_described_by_other_vectors(double: ToyModel) -> None:
    """An invariance that does not rest on another program. OpenMM itself takes reduced boxes only."""
    import torch

    case = CASES["images"]
    assert case.cell is not None
    loaded = TorchScriptModel(double.path)
    program = scripted_program(loaded, model_particles(topology_of(case), loaded.metadata.elements))
    positions = torch.tensor(case.positions / 10)
    energies = []
    same, sheared, permuted = np.eye(3), [[1, 0, 0], [2, 1, 0], [-1, 0, 1]], [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    for combination in (same, sheared, permuted):
        box = torch.tensor(np.array(combination) @ case.cell / 10)
        energies.append(float(program(positions, box)))
    assert np.ptp(energies) < 1e-7


PLAIN_SCRIPT = """
import json, sys
import torch
import openmm, openmm.app as app
from openmmtorch import TorchForce

pdb = app.PDBFile(sys.argv[1])
force = TorchForce(sys.argv[2])
force.setUsesPeriodicBoundaryConditions(pdb.topology.getPeriodicBoxVectors() is not None)
system = openmm.System()
for atom in pdb.topology.atoms():
    system.addParticle(atom.element.mass)
if pdb.topology.getPeriodicBoxVectors() is not None:
    system.setDefaultPeriodicBoxVectors(*pdb.topology.getPeriodicBoxVectors())
system.addForce(force)
simulation = app.Simulation(pdb.topology, system, openmm.VerletIntegrator(0.0005))
simulation.context.setPositions(pdb.positions)
state = simulation.context.getState(energy=True, forces=True)
simulation.step(5)
print(json.dumps({
    "energy": state.getPotentialEnergy()._value,
    "forces": [list(f) for f in state.getForces()._value],
    "frames": any(name == "frames" or name.startswith("frames.") for name in sys.modules),
}))
"""


@pytest.mark.parametrize("name", ["ethanol", "images"])
def test_file_is_loaded_by_a_plain_script(double: ToyModel, tmp_path: Path, name: str) -> None:
    from openmm import app, unit

    case = CASES[name]
    pdb, file = tmp_path / "start.pdb", tmp_path / "torchforce.pt"
    with pdb.open("w") as stream:
        app.PDBFile.writeFile(topology_of(case), case.positions * unit.angstrom, stream)
    written = write_torchforce(double.path, pdb, file)
    assert written.periodic == (case.cell is not None)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", PLAIN_SCRIPT, str(pdb), str(file)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert not answer["frames"]
    read = app.PDBFile(str(pdb))  # positions are rounded to 0.001 Å, box vectors as well
    positions = read.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
    box = read.topology.getPeriodicBoxVectors()
    cell = None if box is None else np.array(box.value_in_unit(unit.angstrom))
    energy, forces = reference(double.path, Case(name, case.numbers, positions, cell))
    assert answer["energy"] * EV == pytest.approx(energy, abs=1e-8)
    assert np.abs(np.array(answer["forces"]) * (EV / ANGSTROM) - forces).max() < 1e-8


def test_file_says_what_it_is(double: ToyModel, tmp_path: Path) -> None:
    import torch

    path = tmp_path / "torchforce.pt"
    write_torchforce(double.path, topology_of(ethanol()), path)
    extra = {"torchforce.json": ""}
    torch.jit.load(str(path), _extra_files=extra)
    description = json.loads(extra["torchforce.json"])
    assert description["format"] == "frames-torchforce"
    assert description["atomic_numbers"] == ethanol().numbers
    assert description["units"] == {"length": "nm", "energy": "kJ/mol"}
    assert description["model"]["cutoff"] == double.cutoff


@pytest.mark.parametrize(
    "case",
    [
        jittered_lattice("wide", (4, 4, 4), [[9, 0, 0], [0, 9, 0], [0, 0, 9]], 11),
        jittered_lattice("skewed", (4, 3, 4), [[7, 0, 0], [3.4, 7, 0], [-3.3, 3.4, 7]], 12),
        jittered_lattice("flat", (4, 4, 1), [[9, 0, 0], [2, 9, 0], [1, -1, 1.7]], 13),
        Case("alone", [1], np.array([[50.0, -3, 0]]), np.diag([1.1, 1.2, 9.0])),
    ],
    ids=lambda case: case.name,
)
@pytest.mark.parametrize("cutoff", [1.0, 3.0, 4.499, 6.9])
def test_both_neighbour_lists_equal_vesin(case: Case, cutoff: float) -> None:
    import torch

    from frames.data.graph import neighbour_list
    from frames.openmm.neighbours import all_pairs, cell_list, open_cell_list, open_edges, periodic_edges

    def canonical(edge_index: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        keys = np.hstack([vectors.round(3), edge_index.T])  # the last column sorts first
        return np.hstack([edge_index.T, vectors])[np.lexsort(keys.T)]

    positions, pairs = torch.tensor(case.positions), all_pairs(len(case.positions))
    box = torch.tensor(case.cell)
    for pbc in (True, False):
        edge_index, shifts = neighbour_list(case.positions, case.cell, pbc, cutoff)
        wanted = canonical(edge_index, case.positions[edge_index[1]] + shifts - case.positions[edge_index[0]])
        for edges, shift in (
            [periodic_edges(positions, box, pairs, cutoff), cell_list(positions, box, cutoff)]
            if pbc
            else [open_edges(positions, pairs, cutoff), open_cell_list(positions, cutoff)]
        ):
            vectors = positions[edges[1]] - positions[edges[0]] + (0 if shift is None else shift)
            found = canonical(edges.numpy(), vectors.numpy())
            assert found.shape == wanted.shape
            assert np.allclose(found, wanted, atol=1e-9)


def test_positions_that_are_nan_in_a_large_open_system() -> None:
    import torch

    from frames.openmm.neighbours import open_cell_list

    positions = torch.rand(450, 3, dtype=torch.float64)
    positions[7, 1] = float("nan")
    with pytest.raises(ValueError, match="frames: the energy is not finite: positions are NaN or infinite"):
        open_cell_list(positions, 0.5)


def test_equals_ase_along_a_real_trajectory(double: ToyModel, shared_data: Path) -> None:
    """A hexagonal hydrocarbon crystal in a box of 5.1 x 4.4 x 9.7 Å, narrower than twice the cutoff."""
    with np.load(shared_data / "aimd" / "HC_mp-1096986_300K.npz") as data:
        numbers, cells, positions = data["z"].tolist(), data["cell"], data["R"]
    force = torch_force(double.path, topology_of(Case("crystal", numbers, positions[0], cells[0])))
    system = system_of(len(numbers), cells[0])
    system.addForce(force)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("CPU"))
    atoms = Case("crystal", numbers, positions[0], cells[0]).atoms()
    atoms.calc = FramesCalculator(double.path)
    for frame in range(0, len(positions), 50):
        context.setPositions(positions[frame] / ANGSTROM)
        state = context.getState(energy=True, forces=True)
        atoms.positions = positions[frame]
        energy, forces = state.getPotentialEnergy()._value * EV, state.getForces(asNumpy=True)._value
        wanted = atoms.get_potential_energy(), atoms.get_forces()
        assert_same((energy, forces * (EV / ANGSTROM)), wanted)
