"""`frames data label`: models and methods label frames, and labels are added and subtracted."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from morse import run_morse

from frames.artifact import read_model
from frames.data import read
from frames.data.readers.hdf5 import write
from frames.data.selftest import self_test
from frames.data.trajectory import Trajectory
from frames.data.xtb import Xtb
from frames.errors import FramesError
from frames.evaluation.labels import by_method, by_models, relabelled
from frames.inference import open_model

MODELS = Path(__file__).parents[2] / "models"
ETHANOL, MEMBER = MODELS / "ethanol" / "ethanol.pt", MODELS / "ethanol" / "member_2.pt"


@pytest.fixture(scope="module")
def shaken() -> Trajectory:
    """Five frames of ethanol with energies and forces by GFN2-xTB."""
    frame = read_model(ETHANOL).test_frame
    positions = frame.positions + 0.03 * np.random.default_rng(0).standard_normal((5, 9, 3))
    method = Xtb("GFN2-xTB", frame.atomic_numbers, positions[0])
    energies, forces = zip(*(method(r) for r in positions), strict=True)
    return Trajectory(
        frame.atomic_numbers,
        positions,
        energies=np.array(energies),
        forces=np.array(forces),
        velocities=np.zeros_like(positions),
        times=np.arange(5.0),
        source="shaken",
    )


def test_labels_of_a_method(shaken: Trajectory) -> None:
    bare = replace(shaken, energies=None, forces=None)
    found = relabelled(bare, by_method("GFN2-xTB"))
    np.testing.assert_allclose(found.energies, shaken.energies, atol=1e-9)
    np.testing.assert_allclose(found.forces, shaken.forces, atol=1e-9)
    assert found.velocities is None and found.virials is None
    nothing = relabelled(shaken, by_method("GFN2-xTB"), "subtract")
    np.testing.assert_allclose(nothing.forces, 0, atol=1e-9)


def test_labels_of_models_are_their_mean(shaken: Trajectory) -> None:
    one, two = open_model(ETHANOL), open_model(MEMBER)
    found = relabelled(shaken, by_models([one, two]))
    answers = [[m.evaluate(shaken.atomic_numbers, r) for r in shaken.positions] for m in (one, two)]
    assert found.energies is not None and found.forces is not None and found.virials is not None
    for i in range(len(shaken)):
        a, b = answers[0][i], answers[1][i]
        np.testing.assert_allclose(found.energies[i], (a.energy + b.energy) / 2, rtol=1e-12)
        np.testing.assert_allclose(found.forces[i], (a.forces + b.forces) / 2, atol=1e-12)
        np.testing.assert_allclose(found.virials[i], (a.virial + b.virial) / 2, atol=1e-12)


def test_what_is_subtracted_comes_back(shaken: Trajectory) -> None:
    """DFT − xTB + xTB = DFT: the way that a model of the difference takes."""
    model = by_models([open_model(ETHANOL)])
    difference = relabelled(shaken, model, "subtract")
    back = relabelled(difference, model, "add")
    assert shaken.forces is not None and difference.forces is not None
    assert 0 < np.abs(difference.forces).mean() < 0.05 * np.abs(shaken.forces).mean()
    np.testing.assert_allclose(back.energies, shaken.energies, atol=1e-9)
    np.testing.assert_allclose(back.forces, shaken.forces, atol=1e-12)


def test_consecutive_frames_may_have_the_difference_as_labels() -> None:
    """The motion is that of the cheap method, which their forces, of a difference, have nothing to do with."""
    run = run_morse(200)
    rough = replace(run, energies=0.9 * run.energies, forces=-1.3 * run.forces)  # type: ignore[operator]
    answers = iter(zip(run.energies, run.forces, strict=True))  # type: ignore[arg-type]
    difference = relabelled(rough, lambda _, i: (*next(answers), None), "subtract")
    findings = [str(finding) for finding in self_test(difference).findings]
    assert "OK: Verlet: not tested, since the labels are what two methods differ by, and moved nothing" in findings
    assert not any("Verlet" in text and "FAIL" in text for text in findings)
    answers = iter(zip(run.energies, run.forces, strict=True))  # type: ignore[arg-type]
    whole = relabelled(difference, lambda _, i: (*next(answers), None), "add")
    assert any("FAIL: Verlet" in str(finding) for finding in self_test(whole).findings)


def test_virials_need_both_sides(shaken: Trajectory) -> None:
    model = by_models([open_model(ETHANOL)])
    assert relabelled(shaken, model, "add").virials is None
    virials = np.arange(45.0).reshape(5, 3, 3)
    labels, sum_ = relabelled(shaken, model), relabelled(replace(shaken, virials=virials), model, "add")
    assert labels.virials is not None
    np.testing.assert_allclose(sum_.virials, virials + labels.virials)


def test_periodic_frames_are_not_for_xtb(shaken: Trajectory) -> None:
    box = replace(shaken, cells=10 * np.eye(3), pbc=(True, True, True))
    with pytest.raises(FramesError, match="shaken: is periodic, and GFN2-xTB is for molecules here"):
        relabelled(box, by_method("GFN2-xTB"))


def test_ions_and_radicals() -> None:
    """An odd number of electrons is not taken for a radical in silence."""
    hydroxyl = Trajectory(np.array([8, 1]), np.array([[[0, 0, 0], [0, 0, 0.97]]]), source="oh")
    with pytest.raises(FramesError, match="oh: with a charge of 0 there are 9 electrons, and not all of them paired"):
        relabelled(hydroxyl, by_method("GFN2-xTB"))
    with pytest.raises(FramesError, match="with a charge of -1 there are 10 electrons, and not 1 of them unpaired"):
        relabelled(hydroxyl, by_method("GFN2-xTB", -1, 1))
    states = ((-1, None), (0, 1))
    energies = [relabelled(hydroxyl, by_method("GFN2-xTB", *state)).energies for state in states]
    assert energies[0] is not None and energies[1] is not None
    assert -9.0 < energies[0][0] - energies[1][0] < -4.0  # of GFN2-xTB; the affinity measured is 1.8 eV


def test_own_labels_that_are_missing(shaken: Trajectory) -> None:
    with pytest.raises(FramesError, match=r"shaken: no forces in this file"):
        relabelled(replace(shaken, forces=None), by_models([open_model(ETHANOL)]), "subtract")


def run_command(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from frames.cli import main; main()", "data", "label", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_command(shaken: Trajectory, tmp_path: Path) -> None:
    write(tmp_path / "in.h5", [shaken])
    done = run_command(tmp_path, "in.h5", "out.h5", "--model", ETHANOL, "--model", MEMBER, "--subtract", "--every", "2")
    assert done.returncode == 0, done.stderr
    assert "3 frames written to out.h5 (positions, energies, forces, times)" in done.stdout
    (found,) = read(tmp_path / "out.h5")
    expected = relabelled(shaken[::2], by_models([open_model(ETHANOL), open_model(MEMBER)]), "subtract")
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-12)
    assert "labels minus those of ethanol.pt, member_2.pt" in found.notes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either --model FILE or --method NAME"),
        (("--method", "PM7"), "--method PM7: expected one of GFN2-xTB, GFN1-xTB, IPEA1-xTB"),
        (("--method", "GFN2-xTB", "--add", "--subtract"), "--add and --subtract exclude each other"),
        (("--model", "none.pt"), "none.pt: no such model file"),
        (("--model", "none.pt", "--charge", "1"), "--charge and --unpaired belong to --method"),
    ],
)
def test_bad_arguments(shaken: Trajectory, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    write(tmp_path / "in.h5", [shaken])
    done = run_command(tmp_path, "in.h5", "out.h5", *arguments)
    assert done.returncode == 1 and message in done.stderr.replace("\n", " ")
    assert not (tmp_path / "out.h5").exists()


def test_files_are_kept(shaken: Trajectory, tmp_path: Path) -> None:
    write(tmp_path / "in.h5", [shaken])
    same = run_command(tmp_path, "in.h5", "in.h5", "--model", ETHANOL, "--overwrite")
    assert same.returncode == 1 and "IN and OUT are the same file" in same.stderr
    write(tmp_path / "out.h5", [shaken])
    there = run_command(tmp_path, "in.h5", "out.h5", "--model", ETHANOL)
    assert there.returncode == 1 and "exists already; --overwrite replaces it" in there.stderr
