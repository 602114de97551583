"""The task `auto`: the motion is learnt where it can be trusted and frames are left that have no labels."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from morse import morse, run_morse

from frames.config import parse_config
from frames.data.motion import forces_from_motion
from frames.data.readers.hdf5 import write
from frames.data.trajectory import Trajectory
from frames.errors import FramesError
from frames.training.choice import best_reach
from frames.training.dataset import load_training_data
from frames.training.roles import TrainingData
from frames.training.trainer import Trainer

MODEL: dict[str, Any] = {"cutoff": 4.0, "settings": {"channels": 16, "layers": 1, "radial_functions": 6}}


def config_of(data: dict[str, Any], **training: Any) -> Any:
    return parse_config({"output": "unused", "data": data, "model": MODEL, "training": training}, "test")


def load(data: dict[str, Any]) -> TrainingData:
    return load_training_data(config_of(data))


def beside(folder: Path, labelled: Trajectory, run: Trajectory) -> dict[str, Any]:
    """Labelled frames and a run whose labels are not used, as files: their [data] table."""
    scored = run_morse(61, seed=5)[1:]  # all runs start at the same place
    for name, frames in (("labelled", labelled), ("run", run), ("scored", scored)):
        write(folder / f"{name}.h5", [frames])
    files = {role: str(folder / f"{name}.h5") for role, name in (("train", "labelled"), ("validation", "scored"))}
    return {**files, "unlabelled": [str(folder / "run.h5")]}


def test_the_rest_of_a_run_is_learnt_from_its_motion(morse_file: Path) -> None:
    data = load({"path": str(morse_file), "gap": 20, "labelled": 5})
    assert data.auxiliary.task == "newton"
    assert len(data.train) == 5 and len(data.unlabelled) > 100
    told = "auxiliary task: newton, since the motion gives the forces of unlabelled frames, less than 0.001 % off"
    assert told in data.summary


@pytest.mark.parametrize(("every", "reach"), [(1, 1), (2, 3), (4, 6)])
def test_frames_that_lie_apart_are_differentiated_over_more_of_them(tmp_path: Path, every: int, reach: int) -> None:
    """By weights of them that the labels tell, so that the forces come out as if every step were stored."""
    write(tmp_path / "run.h5", [run_morse(500 * every)[::every]])
    section = {"path": str(tmp_path / "run.h5"), "gap": 20, "labelled": 5}
    for auxiliary in ({}, {"task": "newton"}):
        raw = {"output": "unused", "data": {**section, "unlabelled_rest": True}, "model": MODEL, "auxiliary": auxiliary}
        data = load_training_data(parse_config(raw, "test"))
        assert (data.auxiliary.task, data.auxiliary.reach, data.anchor) == ("newton", reach, reach)
        assert ("frames on each side, with weights fitted to known forces" in data.summary) == (reach > 1)
        run, rows = data.trajectories[0], np.array([[i for _, i in chain] for chain in data.unlabelled])
        assert run.forces is not None and data.stencil is not None
        off = forces_from_motion(run, rows, data.stencil) - run.forces[rows[:, reach]]
        assert np.square(off).sum() < (0.001 if every > 1 else 1e-9) ** 2 * np.square(run.forces).mean() * off.size
    assert best_reach([(replace(run_morse(500 * every)[::every], forces=None), None)]) == 1  # nothing tells
    asked = {"task": "newton", "reach": 3}
    raw = {"output": "unused", "data": {**section, "unlabelled_rest": True}, "model": MODEL, "auxiliary": asked}
    assert load_training_data(parse_config(raw, "test")).anchor == 3


@pytest.mark.parametrize(
    ("rest", "because"),
    [
        ({}, "there are no unlabelled frames to learn from"),
        ({"labelled": 1000}, "there are no unlabelled frames to learn from"),
        ({"labelled": 20, "unlabelled_rest": False}, "there are no unlabelled frames to learn from"),
    ],
)
def test_nothing_is_learnt_beside_the_labels_where_all_frames_have_them(
    morse_file: Path, rest: dict[str, Any], because: str
) -> None:
    data = load({"path": str(morse_file), "gap": 20, **rest})
    assert data.auxiliary.task == "none" and not data.unlabelled and not data.chains
    assert f"since {because}" in data.summary


def test_noise_in_the_motion_is_not_learnt(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 3e-3, morse_trajectory.positions.shape)
    shaken = replace(morse_trajectory, positions=morse_trajectory.positions + noise)
    labelled = replace(morse_trajectory[::10], times=None)
    data = load(beside(tmp_path, labelled, replace(shaken, energies=None, forces=None)))
    assert data.auxiliary.task == "none"
    assert "its motion does not give forces" in data.summary


def test_labelled_frames_in_no_order_and_a_run_beside_them(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    """The time step of the configuration is that of the run, not of the shuffled frames."""
    shuffled = np.random.default_rng(0).permutation(400)[:15]
    labelled = replace(morse_trajectory[shuffled], times=None, velocities=None)
    bare = replace(morse_trajectory, energies=None, forces=None, times=None, velocities=None)
    data = load({**beside(tmp_path, labelled, bare), "time_step": 0.5})
    assert data.auxiliary.task == "newton"
    assert len(data.train) == 15 and len(data.unlabelled) > 300


@pytest.mark.parametrize(("every", "reach"), [(1, 1), (2, 3), (4, 6)])
def test_labels_of_its_frames_tell_how_a_run_without_forces_was_stored(tmp_path: Path, every: int, reach: int) -> None:
    run = run_morse(500 * every)[::every]
    labelled = replace(run[np.random.default_rng(0).permutation(500)[:15]], times=None, velocities=None)
    section = beside(tmp_path, labelled, replace(run, energies=None, forces=None, velocities=None))
    for auxiliary in ({}, {"task": "newton"}):
        raw = {"output": "unused", "data": section, "model": MODEL, "auxiliary": auxiliary}
        data = load_training_data(parse_config(raw, "test"))
        assert (data.auxiliary.task, data.auxiliary.reach) == ("newton", reach)
        assert "weights of forces from motion: H 1, C 1, O 1" in data.summary
        rows = np.array([[i for _, i in chain] for chain in data.unlabelled])
        assert run.forces is not None and data.stencil is not None
        off = forces_from_motion(run, rows, data.stencil) - run.forces[rows[:, reach]]
        assert np.square(off).sum() < (0.002 if every > 1 else 1e-9) ** 2 * np.square(run.forces).mean() * off.size


def test_a_run_without_forces_that_is_stored_too_rarely_is_left_out(tmp_path: Path) -> None:
    """By positions alone it might pass; the labels of some of its frames tell."""
    run = run_morse(3000)[::10]
    labelled = replace(run[::20], times=None, velocities=None)
    data = load(beside(tmp_path, labelled, replace(run, energies=None, forces=None, velocities=None)))
    assert data.auxiliary.task == "none"
    assert "% off, and at most 0.5 % is of use; by the labels of its frames" in data.summary


@pytest.mark.parametrize("stored", [True, False])
def test_motion_by_another_method_than_the_labels(tmp_path: Path, stored: bool) -> None:
    """Cheap dynamics beside dear labels: where the same frames show it, that is not learnt, or refused if asked for."""
    run = run_morse(400)
    frames = run[np.random.default_rng(0).permutation(400)[:15]]
    energies, forces = zip(*(morse(r, width=1.5) for r in frames.positions), strict=True)
    dear = replace(frames, energies=np.array(energies), forces=np.array(forces), times=None, velocities=None)
    bare = replace(run, energies=None, forces=None, velocities=None)
    section = beside(tmp_path, dear, run if stored else bare)
    data = load(section)
    assert data.auxiliary.task == "none" and not data.unlabelled
    if stored:
        assert "its motion is not that of the method of the labels: for 1" in data.summary
    else:
        told = r"gives forces that are [\d.]+ % off, and at most 0\.5 % is of use; by the labels of its frames"
        assert re.search(told, data.summary)
        assert "so it may also be that of another method" in data.summary
    raw = {"output": "unused", "data": section, "model": MODEL, "auxiliary": {"task": "newton"}}
    whose = "stored forces" if stored else "forces of its motion"
    with pytest.raises(FramesError, match=rf"run\.h5: its motion is not .*the {whose} differ from them by \d+%"):
        load_training_data(parse_config(raw, "test"))


def test_that_no_label_tells_the_method_is_said(tmp_path: Path) -> None:
    data = load(beside(tmp_path, replace(run_morse(400, seed=3)[5::40], times=None, velocities=None), run_morse(400)))
    assert data.auxiliary.task == "newton"
    assert "the motion of run.h5 is taken to be by the method of the labels, since none of its frames" in data.summary
    assert "weights of forces from motion: H 1, C 1, O 1" in data.summary


def test_an_element_without_forces_is_refused(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    """With few digits the slow atoms have no force in their motion that could be used, and no other label."""
    rough = replace(morse_trajectory, energies=None, forces=None, velocities=None)
    noise = np.where(morse_trajectory.atomic_numbers == 1, 1e-6, 1e-2)[:, None]
    shaken = rough.positions + noise * np.random.default_rng(0).normal(size=rough.positions.shape)
    write(tmp_path / "rough.h5", [replace(rough, positions=shaken)])
    raw = {
        "output": "unused",
        "data": {"path": str(tmp_path / "rough.h5"), "gap": 20},
        "model": MODEL,
        "auxiliary": {"task": "newton"},
    }
    with pytest.raises(
        FramesError, match=r"rough\.h5: its motion gives no forces of C, O, and no other training frame"
    ):
        load_training_data(parse_config(raw, "test"))


def test_energies_that_are_not_learnt_are_named(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    bare = replace(run_morse(400, seed=3), energies=None, forces=None, velocities=None)
    write(tmp_path / "two.h5", [morse_trajectory, bare])
    raw = {
        "output": "unused",
        "data": {"path": str(tmp_path / "two.h5"), "gap": 20},
        "model": MODEL,
        "auxiliary": {"task": "newton"},
    }
    data = load_training_data(parse_config(raw, "test"))
    assert "no energies are learnt, two.h5" in data.summary and all(run.energies is None for run in data.trajectories)


def test_that_there_are_fewer_labels_than_asked_for_is_said(morse_file: Path) -> None:
    data = load({"path": str(morse_file), "gap": 20, "labelled": 1000})
    assert f"data.labelled asks for 1000 frames, the training frames are {len(data.train)} in all" in data.summary
    assert "asks for" not in load({"path": str(morse_file), "gap": 20, "labelled": 5}).summary


def test_unlabelled_frames_without_a_use_are_named(morse_file: Path) -> None:
    raw = {
        "output": "unused",
        "data": {"path": str(morse_file), "gap": 20, "labelled": 5, "unlabelled_rest": True},
        "model": MODEL,
        "auxiliary": {"task": "dens"},
    }
    data = load_training_data(parse_config(raw, "test"))
    assert "unlabelled frames are not used by the task dens" in data.summary


def test_to_learn_from_motion_alone_has_to_be_asked_for(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    write(tmp_path / "bare.h5", [replace(morse_trajectory, energies=None, forces=None, velocities=None)])
    write(tmp_path / "scored.h5", [run_morse(60, seed=5)])
    for train, validation in (("bare", "scored"), ("scored", "bare")):
        with pytest.raises(FramesError, match=r"bare\.h5: no forces in this file; use one that has them, or set"):
            load({"train": str(tmp_path / f"{train}.h5"), "validation": str(tmp_path / f"{validation}.h5")})


@pytest.mark.parametrize(("share", "size", "expected"), [(None, 5, (1, 4)), (0.5, 8, (4, 4)), (0.9, 4, (1, 4))])
def test_labelled_and_unlabelled_frames_share_a_batch(
    morse_file: Path, share: float | None, size: int, expected: tuple[int, int]
) -> None:
    data = {"path": str(morse_file), "gap": 20, "labelled": 20, "unlabelled_rest": True}
    auxiliary = {"task": "newton", **({} if share is None else {"share": share})}
    raw = {"output": "unused", "data": data, "model": MODEL, "auxiliary": auxiliary, "training": {"batch_size": size}}
    config = parse_config(raw, "test")
    trainer = Trainer(config, load_training_data(config))
    assert (len(trainer._frames_of_step(0)), len(trainer._beside(0))) == expected
    parts = trainer.advance()
    assert np.isfinite(parts["auxiliary_loss"])


def test_motion_too_short_to_add_anything_is_left_out(morse_file: Path) -> None:
    data = load({"path": str(morse_file), "gap": 20, "labelled": 40})
    assert data.auxiliary.task == "none" and not data.unlabelled
    assert "the motion of unlabelled frames spans" in data.summary
    assert "10 fs for each of the 40 labelled frames" in data.summary
