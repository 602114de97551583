"""FramesCalculator: its derivatives, what it keeps between calls, and what it refuses."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any, Literal

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.md.verlet import VelocityVerlet

pytest.importorskip("torch")

from openmm_systems import cases, jittered_lattice
from toy_potential import ToyModel, write_toy_model

from frames.artifact import TestFrame
from frames.ase import FramesCalculator, VerletList
from frames.data.graph import neighbour_list
from frames.errors import FramesError
from frames.inference import TorchScriptModel

PERIODIC = ["crystal", "images", "narrow"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ToyModel:
    return write_toy_model(tmp_path_factory.mktemp("ase") / "toy.pt")


@pytest.fixture
def crystal(model: ToyModel) -> Atoms:
    atoms = jittered_lattice("crystal", (3, 2, 3), [[6, 0, 0], [-2, 5, 0], [2.5, -2, 5.5]], 3).atoms()
    atoms.calc = FramesCalculator(model.path)
    return atoms


@pytest.mark.parametrize("name", ["ethanol", *PERIODIC])
def test_forces_are_the_negative_gradient(model: ToyModel, name: str) -> None:
    atoms = next(case for case in cases() if case.name == name).atoms()[:20]
    atoms.calc = FramesCalculator(model.path)
    numerical = calculate_numerical_forces(atoms, eps=1e-4, iatoms=range(min(3, len(atoms))))
    assert np.abs(atoms.get_forces()[:3] - numerical).max() < 1e-6
    assert np.abs(atoms.get_forces()).max() > 0.1
    assert np.abs(atoms.get_forces().sum(axis=0)).max() < 1e-9


@pytest.mark.parametrize("name", PERIODIC)
def test_stress_is_the_derivative_by_strain(model: ToyModel, name: str) -> None:
    atoms = next(case for case in cases() if case.name == name).atoms()
    atoms.calc = FramesCalculator(model.path)
    numerical = calculate_numerical_stress(atoms, eps=1e-5, voigt=True)
    assert np.abs(atoms.get_stress() - numerical).max() < 1e-8
    assert np.abs(numerical).max() > 1e-3


def test_energies_of_the_atoms_add_up(crystal: Atoms) -> None:
    assert crystal.get_potential_energies().shape == (len(crystal),)
    assert crystal.get_potential_energies().sum() == pytest.approx(crystal.get_potential_energy(), abs=1e-9)
    assert crystal.get_potential_energy(force_consistent=True) == crystal.get_potential_energy()


def test_isolated_atom_has_its_reference_energy_and_no_force(model: ToyModel) -> None:
    atoms = Atoms("CH", positions=[[0, 0, 0], [0, 0, model.cutoff + 1e-6]])
    atoms.calc = FramesCalculator(model.path)
    alone = [Atoms(symbol, calculator=atoms.calc).get_potential_energy() for symbol in "CH"]
    assert atoms.get_potential_energy() == pytest.approx(sum(alone), abs=1e-9)
    assert np.all(atoms.get_forces() == 0)


@pytest.mark.parametrize("pbc", [False, (True, True, False)])
def test_no_stress_without_a_volume(model: ToyModel, pbc: object) -> None:
    atoms = molecule("CH3OH", cell=[6, 7, 8], pbc=pbc)
    atoms.calc = FramesCalculator(model.path)
    assert atoms.get_forces().shape == (6, 3)
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()


def test_slab_agrees_with_a_slab_in_a_tall_box(model: ToyModel) -> None:
    slab = jittered_lattice("slab", (3, 3, 1), [[6, 0, 0], [1, 6, 0], [0, 0, 40]], 8).atoms()
    slab.positions[:, 2] = slab.positions[:, 2] % 40 + 20
    slab.wrap()
    slab.pbc = (True, True, False)
    tall = slab.copy()
    tall.pbc = True
    calculator = FramesCalculator(model.path)
    forces = calculator.get_property("forces", slab)
    assert np.abs(forces - calculator.get_property("forces", tall)).max() < 1e-12


def test_neighbours_are_looked_for_again_only_when_needed() -> None:
    rng = np.random.default_rng(0)
    cell, pbc = np.diag([7.0, 8.0, 9.0]), np.array([True] * 3)
    positions = rng.uniform(0, 7, (40, 3))
    neighbours = VerletList(3.0, skin=0.6)
    for _ in range(30):
        positions = positions + rng.uniform(-0.06, 0.06, positions.shape)
        edge_index, vectors = neighbours.edges(positions, cell, pbc)
        expected, shifts = neighbour_list(positions, cell, pbc, 3.0)
        expected_vectors = positions[expected[1]] + shifts - positions[expected[0]]
        found = np.hstack([edge_index.T, vectors.round(6)])
        wanted = np.hstack([expected.T, expected_vectors.round(6)])
        assert np.array_equal(found[np.lexsort(found.T)], wanted[np.lexsort(wanted.T)])
    assert 1 < neighbours.builds < 15
    before = neighbours.builds
    neighbours.edges(positions, cell * 1.01, pbc)
    assert neighbours.builds == before + 1
    neighbours.edges(positions[:-1], cell * 1.01, pbc)
    assert neighbours.builds == before + 2


def test_skin_does_not_change_the_trajectory(model: ToyModel) -> None:
    start = molecule("CH3CH2OH")
    start.set_momenta(np.random.default_rng(1).normal(0, 0.5, (9, 3)))
    ends = []
    for skin in (0.0, 0.7):
        atoms = start.copy()
        atoms.calc = FramesCalculator(model.path, skin=skin)
        VelocityVerlet(atoms, 0.5 * units.fs).run(40)
        ends.append(atoms.positions)
    assert np.abs(ends[0] - ends[1]).max() < 1e-9
    assert np.abs(ends[0] - start.positions).max() > 0.05


def test_evaluation_does_not_depend_on_the_mode_of_torch(model: ToyModel, crystal: Atoms) -> None:
    import torch

    threads = torch.get_num_threads()
    expected = crystal.get_forces()
    with torch.no_grad():
        other = crystal.copy()
        other.calc = FramesCalculator(model.path)
        assert np.array_equal(other.get_forces(), expected)
    assert torch.get_num_threads() == threads


def test_names_the_backend(crystal: Atoms) -> None:
    assert crystal.calc.backend == "torchscript"
    assert crystal.calc.metadata.cutoff == 4.0


# --- what is refused
# -------------------------------------------------------------------------------------------------


ETHANOL = Path(__file__).parents[2] / "models" / "ethanol" / "ethanol.pt"


@pytest.mark.parametrize("backend", ["native", "torchscript"])
def test_copies_and_pickles_load_the_model_again(backend: Literal["native", "torchscript"]) -> None:
    """`deepcopy(atoms)` and pools of processes are how ASE is used."""
    atoms = molecule("CH3CH2OH")
    atoms.calc = FramesCalculator(ETHANOL, backend=backend)
    expected = atoms.get_forces()
    for again in (copy.deepcopy(atoms), pickle.loads(pickle.dumps(atoms))):
        again.calc.reset()
        np.testing.assert_array_equal(again.get_forces(), expected)
        assert again.calc.backend == backend and again.calc is not atoms.calc


@pytest.mark.parametrize("backend", ["native", "torchscript"])
def test_threads_of_python_that_share_a_calculator(
    backend: Literal["native", "torchscript"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each gets the answer for its own structure."""
    calculator = FramesCalculator(ETHANOL, backend=backend)
    evaluate = calculator._model.evaluate_edges

    def slowly(*arguments: Any) -> Any:
        time.sleep(0.001)  # in which another thread goes on
        found = evaluate(*arguments)
        time.sleep(0.001)
        return found

    monkeypatch.setattr(calculator._model, "evaluate_edges", slowly)
    names = ("CH3CH2OH", "CH3OCH3")
    expected = [forces_of(name, FramesCalculator(ETHANOL, backend=backend)) for name in names]
    wrong: list[float] = []

    def ask(name: str, answer: np.ndarray) -> None:
        wrong.extend(float(np.abs(forces_of(name, calculator) - answer).max()) for _ in range(30))

    threads = [Thread(target=ask, args=pair) for pair in zip(names, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) == 60 and max(wrong) < 1e-4


def forces_of(name: str, calculator: FramesCalculator) -> np.ndarray:
    atoms = molecule(name)
    atoms.calc = calculator
    return np.asarray(atoms.get_forces())


@pytest.mark.parametrize("backend", ["native", "torchscript"])
def test_processes_that_are_forked(backend: str) -> None:
    """Threads do not survive a fork, and a child must not wait for those of its parent."""
    script = """
import os, signal, sys
from ase.build import bulk, molecule
from frames.ase import FramesCalculator
atoms = molecule("CH3CH2OH")
threads = {"threads": 2} if sys.argv[2] == "native" else {}
if not threads:
    import torch
    torch.set_num_threads(2)
atoms.calc = FramesCalculator(sys.argv[1], backend=sys.argv[2], **threads)
large = atoms.repeat(1)
large.set_cell([7, 7, 7])
large.pbc = True
large = large.repeat(3)
large.calc = atoms.calc
energy = large.get_potential_energy()
child = os.fork()
if child == 0:
    signal.alarm(40)  # ends a child that hangs
    large.calc.reset()
    os._exit(0 if abs(large.get_potential_energy() - energy) < 1e-3 else 1)
sys.exit(abs(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
"""
    command = [sys.executable, "-c", script, str(ETHANOL), backend]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def test_a_copy_of_a_model_whose_file_has_changed(model: ToyModel, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(model.path.read_bytes())
    calculator = FramesCalculator(path)
    path.write_bytes(ETHANOL.read_bytes())
    with refuses("the file has changed since the model that is copied was loaded"):
        copy.deepcopy(calculator)


def test_no_argument_is_swallowed(model: ToyModel) -> None:
    with refuses("unknown argument 'cutof'; expected model, device, backend, skin, threads"):
        FramesCalculator(model.path, cutof=3.0)
    with refuses("threads = 2 are those of the native engine"):
        FramesCalculator(model.path, backend="torchscript", threads=2)
    two = FramesCalculator(ETHANOL, backend="native", threads=2, label="run")
    assert "2 threads" in two._model.description  # type: ignore[attr-defined]


def test_an_empty_cell(model: ToyModel) -> None:
    atoms = Atoms(cell=[10, 10, 10], pbc=True, calculator=FramesCalculator(model.path))
    assert atoms.get_potential_energy() == 0.0


def refuses(message: str) -> pytest.RaisesExc[FramesError]:
    return pytest.raises(FramesError, match=message)


def test_refuses_unknown_element(model: ToyModel) -> None:
    atoms = Atoms("CSiF", positions=[[0, 0, 0], [0, 0, 1.5], [0, 1.5, 0]], calculator=FramesCalculator(model.path))
    with refuses("does not know F, Si; its elements are C, H, O"):
        atoms.get_potential_energy()


def test_refuses_nan_also_when_the_neighbours_are_known(crystal: Atoms) -> None:
    crystal.get_potential_energy()
    crystal.positions[3, 1] = np.nan
    with refuses("atom 3 has the position"):
        crystal.get_potential_energy()


def test_refuses_cell_without_volume(model: ToyModel) -> None:
    atoms = Atoms("CH", positions=[[0, 0, 0], [0, 0, 1]], cell=[5, 5, 0], pbc=True)
    atoms.calc = FramesCalculator(model.path)
    with refuses("do not span a cell"):
        atoms.get_potential_energy()


def test_refuses_atoms_on_top_of_each_other(model: ToyModel) -> None:
    atoms = Atoms("CH", positions=[[0, 0, 0], [0, 0, 0]], calculator=FramesCalculator(model.path))
    with refuses("not finite; have two atoms met"):
        atoms.get_potential_energy()


def test_refuses_bad_arguments(model: ToyModel) -> None:
    with refuses("backend 'gpu' is unknown; expected one of auto"):
        FramesCalculator(model.path, backend="gpu")  # type: ignore[arg-type]
    with refuses("device 'abacus' cannot be used"):
        FramesCalculator(model.path, device="abacus")
    with refuses("skin = -1"):
        FramesCalculator(model.path, skin=-1)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"skin": None}, "skin = None; expected a length"),
        ({"threads": "2"}, "threads = '2'; expected a whole number"),
        ({"threads": 2.5}, "threads = 2.5; expected a whole number"),
        ({"device": None}, "device = None; expected 'cpu'"),
        ({"device": "meta", "backend": "torchscript"}, "device 'meta' cannot be used"),
        ({"model": 3}, "model = 3; expected the path of a model file"),
    ]
    for options, message in wrong:
        with refuses(message):
            FramesCalculator(**{"model": model.path, **options})
    with refuses("threads cannot be changed; make another calculator"):
        FramesCalculator(model.path).set(threads=3)
    with refuses(r"positions have shape \(2, 2\)"):
        TorchScriptModel(model.path).evaluate(np.array([1, 1]), np.zeros((2, 2)))


def test_refuses_missing_truncated_and_foreign_files(model: ToyModel, tmp_path: Path) -> None:
    import torch

    with refuses("nowhere.pt: no such model file"):
        FramesCalculator(tmp_path / "nowhere.pt")
    content = model.path.read_bytes()
    (tmp_path / "half.pt").write_bytes(content[: len(content) // 2])
    with refuses("half.pt: not a readable archive"):
        FramesCalculator(tmp_path / "half.pt")
    torch.save({"weights": torch.zeros(3)}, tmp_path / "checkpoint.pt")
    with refuses(r"checkpoint.pt: the archive holds no frames.json"):
        FramesCalculator(tmp_path / "checkpoint.pt")


def test_refuses_a_program_that_torch_cannot_load(model: ToyModel, tmp_path: Path) -> None:
    path = tmp_path / "broken.pt"
    with zipfile.ZipFile(model.path) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, content.replace(b"def forward", b"def for ward") if name.endswith(".py") else content)
    with refuses("broken.pt: torch .* cannot load the program in this file"):
        FramesCalculator(path)


@pytest.mark.parametrize(
    ("quantity", "change"),
    [
        ("energy", {"energy": 1e-3}),
        ("energies of the atoms", {"atom_energies": 1e-3}),
        ("forces", {"forces": 1e-3}),
        ("virial", {"virial": 1e-2}),
    ],
)
def test_refuses_a_file_that_does_not_reproduce_its_test_frame(
    tmp_path: Path, quantity: str, change: dict[str, float]
) -> None:
    def alter(frame: TestFrame) -> TestFrame:
        return replace(frame, **{name: getattr(frame, name) + error for name, error in change.items()})

    model = write_toy_model(tmp_path / "altered.pt", dtype="float32", alter=alter)
    with refuses(rf"altered.pt: the torchscript backend does not reproduce the stored test frame: {quantity} \(eV"):
        FramesCalculator(model.path)


def test_refuses_a_test_frame_with_a_foreign_element(tmp_path: Path) -> None:
    def alter(frame: TestFrame) -> TestFrame:
        return replace(frame, atomic_numbers=frame.atomic_numbers + 1)

    with refuses("the stored test frame cannot be evaluated: the model does not know"):
        FramesCalculator(write_toy_model(tmp_path / "altered.pt", alter=alter).path)


def test_needs_torch_only_when_a_model_is_opened(model: ToyModel) -> None:
    script = f"""
import sys
sys.modules["torch"] = None
from frames.errors import FramesError
from frames.artifact import TestFrame
from frames.ase import FramesCalculator
try:
    FramesCalculator({str(model.path)!r}, backend="torchscript")
except FramesError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "needs PyTorch" in done.stdout and "pip install torch" in done.stdout
