"""Auxiliary tasks: each runs on both backbones, is equivariant, resumes, and learns what it is there to learn."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from backbones import CARTESIAN, EQUIFORMER
from morse import run_morse
from rich.console import Console

from frames.config import AuxiliarySection, parse_config
from frames.data.readers.hdf5 import write
from frames.data.trajectory import Trajectory
from frames.errors import FramesError
from frames.training.auxiliary.newton import motion_forces
from frames.training.auxiliary.tasks import TASKS, weight_at
from frames.training.checkpoint import load_checkpoint
from frames.training.dataset import load_training_data
from frames.training.loop import Run
from frames.training.trainer import Trainer


def make(data: Path, task: str, model: dict[str, Any] = CARTESIAN, /, **sections: Any) -> Trainer:
    raw = {
        "output": "unused",
        "data": {"path": str(data), "gap": 20, "labelled": 20, "unlabelled_rest": True, **sections.pop("data", {})},
        "model": model,
        "auxiliary": {"task": task, **sections.pop("auxiliary", {})},
        "training": {"batch_size": 3, "dtype": "float64", **sections.pop("training", {})},
    }
    config = parse_config(raw, "test")
    return Trainer(config, load_training_data(config))


def loss_of(trainer: Trainer) -> torch.Tensor:
    frames = trainer._frames_of_step(trainer.step)
    return trainer._auxiliary_loss(trainer.step, frames, frames, trainer.evaluate(trainer.store.batch(frames)))


@pytest.mark.parametrize("model", [CARTESIAN, EQUIFORMER], ids=["cartesian", "equiformer"])
@pytest.mark.parametrize("task", TASKS)
def test_every_task_runs_on_both_backbones(morse_file: Path, task: str, model: dict[str, Any]) -> None:
    trainer = make(morse_file, task, model)
    assert trainer.task is not None
    for _ in range(3):
        parts = trainer.advance()
        assert np.isfinite(parts["auxiliary_loss"])


@pytest.mark.parametrize("task", [name for name in TASKS if name != "dens"])  # whose loss is not there at every step
def test_the_backbone_learns_from_the_task(morse_file: Path, task: str) -> None:
    trainer = make(morse_file, task)
    loss = loss_of(trainer)
    assert 0.05 < loss.item() < 20  # of order one
    gradients = torch.autograd.grad(loss, trainer.parameters, allow_unused=True)
    assert sum(float(g.abs().sum()) for g in gradients if g is not None) > 1e-3


@pytest.mark.parametrize("task", ["frames", "shuffled", "gaussian", "single_frame", "newton"])
def test_losses_do_not_depend_on_the_orientation(morse_trajectory: Trajectory, tmp_path: Path, task: str) -> None:
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    turned = replace(
        morse_trajectory, positions=morse_trajectory.positions @ turn.T, forces=morse_trajectory.forces @ turn.T
    )
    losses = []
    for name, run in (("a", morse_trajectory), ("b", turned)):
        write(tmp_path / f"{name}.h5", [run])
        losses.append(loss_of(make(tmp_path / f"{name}.h5", task)).item())
    # the random displacements of "gaussian" are not turned with the molecule
    assert losses[0] == pytest.approx(losses[1], rel=0.3 if task == "gaussian" else 1e-8)


@pytest.mark.parametrize("targets", ["adjacent", "first"])
@pytest.mark.parametrize("length", [1, 2, 3])
def test_longer_sequences(morse_file: Path, length: int, targets: str) -> None:
    trainer = make(morse_file, "frames", auxiliary={"length": length, "targets": targets, "stride": 2})
    chains = list(trainer.data.chains.values())
    assert all([b[1] - a[1] for a, b in pairwise(c)] == [2] * length for c in chains)
    found = trainer.task.targets(chains[:2], trainer.store)  # type: ignore[union-attr, operator]
    assert found.shape == (length, 8, 3)
    start = [c[0 if targets == "first" else length - 1] for c in chains[:2]]
    expected = trainer.store.displacements(start, [c[length] for c in chains[:2]])
    torch.testing.assert_close(found[-1], expected)
    trainer.advance()


def test_uneven_times_are_scaled_to_one_step(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    gaps = np.random.default_rng(0).integers(1, 4, 250).cumsum()
    write(tmp_path / "thin.h5", [morse_trajectory[gaps[gaps < 400]]])
    trainer = make(tmp_path / "thin.h5", "frames", data={"gap": 5}, auxiliary={"longest": 1.0})
    times = trainer.data.trajectories[0].times
    between = {round(float(times[b[1]] - times[a[1]]), 6) for a, b in trainer.data.chains.values()}
    between |= {round(float(times[b[1]] - times[a[1]]), 6) for a, b in trainer.data.unlabelled}
    assert between == {0.5, 1.0}
    chain = next(c for c in trainer.data.unlabelled if times[c[1][1]] - times[c[0][1]] > 0.9)
    (target,) = trainer.task.targets([chain], trainer.store)  # type: ignore[union-attr, operator]
    step = trainer.store.steps_between([chain])
    assert step.flatten().tolist() == pytest.approx([1.0 / 1.5] * 4)  # of the most common step
    torch.testing.assert_close(target * step, trainer.store.displacements([chain[0]], [chain[1]]))


def test_shuffled_partners_are_no_neighbours(morse_file: Path) -> None:
    data = make(morse_file, "shuffled").data
    assert all(abs(b[1] - a[1]) > 1 for a, b in data.chains.values())
    assert np.mean([abs(b[1] - a[1]) for a, b in data.unlabelled]) > 30


def test_unlabelled_frames_of_several_trajectories(morse_file: Path, tmp_path: Path) -> None:
    paths = []
    for seed in (3, 4):
        run = run_morse(31, seed=seed)[1:]  # all runs start at the same place, and repeated frames are left out
        write(tmp_path / f"{seed}.h5", [replace(run, energies=None, forces=None)])
        paths.append(str(tmp_path / f"{seed}.h5"))
    trainer = make(morse_file, "newton", data={"unlabelled": paths, "unlabelled_rest": False})
    assert {chain[0][0] for chain in trainer.data.unlabelled} == {1, 2}
    assert len(trainer.data.unlabelled) == 2 * 28
    trainer.advance()


def test_newton_without_any_force_label(tmp_path: Path) -> None:
    """Trained on positions alone, scored on forces."""
    run = run_morse(400)
    write(tmp_path / "bare.h5", [replace(run, forces=None, energies=None, velocities=None)])
    write(tmp_path / "scored.h5", [run_morse(120, seed=5)])
    raw = {
        "output": str(tmp_path / "run"),
        "data": {"train": str(tmp_path / "bare.h5"), "validation": str(tmp_path / "scored.h5")},
        "model": CARTESIAN,
        "auxiliary": {"task": "newton"},
        "training": {"steps": 300, "validate_every": 50, "threads": 1, "batch_size": 4},
    }
    report = Run(parse_config(raw, "test"), raw, Console(file=io.StringIO())).execute(resume=False)
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    errors = [float(row.split(",")[7]) for row in rows[1:]]
    assert report["forces_from_motion"]
    assert errors[-1] < 0.5 * errors[0]
    assert "energy_mae_mev" not in report["validation"]


def test_newton_with_a_longer_reach(tmp_path: Path) -> None:
    """Frames 2 fs apart: forces of the labelled frames come back, and the loss is that of the middle frames."""
    write(tmp_path / "coarse.h5", [run_morse(1600)[::4]])
    trainer = make(tmp_path / "coarse.h5", "newton", auxiliary={"reach": 3})
    chains = trainer.data.unlabelled[:10]
    assert trainer.data.anchor == 3 and all(len(chain) == 7 for chain in chains)
    run = trainer.data.trajectories[0]
    stored = np.concatenate([run.forces[chain[3][1]] for chain in chains])
    found = motion_forces(trainer.store, chains)[0].numpy()
    assert np.sqrt(np.mean(np.square(found - stored)) / np.mean(np.square(stored))) < 0.01
    trainer.advance()


def test_newton_refuses_what_is_not_nve(morse_file: Path, tmp_path: Path) -> None:
    write(tmp_path / "coarse.h5", [replace(run_morse(2400, seed=1)[::12], forces=None, energies=None)])
    with pytest.raises(FramesError, match="its motion does not give forces"):
        make(morse_file, "newton", data={"unlabelled": [str(tmp_path / "coarse.h5")]})
    with pytest.raises(FramesError, match="newton takes frames as they follow each other"):
        make(morse_file, "newton", auxiliary={"stride": 2})


@pytest.mark.parametrize("task", ["frames", "gaussian", "dens", "newton"])
def test_resumes_bit_for_bit(morse_file: Path, tmp_path: Path, task: str) -> None:
    def run(folder: str, steps: int, resume: bool) -> None:
        raw = {
            "output": str(tmp_path / folder),
            "data": {"path": str(morse_file), "gap": 20, "labelled": 20, "unlabelled_rest": True},
            "model": CARTESIAN,
            "auxiliary": {"task": task},
            "training": {"steps": 20, "checkpoint_every": 10, "validate_every": 10, "threads": 1},
        }
        whole = Run(parse_config(raw, "test"), raw, Console(file=io.StringIO()))
        if steps == 20:
            whole.execute(resume=resume)
            return
        whole._prepare_folder(False)
        while whole.trainer.step < steps:
            whole.trainer.advance()
        whole._save("last.pt")

    run("whole", 20, False)
    run("cut", 7, False)
    run("cut", 20, True)
    one, two = (load_checkpoint(tmp_path / name / "last.pt") for name in ("whole", "cut"))
    assert all(torch.equal(one.model[key], two.model[key]) for key in one.model)


@pytest.mark.parametrize("task", TASKS)
def test_no_task_sees_a_held_out_frame(morse_file: Path, task: str) -> None:
    """In no role, neighbours of unlabelled frames included, and not within the gap either."""
    raw = {
        "output": "unused",
        "data": {"path": str(morse_file), "gap": 25, "labelled": 20, "unlabelled_rest": True},
        "auxiliary": {"task": task},
    }
    data = load_training_data(parse_config(raw, "test"))
    held_out = np.array([i for _, i in [*data.validation, *data.test]])
    assert len(data.used) > (100 if TASKS[task].make.unlabelled else 19)
    assert min(int(np.abs(held_out - i).min()) for _, i in data.used) > 25


@pytest.mark.parametrize("labelled", [None, 30])
def test_few_chains_do_not_cost_labels(tmp_path: Path, labelled: int | None) -> None:
    """All tasks have the same labels: frames without partners keep theirs."""
    run = run_morse(400)
    kept = np.flatnonzero(np.arange(400) % 7 < 2)  # no three in a row
    write(tmp_path / "thin.h5", [run[[*kept[:50], 176, 177, 178, *kept[60:]]]])
    raw = {
        "output": "unused",
        "data": {"path": str(tmp_path / "thin.h5"), "gap": 2, **({} if labelled is None else {"labelled": labelled})},
        "auxiliary": {"task": "frames", "length": 2},
    }
    data = load_training_data(parse_config(raw, "test"))
    alone = load_training_data(parse_config({**raw, "auxiliary": {"task": "none"}}, "test"))
    assert data.train == alone.train and len(data.train) == (labelled or len(alone.train)) and len(data.chains) <= 2


def test_weights_and_schedules() -> None:
    assert weight_at(AuxiliarySection(task="none"), 0.0) == 0.0
    frames = AuxiliarySection(task="frames", weight=0.4, decay_end=0.5)
    assert [weight_at(frames, p) for p in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0.4, 0.1, 0.0, 0.0])
    assert weight_at(AuxiliarySection(task="newton"), 1.0) == 1.0
    assert weight_at(AuxiliarySection(task="frames", schedule="constant"), 1.0) == 0.1


@pytest.mark.parametrize(
    ("auxiliary", "message"),
    [
        ({"stride": 2}, "stride belongs to a task that is named, and task is 'auto'"),
        ({"decay_end": 0.5}, "decay_end belongs to schedule = 'decay', which is not that of the task 'auto'"),
        ({"task": "newton", "decay_end": 0.5}, "decay_end belongs to schedule = 'decay', which is not that of"),
        ({"task": "gaussian", "stride": 3, "noise": 0.1}, "stride tells gaussian the size of its displacements, and"),
        ({"task": "newton", "length": 2}, "length belongs to the task frames, and task is 'newton'"),
        ({"task": "frames", "noise": 0.1}, "noise belongs to the task gaussian or dens, and task is 'frames'"),
        ({"task": "frames", "longest": 3.0, "stride": 2}, "length and stride are 1 with it"),
        ({"task": "frames", "length": 4}, "less than or equal to 3"),
        ({"task": "dance"}, "Input should be 'auto', 'none', 'frames'"),
    ],
)
def test_settings_that_clash_are_named(auxiliary: dict[str, Any], message: str) -> None:
    with pytest.raises(FramesError) as caught:
        parse_config({"output": "x", "data": {"path": "y"}, "auxiliary": auxiliary}, "test")
    assert message in str(caught.value)


def test_unordered_frames_give_no_pairs(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(len(morse_trajectory))
    for name, part in (("train", order[:100]), ("validation", order[100:130])):
        write(tmp_path / f"{name}.h5", [replace(morse_trajectory[part], times=None)])
    sections = {"train": str(tmp_path / "train.h5"), "validation": str(tmp_path / "validation.h5")}
    for task in ("gaussian", "single_frame", "dens", "shuffled"):
        extra = {"noise": 0.02} if task == "gaussian" else {}
        raw = {"output": "x", "data": sections, "model": CARTESIAN, "auxiliary": {"task": task, **extra}}
        config = parse_config(raw, "test")
        Trainer(config, load_training_data(config)).advance()
    raw = {"output": "x", "data": sections, "model": CARTESIAN, "auxiliary": {"task": "frames"}}
    config = parse_config(raw, "test")
    with pytest.raises(FramesError, match=r"auxiliary\.task = 'frames': there are no frames that it could use"):
        Trainer(config, load_training_data(config))


def test_one_evaluation_of_labelled_and_unlabelled_frames(morse_file: Path) -> None:
    """Evaluated in one batch, they give what they give apart."""
    trainer = make(morse_file, "newton")
    frames = trainer._frames_of_step(trainer.step)
    batch = trainer.store.batch(frames)
    result, beside = trainer._evaluate_jointly(trainer.step, frames, batch)
    assert beside is not None
    alone = trainer.evaluate(batch)
    for name in ("energies", "forces", "scalars", "vectors"):
        torch.testing.assert_close(getattr(result, name), getattr(alone, name), rtol=1e-9, atol=1e-11)
    joint = trainer._auxiliary_loss(trainer.step, frames, frames, result, beside)
    assert joint.item() == pytest.approx(trainer._auxiliary_loss(trainer.step, frames, frames, alone).item(), rel=1e-9)
