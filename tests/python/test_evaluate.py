"""`frames evaluate`: errors are what they are called, and a broken molecule is noticed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frames.cli.evaluate import _known_from, _spread
from frames.data.readers.hdf5 import write
from frames.data.trajectory import Trajectory
from frames.errors import FramesError
from frames.evaluation.accuracy import errors, predict
from frames.evaluation.stability import Conditions, find_bonds, run_stability
from frames.inference import open_model

MODEL = Path(__file__).parents[2] / "models" / "ethanol" / "ethanol.pt"
COMMAND = [sys.executable, "-c", "from frames.cli import main; main()", "evaluate"]


@pytest.fixture(scope="module")
def labelled() -> Trajectory:
    """The test frame of the model, shaken, with labels of its own that are off by known amounts."""
    model = open_model(MODEL)
    frame = model_frame()
    random = np.random.default_rng(0)
    positions = frame.positions[0] + 0.02 * random.standard_normal((6, 9, 3))
    found = [model.evaluate(frame.atomic_numbers, r) for r in positions]
    energies = np.array([f.energy for f in found]) - 0.5  # the model is 0.5 eV too high
    forces = np.array([f.forces for f in found])
    forces[:, frame.atomic_numbers == 8] += 0.1  # and 0.1 eV/Å too low in every component of oxygen
    return Trajectory(
        frame.atomic_numbers, positions, energies=energies, forces=forces, times=np.arange(6) * 0.5, source="shaken"
    )


def model_frame() -> Trajectory:
    from frames.artifact import read_model

    frame = read_model(MODEL).test_frame
    return Trajectory(frame.atomic_numbers, frame.positions[None])


def test_errors_are_known(labelled: Trajectory) -> None:
    found = {row.name: row for row in errors(predict(open_model(MODEL), [labelled]))}
    assert found["energy"].mae == pytest.approx(500, rel=1e-6)
    assert found["energy per atom"].mae == pytest.approx(500 / 9, rel=1e-6)
    assert found["energy, mean removed"].mae == pytest.approx(0, abs=1e-3)
    assert found["force on O"].mae == pytest.approx(100, rel=1e-6) and found["force on O"].count == 6
    assert found["force on H"].mae == pytest.approx(0, abs=1e-3) and found["force on H"].count == 36
    assert found["force"].mae == pytest.approx(100 / 9, rel=1e-6)
    assert found["force"].rmse == pytest.approx(100 / 3, rel=1e-6)
    by_size = [row for name, row in found.items() if name.startswith("force where")]
    assert sum(row.count for row in by_size) == 54


def test_stress_of_a_periodic_frame(labelled: Trajectory) -> None:
    model = open_model(MODEL)
    cell = np.diag([8.0, 9.0, 10.0])
    inside = model.evaluate(labelled.atomic_numbers, labelled.positions[0], cell, np.ones(3, bool))
    virials = inside.virial + 0.72 * np.eye(3)  # 1e-3 eV/Å³ times the volume
    run = Trajectory(
        labelled.atomic_numbers,
        labelled.positions[:1],
        cells=cell,
        pbc=(True, True, True),
        forces=inside.forces[None],
        virials=virials[None],
    )
    (stress,) = (row for row in errors(predict(model, [run])) if row.name == "stress")
    assert stress.mae == pytest.approx(160.2176634 / 3, rel=1e-6)
    assert stress.unit == "MPa"


def test_the_command(labelled: Trajectory, tmp_path: Path) -> None:
    write(tmp_path / "frames.h5", [labelled])
    arguments = [MODEL, tmp_path / "frames.h5", "--plots", tmp_path / "plots", "--json", tmp_path / "numbers.json"]
    short = ["--stability", "--picoseconds", "0.05", "--temperature", "300"]
    done = subprocess.run([*COMMAND, *map(str, arguments), *short], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "force on O" in done.stdout and "stability at 300 K: 0.05 ps" in done.stdout
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["stability"]["broke"] is None and numbers["stability"]["picoseconds"] == pytest.approx(0.05)
    assert 0 <= numbers["stability"]["h_error"] <= 2
    for name in ("parity.png", "errors.png", "distances.png"):
        assert (tmp_path / "plots" / name).stat().st_size > 5000


def test_what_the_model_was_trained_on_is_said(labelled: Trajectory, tmp_path: Path) -> None:
    """The model's file names its source, ethanol.h5."""
    for name, said in (("ethanol.h5", True), ("other.h5", False)):
        write(tmp_path / name, [labelled])
        done = subprocess.run([*COMMAND, str(MODEL), str(tmp_path / name)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert ("trained on blocks of a file of this name" in " ".join(done.stdout.split())) == said


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"sources": ["a.h5"], "split": "files as given"}, None),
        ({"trained_on": ["a.h5"], "split": "files as given"}, "was trained on a file of this name"),
        ({"trained_on": ["b.h5"], "validated_on": ["a.h5"]}, "was chosen by its errors on a file of this name"),
        ({"sources": ["a.h5"], "trained_on": ["a.h5"], "split": "time blocks"}, "blocks of a file of this name"),
    ],
)
def test_what_the_model_knows_of_a_file(training: dict[str, Any], said: str | None) -> None:
    found = _known_from(training, "a.h5")
    assert found is None if said is None else said in str(found)


def test_elements_may_have_another_zero(labelled: Trajectory) -> None:
    """So that the energies of two molecules are off by different amounts."""
    assert labelled.energies is not None
    methanol = [0, 2, *range(3, 9)][:6]
    part = Trajectory(labelled.atomic_numbers[methanol], labelled.positions[:, methanol], energies=np.zeros(6))
    model = open_model(MODEL)
    own = [model.evaluate(part.atomic_numbers, r).energy for r in part.positions]
    both = [labelled, replace(part, energies=np.array(own) + 3.0)]
    rows = {row.name: row for row in errors(predict(model, both))}
    assert rows["energy"].mae == pytest.approx(1750, rel=1e-6)
    assert rows["energy, mean removed"].mae == pytest.approx(0, abs=1e-3)


def test_one_frame_of_two_atoms_is_plotted(tmp_path: Path) -> None:
    """Both atoms have the same error; and the numbers are there whatever becomes of the plots."""
    write(tmp_path / "h2.h5", [Trajectory([1, 1], [[[0, 0, 0], [0, 0, 0.8]]], forces=[[[0, 0, 1.0], [0, 0, -1.0]]])])
    arguments = [
        str(MODEL),
        str(tmp_path / "h2.h5"),
        "--plots",
        str(tmp_path / "p"),
        "--json",
        str(tmp_path / "n.json"),
    ]
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "p" / "errors.png").exists()
    assert json.loads((tmp_path / "n.json").read_text())["errors"][0]["name"] == "force"


def test_a_broken_bond_ends_the_run(labelled: Trajectory) -> None:
    """At a temperature that no molecule survives."""
    held = run_stability(MODEL, labelled, Conditions(picoseconds=2.0, temperature=50_000.0))
    assert (held.broke is not None and "Å on average" in held.broke) or "not finite" in str(held.broke)
    assert held.picoseconds < 2.0


def test_the_reference_against_itself(labelled: Trajectory) -> None:
    held = run_stability(MODEL, labelled, Conditions(picoseconds=0.02, temperature=50.0, time_step=0.5))
    assert held.broke is None and held.bonds == 8
    r, found, expected = held.distances.T
    assert np.sum(found) * (r[1] - r[0]) == pytest.approx(1) and np.sum(expected) * (r[1] - r[0]) == pytest.approx(1)


def test_atoms_that_fly_apart_stay_in_h() -> None:
    """Without bonds none breaks; a pair beyond every distance of the reference still counts."""
    from ase import Atoms

    from frames.evaluation.stability import _counts

    pairs, edges = np.array([[0, 0], [1, 2]]), np.linspace(0.0, 5.0, 101)
    cluster = Atoms("Ar3", [[0, 0, 0], [3.82, 0, 0], [0, 400.0, 0]])
    found = _counts(cluster, pairs, edges)
    assert found.sum() == 2 and found[76] == 1 and found[-1] == 1
    cluster.set_cell([10.0, 1000.0, 10.0])
    cluster.pbc = True
    assert _counts(cluster, pairs, edges).sum() == 1


def test_where_nothing_can_break_that_is_said(labelled: Trajectory, tmp_path: Path) -> None:
    apart = replace(labelled, positions=10 * labelled.positions, velocities=None, times=None)
    write(tmp_path / "apart.h5", [apart])
    command = [*COMMAND, str(MODEL), str(tmp_path / "apart.h5"), "--stability", "--picoseconds", "0.02"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "no atoms are bonded by their covalent radii, so nothing could break" in " ".join(done.stdout.split())


def test_bonds_of_ethanol() -> None:
    from ase.build import molecule

    assert find_bonds(molecule("CH3CH2OH")).shape == (2, 8)


def test_systems_too_large_for_all_pairs(labelled: Trajectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frames.evaluation.stability.MOST_ATOMS", 8)
    with pytest.raises(FramesError, match=r"9 atoms, and h\(r\) looks at all pairs: at most 8; take a smaller box"):
        run_stability(MODEL, labelled, Conditions())


def test_what_cannot_be_scored_is_said(labelled: Trajectory, tmp_path: Path) -> None:
    model = open_model(MODEL)
    with pytest.raises(FramesError, match="neither energies nor forces"):
        predict(model, [replace(labelled, energies=None, forces=None)])
    strange = replace(labelled, atomic_numbers=np.where(labelled.atomic_numbers == 8, 16, labelled.atomic_numbers))
    with pytest.raises(FramesError, match="does not know S"):
        predict(model, [strange])
    with pytest.raises(FramesError, match="picoseconds = -1"):
        run_stability(MODEL, labelled, Conditions(picoseconds=-1.0))


def test_frames_are_spread_over_all_runs(labelled: Trajectory) -> None:
    runs = [labelled[np.arange(6)], labelled[np.arange(2)]]
    assert [len(run) for run in _spread(runs, None)] == [6, 2]
    assert [len(run) for run in _spread(runs, 100)] == [6, 2]
    assert [len(run) for run in _spread(runs, 4)] == [3, 1]
    (one,) = _spread(runs, 1)
    assert len(one) == 1


def test_a_cell_that_breathes(labelled: Trajectory) -> None:
    """Distances of a frame are to the nearest images in its own cell."""
    from frames.evaluation import stability

    cells = np.array([np.diag([4.0, 4.0, 4.0]), [[4.4, 0, 0], [2.2, 4.4, 0], [0, 0, 4.4]]])
    positions = np.array([[[0, 0, 0], [3.5, 0, 0]], [[0, 0, 0], [3.9, 0, 0]]])
    run = Trajectory(np.array([29, 29]), positions, cells=cells, pbc=(True, True, True))
    edges = np.array([0.0, 0.45, 0.55, 2.0])
    pairs = np.array([[0], [1]])
    np.testing.assert_allclose(stability._histogram(run, pairs, edges) * stability.BIN, [0, 1, 0])
    assert stability._reach(run) == pytest.approx(0.5 * 4.4 * np.cos(np.arctan(0.5)))


def test_a_run_that_breaks_at_once(labelled: Trajectory, tmp_path: Path) -> None:
    write(tmp_path / "data.h5", [labelled])
    command = [*COMMAND, str(MODEL), "data.h5", "--stability", "--picoseconds", "0.1", "--temperature", "1e7"]
    run = subprocess.run([*command, "--json", "out.json"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 1 and "mean temperature" not in run.stdout, run.stderr
    found = json.loads((tmp_path / "out.json").read_text(), parse_constant=lambda text: pytest.fail(text))
    assert found["stability"]["temperature_k"] is None and found["stability"]["broke"]


def test_what_is_asked_for_is_checked_before_the_work(labelled: Trajectory, tmp_path: Path) -> None:
    write(tmp_path / "data.h5", [labelled])
    (tmp_path / "plots" / "parity.png").mkdir(parents=True)
    for arguments, message in (
        (["--json", "none/out.json"], "none/out.json: cannot be written, since none is not a folder"),
        (["--plots", "plots"], "parity.png: the plot cannot be written"),
        (["--seed", "-1", "--stability"], "Invalid value for '--seed'"),
    ):
        run = subprocess.run(
            [*COMMAND, str(MODEL), "data.h5", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert run.returncode != 0 and message in " ".join(run.stderr.split()), run.stderr
        assert "Traceback" not in run.stderr


def test_the_dynamics_take_the_backend_asked_for(labelled: Trajectory, monkeypatch: pytest.MonkeyPatch) -> None:
    from frames import ase as ours

    seen = []
    whole = ours.FramesCalculator

    def spy(*args: object, **settings: object) -> object:
        seen.append(settings)
        return whole(*args, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(ours, "FramesCalculator", spy)
    run_stability(MODEL, labelled, Conditions(picoseconds=0.005), "torchscript")
    assert seen == [{"backend": "torchscript"}]
