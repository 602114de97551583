"""`frames data` as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from frames.data import read
from frames.data.readers import hdf5
from frames.data.summary import net_force, shortest_distances
from frames.data.trajectory import Trajectory


def _frames(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", "from frames.cli import main; main()", "data", *map(str, arguments)]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def toy_file(morse_trajectory: Trajectory, tmp_path: Path) -> Path:
    """As an AIMD archive in which every step is stored."""
    toy = morse_trajectory
    path = tmp_path / "toy.npz"
    np.savez(
        path, R=toy.positions, F=toy.forces, E=toy.energies, z=toy.atomic_numbers, t_fs=toy.times, V=toy.velocities
    )
    return path


def test_inspect(toy_file: Path, tmp_path: Path) -> None:
    result = _frames("inspect", toy_file, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    for expected in (
        "400",
        "4 (CH2O)",
        "0.5 fs (0 gaps, 0 jumps)",
        "energies, forces, velocities",
        "C-H",
        "note: AIMD archive; units taken as eV",
        "work: the forces account for the energies",
        "Verlet: the atoms move as the forces say, time step 0.5 fs",
    ):
        assert expected in result.stdout
    assert "FAIL" not in result.stdout and "WARNING" not in result.stdout


def test_inspect_as_json(toy_file: Path, tmp_path: Path) -> None:
    result = _frames("inspect", toy_file, "--json", folder=tmp_path)
    (facts,) = json.loads(result.stdout)
    assert facts["frames"] == 400 and facts["formula"] == "CH2O" and facts["time_step_fs"] == 0.5
    assert facts["self_test"]["verdict"] == "OK"
    assert facts["self_test"]["verlet"]["fitted_step"] == pytest.approx(0.5)
    assert set(facts["shortest_distances_angstrom"]) == {"C-H", "C-O", "H-H", "H-O"}


@pytest.mark.parametrize(("name", "a", "length"), [("Cu", 3.61, 3.61 / np.sqrt(2)), ("Zn", None, 2.66)])
def test_shortest_distances_in_small_cells(name: str, a: float | None, length: float) -> None:
    """In a primitive cell the nearest neighbour is an image, and of hexagonal ones not the one that rounding gives."""
    cell = bulk(name, a=a)
    run = Trajectory(cell.numbers, cell.positions[None], cells=np.array(cell.cell), pbc=(True, True, True))
    assert shortest_distances(run) == {f"{name}-{name}": pytest.approx(length, abs=0.01)}
    pair = Trajectory(np.array([1, 3]), np.array([[[0.0, 0, 0], [7.5, 0, 0]]]), cells=np.eye(3) * 8, pbc=(True,) * 3)
    assert shortest_distances(pair) == {"H-Li": pytest.approx(0.5)}


def test_inspect_says_fail_and_exits_with_1(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(len(morse_trajectory))
    hdf5.write(tmp_path / "shuffled.h5", [replace(morse_trajectory[order], times=morse_trajectory.times)])
    result = _frames("inspect", "shuffled.h5", folder=tmp_path)
    assert result.returncode == 1
    assert "FAIL    the frames are shuffled" in result.stdout


def test_inspect_gives_the_net_force_and_no_potential_errs_less(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    exact = morse_trajectory.forces
    assert exact is not None and net_force(morse_trajectory) == pytest.approx(0.0, abs=1e-12)
    noise = np.random.default_rng(0).normal(scale=0.02, size=exact.shape)
    labelled = replace(morse_trajectory, forces=exact + noise)
    least = net_force(labelled)
    assert least is not None
    assert least <= np.abs(labelled.forces - exact).mean()
    # forces without a net force that are nearest to the labels reach it where the net force is all of the error
    drift = np.broadcast_to(noise.mean(axis=1, keepdims=True), exact.shape)
    assert least == pytest.approx(np.abs(drift).mean())
    hdf5.write(tmp_path / "net.h5", [labelled])
    result = _frames("inspect", "net.h5", folder=tmp_path)
    assert f"{1000 * least:.2f} meV/Å per atom (a model's force MAE is no smaller)" in result.stdout
    hdf5.write(tmp_path / "exact.h5", [morse_trajectory])
    assert "below 0.01 meV/Å per atom" in _frames("inspect", "exact.h5", folder=tmp_path).stdout
    unlabelled = replace(morse_trajectory, forces=None)
    assert net_force(unlabelled) is None


def test_inspect_of_isolated_atoms(shared_data: Path, tmp_path: Path) -> None:
    result = _frames("inspect", shared_data / "3bpa" / "isolated_atoms.xyz", folder=tmp_path)
    assert result.returncode == 0 and "1 (C)" in result.stdout and "1 (N)" in result.stdout
    assert "WARNING" not in result.stdout


def test_inspect_of_the_real_random_frames_in_kcal(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "md17" / "ethanol_2000random_kcal.xyz"
    result = _frames("inspect", path, folder=tmp_path)
    assert "WARNING forces of 26.4 eV/Å (root mean square) are implausible" in result.stdout
    result = _frames("inspect", path, "--units", "kcal/mol", folder=tmp_path)
    assert result.returncode == 0 and "WARNING" not in result.stdout


def test_convert(toy_file: Path, tmp_path: Path) -> None:
    result = _frames("convert", toy_file, "toy.h5", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "CH2O: 400 frames with positions, energies, forces, velocities, times" in result.stdout
    assert "written to toy.h5" in result.stdout
    (before,), (after,) = read(toy_file), read(tmp_path / "toy.h5")
    np.testing.assert_array_equal(before.positions, after.positions)
    np.testing.assert_array_equal(before.forces, after.forces)
    again = _frames("convert", toy_file, "toy.h5", folder=tmp_path)
    assert again.returncode == 1
    assert "frames: error: toy.h5: exists already" in again.stderr and "Traceback" not in again.stderr
    assert _frames("convert", toy_file, "toy.h5", "--overwrite", folder=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("inspect", "absent.npz"), "absent.npz: no such file"),
        (("inspect", "toy.npz", "--units", "lj"), "unknown unit 'lj'; known units: eV"),
        (("inspect", "toy.npz", "--time-step", "2"), "its frames are 0.5 fs apart, not 2 fs"),
        (("convert", "toy.npz", "out.xyz"), "out.xyz: this command writes HDF5"),
        (("generate", "--molecule", "xx"), "unknown molecule 'xx'"),
        (("generate", "--method", "DFT"), "unknown method 'DFT'"),
    ],
)
def test_errors_are_one_line_and_exit_with_1(
    toy_file: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = _frames(*arguments, folder=tmp_path)
    assert result.returncode == 1
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("frames: error: ") and message in line


def test_generate(tmp_path: Path) -> None:
    pytest.importorskip("tblite", reason="generating trajectories needs tblite")
    command = ("generate", "--molecule", "water", "--steps", "20", "--equilibrate", "10", "--temperature", "300")
    result = _frames(*command, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "20 frames of water at 300 K written to water.h5: GFN2-xTB" in result.stdout
    assert "20 frames of water at 300 K is complete already in water.h5" in _frames(*command, folder=tmp_path).stdout
    changed = _frames(*command, "--seed", "5", folder=tmp_path)
    assert changed.returncode == 1 and "made with seed = 0, and 5 is asked for" in changed.stderr
    assert "OK      Verlet" in _frames("inspect", "water.h5", folder=tmp_path).stdout
