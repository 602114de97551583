"""Copies of held-out frames stay out of training, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from morse import run_morse

from frames.config import parse_config
from frames.data.duplicates import find_duplicates
from frames.data.readers.hdf5 import write
from frames.data.trajectory import Trajectory
from frames.errors import FramesError
from frames.training.dataset import load_training_data
from frames.training.roles import TrainingData


def _load(data: dict[str, Any], **sections: Any) -> TrainingData:
    return load_training_data(parse_config({"output": "out", "data": data, **sections}, "test"))


def _twice(run: Trajectory) -> Trajectory:
    """The frames of a run, and the same frames again, as a second simulation would follow."""
    twice = run[np.tile(np.arange(len(run)), 2)]
    return replace(twice, times=np.arange(len(twice)) * 0.5)


def test_a_run_that_holds_its_frames_twice(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    path = tmp_path / "twice.h5"
    write(path, [_twice(morse_trajectory[:300])])
    data = _load({"path": str(path), "gap": 5})
    (run,) = data.trajectories
    seen = np.array(sorted(i for _, i in data.used))
    held = np.array(sorted(i for _, i in [*data.validation, *data.test]))
    assert len(seen) > 50 and len(find_duplicates(run[seen], run[held])) == 0
    # nor a neighbour of a copy
    assert np.abs((seen % 300)[:, None] - (held % 300)[None]).min() > 5
    assert "training frames left out within 5 frames of a copy" in data.split


def test_copies_in_another_trajectory_of_the_file(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    path = tmp_path / "two.h5"
    write(path, [morse_trajectory[:200], morse_trajectory[:200][::-1]])
    turned = replace(morse_trajectory[:200][::-1], times=np.arange(200) * 0.5)
    write(path, [morse_trajectory[:200], turned], overwrite=True)
    data = _load({"path": str(path), "gap": 5})
    assert "training frames dropped that occur in validation or test" in data.split
    for t in (0, 1):
        held = np.array([i for k, i in [*data.validation, *data.test] if k == t])
        for k in (0, 1):
            seen = np.array([i for u, i in data.used if u == k])
            assert len(find_duplicates(data.trajectories[k][seen], data.trajectories[t][held])) == 0


def test_a_run_that_goes_on_from_the_middle_of_another(tmp_path: Path) -> None:
    """A restart repeats frames; their neighbours are as near to held-out ones as the frames themselves."""
    run = run_morse(700)
    write(tmp_path / "restart.h5", [run[:400], run[200:]])
    for task in ("none", "frames", "newton"):
        data = _load({"path": str(tmp_path / "restart.h5"), "gap": 20}, auxiliary={"task": task})
        first = (0, 200)  # frames of `run` that the trajectories begin with
        seen = np.array([first[t] + i for t, i in data.used])
        held = np.array([first[t] + i for t, i in [*data.validation, *data.test]])
        assert len(seen) > 100 and np.abs(seen[:, None] - held[None]).min() > 20
        assert "or within 20 frames of such" in data.split


def test_held_out_frames_of_a_training_run_given_as_files(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    write(tmp_path / "train.h5", [morse_trajectory])
    write(tmp_path / "validation.h5", [replace(morse_trajectory[100:101], times=None)])
    data = _load({"train": str(tmp_path / "train.h5"), "validation": str(tmp_path / "validation.h5")})
    assert "1 training frames dropped" in data.summary
    assert "their neighbours in time stay; data.path splits a run with a gap" in data.summary


def test_an_unlabelled_run_that_is_stored_more_densely(tmp_path: Path) -> None:
    """The gap is one of time: frames of the labelled trajectory, not of the other one."""
    run = run_morse(1200)
    write(tmp_path / "labelled.h5", [run[::4]])
    write(tmp_path / "dense.h5", [run])
    section = {"path": str(tmp_path / "labelled.h5"), "gap": 10, "unlabelled": [str(tmp_path / "dense.h5")]}
    data = _load(section, auxiliary={"task": "frames"})
    seen = np.array([i for chain in data.unlabelled for _, i in chain])
    held = np.array([4 * i for _, i in [*data.validation, *data.test]])
    assert len(seen) > 100 and np.abs(seen[:, None] - held[None]).min() > 40


def test_an_unlabelled_run_whose_centre_was_taken_away(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    """Held-out frames are known by their shape, wherever they lie: programs and scripts move the centre of mass."""
    write(tmp_path / "labelled.h5", [morse_trajectory])
    centre = morse_trajectory.positions.mean(axis=1, keepdims=True)
    write(tmp_path / "centred.h5", [replace(morse_trajectory, positions=morse_trajectory.positions - centre)])
    section = {"path": str(tmp_path / "labelled.h5"), "gap": 10, "unlabelled": [str(tmp_path / "centred.h5")]}
    data = _load(section, auxiliary={"task": "frames"})
    seen = np.array([i for chain in data.unlabelled for _, i in chain])
    held = np.array([i for _, i in [*data.validation, *data.test]])
    assert len(seen) > 100 and np.abs(seen[:, None] - held[None]).min() > 10


def test_unlabelled_copies_of_labelled_frames_are_used(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    """Labels are often drawn from the run whose motion is learnt."""
    whole, half = tmp_path / "whole.h5", tmp_path / "half.h5"
    write(whole, [morse_trajectory])
    write(half, [morse_trajectory[:200]])  # all in the training block
    section = {"path": str(whole), "labelled": 20, "gap": 5, "unlabelled": [str(half)]}
    data = _load(section, auxiliary={"task": "frames"})
    assert len(data.unlabelled) == 199 and "unlabelled frames left out" not in data.split


def test_only_frames_that_are_used_are_held_out(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    whole, half = tmp_path / "whole.h5", tmp_path / "half.h5"
    write(whole, [replace(morse_trajectory, times=None)])
    write(half, [replace(morse_trajectory[:200], times=None)])
    section = {"train": str(half), "validation": str(whole), "validation_frames": 3}
    assert len(_load(section).train) == 199
    del section["validation_frames"]
    with pytest.raises(FramesError, match="all 200 training frames occur in validation or test as well"):
        _load(section)


def test_lone_atoms_beside_molecules(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    import ase
    import ase.io
    from ase.calculators.singlepoint import SinglePointCalculator

    def atoms(k: int) -> ase.Atoms:
        found = ase.Atoms(morse_trajectory.atomic_numbers, morse_trajectory.positions[k])
        energies, forces = morse_trajectory.energies, morse_trajectory.forces
        assert energies is not None and forces is not None
        found.calc = SinglePointCalculator(found, energy=energies[k], forces=forces[k])
        return found

    lone = [ase.Atoms(symbol, info={"energy": -1.0}) for symbol in "HCO"]
    ase.io.write(tmp_path / "train.xyz", [*lone, *(atoms(k) for k in range(20))], format="extxyz")
    ase.io.write(tmp_path / "validation.xyz", [atoms(k) for k in range(30, 35)], format="extxyz")
    data = _load({"train": str(tmp_path / "train.xyz"), "validation": str(tmp_path / "validation.xyz")})
    assert len(data.train) == 23


def test_a_time_step_without_effect_is_refused(tmp_path: Path) -> None:
    section = {"train": "a", "validation": "b", "time_step": 1.0}
    with pytest.raises(FramesError, match=r"data\.time_step belongs to path, to unlabelled, or to the task 'newton'"):
        parse_config({"output": "out", "data": section}, "test")
    parse_config({"output": "out", "data": {**section, "unlabelled": ["c"]}}, "test")
