"""Frames that do not follow on the ones before them: restarts, jumps, other intervals, clocks of few digits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.data import chemical_symbols
from morse import run_morse

from frames import FramesError
from frames.config import parse_config
from frames.data import read
from frames.data.clock import on_grid, stored_times
from frames.data.motion import forces_from_motion, motion_test
from frames.data.readers.hdf5 import write
from frames.data.timeline import chains, time_step
from frames.data.trajectory import Trajectory
from frames.training.dataset import load_training_data


def stored(run: Trajectory, folder: Path) -> Trajectory:
    write(folder / "run.h5", [run], overwrite=True)
    (found,) = read(folder / "run.h5")
    return found


def joined(run: Trajectory, frames: list[int]) -> Trajectory:
    """These frames in a row, as if they followed each other."""
    return replace(run[frames], times=0.5 * np.arange(len(frames)), energies=None, forces=None, velocities=None)


def largest_force(run: Trajectory) -> float:
    return float(np.abs(forces_from_motion(run, chains(run, (-1, 0, 1)))).max())


def test_a_frame_that_a_restart_writes_again(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    """Between it and its copy nothing moves, which would be a force as large as the momentum over a step."""
    broken = joined(morse_trajectory, [*range(200), *range(199, 400)])
    assert largest_force(broken) > 2 * largest_force(morse_trajectory)
    found = stored(broken, tmp_path)
    assert found.pieces.tolist() == [0] * 200 + [1] * 201 and not found.runs.any()
    assert "the atoms are at the same places after frame 199: not taken for neighbours in time" in found.notes
    assert largest_force(found) == pytest.approx(largest_force(morse_trajectory), rel=1e-6)
    assert min(motion_test(found).weights.values()) > 0.98


@pytest.mark.parametrize("jump", ["left out", "swapped"])
def test_atoms_that_jump(morse_trajectory: Trajectory, tmp_path: Path, jump: str) -> None:
    if jump == "left out":
        broken = joined(morse_trajectory, [*range(200), *range(220, 400)])
    else:
        broken = joined(morse_trajectory, [*range(400)])
        positions = broken.positions.copy()
        positions[200, [1, 2]] = positions[200, [2, 1]]
        broken = replace(broken, positions=positions)
    found = stored(broken, tmp_path)
    places = [200] if jump == "left out" else [200, 201]
    assert np.flatnonzero(np.diff(found.pieces)).tolist() == [k - 1 for k in places]
    assert any(note.startswith("the atoms jump after frame 199") for note in found.notes)
    assert largest_force(found) == pytest.approx(largest_force(morse_trajectory), rel=0.05)


def test_a_run_without_breaks_stays_one(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    """Also where its atoms do not move, or are slow and then fast."""
    assert morse_trajectory.times is not None
    still = replace(morse_trajectory, positions=np.tile(morse_trajectory.positions[:1], (400, 1, 1)))
    assert not stored(still, tmp_path).pieces.any()
    pace = np.concatenate([np.arange(300), 300 + 20 * np.arange(5)]) * 0.02
    moving = morse_trajectory.positions[0] + pace[:, None, None] * morse_trajectory.velocities[0]  # type: ignore[index]
    heated = Trajectory(morse_trajectory.atomic_numbers, moving, times=morse_trajectory.times[:305])
    for run in (morse_trajectory, morse_trajectory[::5], heated[:290]):
        assert not stored(run, tmp_path).stretches.any()
    assert len(np.unique(stored(heated, tmp_path).pieces)) <= 3


def test_positions_of_few_digits_are_no_repeats(tmp_path: Path) -> None:
    """Where rounding keeps a coordinate as it is now and then, it keeps all of a small molecule so."""
    run = run_morse(2000)
    rough = replace(run, positions=np.round(run.positions / 0.017) * 0.017, energies=None, forces=None)
    assert 10 < (np.diff(rough.positions, axis=0) == 0).all(axis=(1, 2)).sum() < 100
    assert not stored(rough, tmp_path).pieces.any()


def test_a_molecule_that_is_stored_four_times_a_period(tmp_path: Path) -> None:
    """Long and short steps take turns."""
    phase = 2 * np.pi * np.arange(4000) / 4.02
    positions = np.zeros((4000, 2, 3))
    positions[:, 1, 0] = 1.1 + 0.1 * np.cos(phase)
    run = Trajectory(np.array([7, 7]), positions, times=np.arange(4000.0))
    assert not stored(run, tmp_path).pieces.any()


def test_the_gap_holds_across_a_restart(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    """Frames on both sides of it are near to each other, though no neighbours in time."""
    broken = joined(morse_trajectory, [*range(200), *range(199, 400)])
    write(tmp_path / "run.h5", [broken])
    write(tmp_path / "labelled.h5", [replace(run_morse(60, seed=3), times=None)])
    write(tmp_path / "held.h5", [replace(morse_trajectory[[198]], times=None)])
    files = {"train": "labelled", "validation": "held"}
    data = {role: str(tmp_path / f"{name}.h5") for role, name in files.items()}
    raw = {
        "output": "unused",
        "data": {**data, "unlabelled": [str(tmp_path / "run.h5")], "gap": 20},
        "model": {"cutoff": 4.0},
        "auxiliary": {"task": "newton"},
    }
    found = load_training_data(parse_config(raw, "test"))
    used = {i for chain in found.unlabelled for _, i in chain}
    assert used and min(abs(i - 198) for i in used) > 20


def _dump(path: Path, run: Trajectory, steps: list[int], columns: str = "id element") -> None:
    text = []
    for k, step in enumerate(steps):
        head = "ITEM: BOX BOUNDS ff ff ff\n-9 9\n-9 9\n-9 9\n"
        text.append(f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{run.atoms}\n{head}ITEM: ATOMS {columns} x y z\n")
        for atom, (z, (x, y, w)) in enumerate(zip(run.atomic_numbers, run.positions[k], strict=True)):
            values = {"id": atom + 1, "element": chemical_symbols[z], "mass": {1: 1.0, 6: 12.0, 8: 16.0}[int(z)]}
            row = [str(values[name]) for name in columns.split()]
            text.append(f"{' '.join(row)} {x:.12f} {y:.12f} {w:.12f}\n")
    path.write_text("".join(text))


def test_step_numbers_of_a_dump_are_its_times(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    path = tmp_path / "run.lammpstrj"
    # written every second step, again after a restart, then every tenth step
    steps = [*range(0, 80, 2), 78, *range(80, 120, 2), 130, 140]
    _dump(path, morse_trajectory[steps], steps)
    (found,) = read(path, time_step=1.0)
    assert any("2 steps are 1 fs, as the caller says" in note for note in found.notes)
    assert time_step(found) == pytest.approx(1.0)
    np.testing.assert_allclose(found.times, np.array(steps) / 2)
    assert largest_force(found) == pytest.approx(largest_force(morse_trajectory[:120:2]), rel=1e-4)
    assert max(chains(found, (-1, 0, 1)).ravel()) == steps.index(118)
    assert read(path)[0].times is None


def test_a_dump_of_many_short_runs(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    """Each begins with the step number zero, or with one of its own."""
    path = tmp_path / "runs.lammpstrj"
    frames = [40 * k + i for k in range(10) for i in range(15)]
    for begin in (0, 1):
        steps = [2 * i + begin * (k % 2) for k in range(10) for i in range(15)]
        _dump(path, morse_trajectory[frames], steps)
        (found,) = read(path, time_step=0.5)
        assert time_step(found) == pytest.approx(0.5)
        around = chains(found, (-1, 0, 1))
        assert len(around) == 10 * 13 and (np.diff(around, axis=1) == 1).all()
        assert largest_force(found) < 1.01 * largest_force(morse_trajectory)


def test_a_dump_tells_which_atom_is_which(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    path = tmp_path / "run.lammpstrj"
    _dump(path, morse_trajectory, [0, 1, 2], "element")
    assert len(read(path, time_step=0.5)[0]) == 3  # no atom moves far
    swapped = morse_trajectory.positions[:3].copy()
    swapped[1, [1, 2]] = swapped[1, [2, 1]]
    _dump(path, replace(morse_trajectory[:3], positions=swapped), [0, 1, 2], "element")
    with pytest.raises(FramesError, match="a dump without the column id, and LAMMPS changes the order of atoms from t"):
        read(path, time_step=0.5)
    assert len(read(path)[0]) == 3  # in no order
    _dump(path, morse_trajectory, [0, 1], "id mass")
    (found,) = read(path)
    np.testing.assert_array_equal(found.atomic_numbers, morse_trajectory.atomic_numbers)
    assert "elements are those of the masses: H 1, C 12, O 16" in found.notes[0]
    text = path.read_text()
    for mass in ("3.024", "14.027", "40.0"):  # repartitioned, united atoms, argon or calcium
        path.write_text(text.replace(" 1.0 ", f" {mass} "))
        with pytest.raises(FramesError, match="is not clearly that of one element, and the dump names none"):
            read(path)
    for mass, number in (("64", 29), ("56", 26), ("58.7", 28), ("35.5", 17), ("107.9", 47)):
        path.write_text(text.replace(" 1.0 ", f" {mass} "))
        assert number in read(path)[0].atomic_numbers


@pytest.mark.parametrize("kind", ["<f4", ">f4"])
@pytest.mark.parametrize(("frames", "start", "step"), [(20_000, 100.0, 5e-4), (20_000, 1000.0, 5e-4), (50, 0.0, 2e-3)])
def test_times_in_single_precision(frames: int, start: float, step: float, kind: str) -> None:
    """ps, as MDTraj and Amber keep them, the latter with the most significant byte first."""
    times = start + step * np.arange(frames)
    found, moved = stored_times(times.astype(kind))
    assert moved
    np.testing.assert_allclose(np.diff(found), step, rtol=1e-5)
    run = Trajectory(np.array([1]), np.zeros((frames, 1, 3)), times=1e3 * found)
    assert time_step(run) == pytest.approx(1e3 * step, rel=1e-5) and len(chains(run, (-1, 0, 1))) == frames - 2


def test_gaps_and_restarts_in_single_precision() -> None:
    times = np.concatenate([100 + 5e-4 * np.arange(5000), 105 + 5e-4 * np.arange(300), 103 + 5e-4 * np.arange(400)])
    found, moved = on_grid(times.astype(np.float32))
    assert moved
    np.testing.assert_allclose(np.diff(found), np.diff(times), atol=2e-5)
    np.testing.assert_allclose(np.diff(found)[:4990], 5e-4, rtol=1e-5)
    uneven = 100 + np.cumsum(np.random.default_rng(0).random(3000) * 5e-4)
    found, moved = on_grid(uneven.astype(np.float32))
    assert not moved
    np.testing.assert_array_equal(found, uneven.astype(np.float32))


def test_a_long_run_in_a_file_of_mdtraj(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    run = run_morse(3000)
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file.attrs["conventions"] = "Pande"
        atoms = [{"index": k, "element": chemical_symbols[z]} for k, z in enumerate(run.atomic_numbers)]
        file["topology"] = np.array([json.dumps({"chains": [{"residues": [{"atoms": atoms}]}]}).encode()])
        file["coordinates"] = (run.positions / 10).astype(np.float32)
        file["time"] = (1000.0 + 5e-4 * np.arange(3000)).astype(np.float32)
    (found,) = read(tmp_path / "run.h5", time_step=0.5)
    assert time_step(found) == pytest.approx(0.5, rel=1e-5)
    assert len(chains(found, (-1, 0, 1))) == 2998
    assert "times, which are in single precision, are taken as evenly spaced" in found.notes
