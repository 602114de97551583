"""What the OpenMM side refuses, and with which message."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("openmmtorch")

import openmm
from openmm_systems import Case, cases, ethanol, single_point, topology_of
from toy_potential import ToyModel, write_toy_model

from frames.errors import FramesError
from frames.openmm import torch_force, write_torchforce
from frames.openmm.guard import check_torch_fits, import_openmmtorch
from frames.openmm.particles import model_particles

pytestmark = pytest.mark.torchforce

KNOWN = (6, 1, 8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ToyModel:
    return write_toy_model(tmp_path_factory.mktemp("input") / "toy.pt")


def topology_with_virtual_site() -> Any:
    topology = topology_of(ethanol())
    residue = next(topology.residues())
    topology.addAtom("EP", None, residue)
    return topology


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (
            ["C", "Si"],
            {"periodic": False},
            r"particle 1 \(Si\) is Si, which the model does not know.*are C, H, O",
        ),
        (["C", "Xx"], {"periodic": False}, "'Xx' is no chemical symbol"),
        (["C", 1.5j], {"periodic": False}, r"1.5j is no element"),
        (
            "ethanol.pdb",
            {},
            "expected an OpenMM Topology or a list of elements, not 'ethanol.pdb' of type str",
        ),
        (7, {}, "expected an OpenMM Topology or a list of elements, not 7"),
        (["C", "H"], {}, "with a list of elements, say periodic=True or periodic=False"),
        ([], {"periodic": False}, "the topology has no atoms"),
        (
            ["C", None],
            {"periodic": False},
            r"particle 1 \(None\) has no element, as a virtual site; leave it out by",
        ),
        (["C", 0], {"periodic": False}, "particle 1 .* has no element"),
        (
            ["C", "H"],
            {"periodic": False, "atoms": [0, 2]},
            "2 is no particle of this system; expected .* from 0 to 1",
        ),
        (["C", "H"], {"periodic": False, "atoms": [-1]}, "-1 is no particle of this system"),
        (["C", "H"], {"periodic": False, "atoms": ["H"]}, "'H' is no particle of this system"),
        (["C", "H"], {"periodic": False, "atoms": [0.5]}, "0.5 is no particle of this system"),
        (["C", "H"], {"periodic": False, "atoms": [1, 0, 1]}, "particle 1 is listed more than once"),
        (["C", "H"], {"periodic": False, "atoms": []}, "atoms is empty"),
    ],
)
def test_refuses_particles(given: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(FramesError, match=message):
        model_particles(given, KNOWN, **options)


def test_names_the_virtual_site_of_a_topology_and_works_without_it(model: ToyModel) -> None:
    topology = topology_with_virtual_site()
    with pytest.raises(FramesError, match=r"particle 9 \(EP of residue MOL 1\) has no element"):
        torch_force(model.path, topology)
    positions = np.vstack([ethanol().positions, [[0.0, 0, 0]]])
    whole = single_point(torch_force(model.path, topology, atoms=range(9)), positions, None)
    alone = single_point(torch_force(model.path, topology_of(ethanol())), ethanol().positions, None)
    assert whole[0] == alone[0]
    assert np.array_equal(whole[1], np.vstack([alone[1], np.zeros((1, 3))]))


def nothing(force: Any, case: Case) -> Case:
    return case


def without_periodicity(force: Any, case: Case) -> Case:
    force.setUsesPeriodicBoundaryConditions(False)
    return case


def with_periodicity(force: Any, case: Case) -> Case:
    force.setUsesPeriodicBoundaryConditions(True)
    return case


def without_last_atom(force: Any, case: Case) -> Case:
    return Case(case.name, case.numbers, case.positions[:-1], case.cell)


def with_nan(force: Any, case: Case) -> Case:
    positions = case.positions.copy()
    positions[1, 2] = np.nan
    return Case(case.name, case.numbers, positions, case.cell)


def with_coinciding_atoms(force: Any, case: Case) -> Case:
    positions = case.positions.copy()
    positions[1] = positions[0]
    return Case(case.name, case.numbers, positions, case.cell)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        (
            "images",
            without_periodicity,
            "this TorchForce is periodic: call force.setUsesPeriodicBoundaryConditions",
        ),
        ("ethanol", with_periodicity, "this TorchForce is not periodic: leave out"),
        ("ethanol", without_last_atom, "was made for 9 particles but the system has 8"),
        ("ethanol", with_nan, "positions are NaN or infinite"),
        ("crystal", with_nan, "positions are NaN or infinite"),
        ("large, triclinic", with_nan, "positions are NaN or infinite"),
        ("ethanol", with_coinciding_atoms, "or two atoms have met"),
    ],
)
def test_simulation_stops_with_a_message(
    model: ToyModel, name: str, spoil: Callable[[Any, Case], Case], message: str
) -> None:
    case = next(case for case in cases() if case.name == name)
    force = torch_force(model.path, topology_of(case))
    single_point(torch_force(model.path, topology_of(case)), case.positions, case.cell)
    case = spoil(force, case)
    with pytest.raises(openmm.OpenMMException, match=f"frames: .*{message}"):
        single_point(force, case.positions, case.cell)


def test_error_inside_the_model_is_reported(tmp_path: Path) -> None:
    """And does not end the process, as an error inside a function of a frozen module would."""
    model = write_toy_model(tmp_path / "toy.pt")
    from frames.inference import TorchScriptModel
    from frames.openmm.torchforce import scripted_program

    loaded = TorchScriptModel(model.path)
    particles = model_particles(topology_of(ethanol()), loaded.metadata.elements)
    particles.atomic_numbers[0] = 500  # an index that the table of elements in the model does not have
    force = import_openmmtorch().TorchForce(scripted_program(loaded, particles))
    with pytest.raises(openmm.OpenMMException, match="index out of range"):
        single_point(force, ethanol().positions, None)


def test_refuses_to_overwrite_the_model(model: ToyModel) -> None:
    before = model.path.read_bytes()
    with pytest.raises(FramesError, match="would overwrite the model file"):
        write_torchforce(model.path, ["C"], model.path, periodic=False)
    assert model.path.read_bytes() == before


def test_refuses_files(model: ToyModel, tmp_path: Path) -> None:
    target = tmp_path / "torchforce.pt"
    with pytest.raises(FramesError, match=r"nowhere\.pt: no such model file"):
        torch_force(tmp_path / "nowhere.pt", topology_of(ethanol()))
    with pytest.raises(FramesError, match=r"nowhere\.pdb: no such file; expected a PDB or mmCIF file"):
        write_torchforce(model.path, tmp_path / "nowhere.pdb", target)
    (tmp_path / "text.pdb").write_text("ATOM  this is no PDB file\n")
    with pytest.raises(FramesError, match=r"text\.pdb: not a readable PDB or mmCIF file"):
        write_torchforce(model.path, tmp_path / "text.pdb", target)
    (tmp_path / "empty.pdb").write_text("")
    with pytest.raises(FramesError, match=r"empty\.pdb: (holds no atoms|not a readable)"):
        write_torchforce(model.path, tmp_path / "empty.pdb", target)
    with pytest.raises(FramesError, match=r"absent.torchforce.pt: cannot be written"):
        write_torchforce(model.path, topology_of(ethanol()), tmp_path / "absent" / "torchforce.pt")
    # a TorchForce file is no model file
    write_torchforce(model.path, topology_of(ethanol()), target)
    with pytest.raises(FramesError, match=r"torchforce\.pt: the archive holds no frames.json"):
        torch_force(target, topology_of(ethanol()))


def test_versions_that_do_not_fit() -> None:
    with pytest.raises(
        FramesError, match=r"torch 2.13.0\+cpu is installed, but openmmtorch 1.5 was compiled for torch"
    ):
        check_torch_fits("1.5", "2.13.0+cpu", from_wheel=True)
    check_torch_fits("1.5", "2.13.0", from_wheel=False)
    check_torch_fits("1.5", "2.9.1+cu128", from_wheel=True)
    check_torch_fits("1.5", "2.8.0", from_wheel=True)


@pytest.mark.parametrize(
    ("absent", "message"),
    [
        ("openmm", "OpenMM cannot be imported .*pip install openmm"),
        ("torch", "a TorchForce needs PyTorch.*pip install"),
        ("openmmtorch", "openmmtorch 1.5 cannot be imported with torch .*pip install openmm"),
    ],
)
def test_says_what_to_install(model: ToyModel, absent: str, message: str) -> None:
    script = f"""
import sys
sys.modules[{absent!r}] = None
from frames.errors import FramesError
import frames.openmm
try:
    frames.openmm.torch_force({str(model.path)!r}, ["C"], periodic=False)
except FramesError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    import re

    assert re.search(message, done.stdout), done.stdout


def test_import_is_light() -> None:
    script = "import sys, frames.openmm, frames.ase; print(sorted({'torch', 'openmm', 'e3nn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_function_that_openmmtorch_lacks_on_opencl_is_supplied() -> None:
    """By the name under which the linker looks for it; the tests of the platform call it where there is a device."""
    pytest.importorskip("frames._openmm")
    import_openmmtorch()
    assert ctypes.CDLL(None)["_ZN6OpenMM11ContextImpl12getPositionsERSt6vectorINS_4Vec3ESaIS2_EE"]
