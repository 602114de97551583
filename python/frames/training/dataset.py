"""From the configuration to frames with a role."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from frames.config import Config
from frames.data.motion import atom_weights, labelled_by_motion
from frames.data.selftest import require_sound
from frames.data.splits import split_by_time
from frames.data.timeline import time_step
from frames.data.trajectory import Trajectory, require_labels
from frames.training.auxiliary.base import Need
from frames.training.auxiliary.tasks import TASKS, need_of
from frames.training.batch import FrameIndex
from frames.training.choice import APART, Reader, choose_task, newton_with_reach, reader_of, with_task
from frames.training.held_out import away_from, check_roles, copies_of, drop_repeated
from frames.training.notes import notes_on
from frames.training.requirements import (
    require_one_kind_of_labels,
    require_trained_elements,
    require_virials,
    trained_elements,
)
from frames.training.roles import TrainingData, chains_of, evenly
from frames.training.same_method import OtherMethodError
from frames.training.unlabelled import add_unlabelled, weigh_motion


def load_training_data(config: Config) -> TrainingData:
    """Reads and divides the data of a configuration.

    Raises FramesError where files, labels or elements are missing, or frames of two roles coincide.
    """
    reader = reader_of(config)
    if config.auxiliary.task == "newton":
        config = newton_with_reach(config, reader)
    if config.auxiliary.task != "auto":
        return _load(config, reader)
    decided, because = choose_task(config, reader)
    try:
        data = _load(decided, reader)
    except OtherMethodError as error:
        decided, because = with_task(config, "none"), str(error)
        data = _load(decided, reader)
    if decided.auxiliary.task == "newton":
        spanned = _time_of(data)
        if spanned < APART * len(data.train):
            because = (
                f"the motion of unlabelled frames spans {spanned:.0f} fs, and {APART:g} fs for each of the "
                f"{len(data.train)} labelled frames are needed to gain by it"
            )
            data = _load(with_task(config, "none"), reader)
    data.because = because
    return data


def _time_of(data: TrainingData) -> float:
    """fs that the unlabelled frames cover."""
    frames = Counter(chain[data.anchor][0] for chain in data.unlabelled)
    return sum(count * (time_step(data.trajectories[t]) or 0.0) for t, count in frames.items())


def _load(config: Config, reader: Reader) -> TrainingData:
    """For a task that is decided."""
    section = config.data
    need = need_of(config.auxiliary)
    data = _by_time(config, need, reader) if section.path else _as_given(config, need, reader)
    data.auxiliary = config.auxiliary
    trained = trained_elements(data, config)
    require_trained_elements(data, config, trained)
    for path in section.unlabelled:
        add_unlabelled(data, reader(path, ordered=True), need, config, path, trained)
    if config.training.virial_weight > 0:
        require_virials(data)
    data.anchor = 0 if need is None else need.anchor
    if config.auxiliary.task == "newton" and data.unlabelled:
        weigh_motion(data, config.auxiliary.frames_on_each_side)
    check_roles(data)
    data.notes += notes_on(data, config)
    if any(t in data.force_weights for t, _ in data.train):
        # energies would be off by a constant that nothing determines
        data.trajectories = [replace(run, energies=None) for run in data.trajectories]
    data.report.update(
        {
            "split": data.split,
            "train_frames": len(data.train),
            "auxiliary": config.auxiliary.task,
            "forces_from_motion": bool(data.force_weights),
            "partners": len(data.partners),
            "unlabelled_pairs": len(data.unlabelled),
            "validation_frames": len(data.validation),
            "test_frames": len(data.test),
            "sources": [Path(run.source).name for run in data.trajectories],
            "trained_on": _files(data, data.used),
            "validated_on": _files(data, data.validation),
        }
    )
    return data


def _files(data: TrainingData, frames: Iterable[FrameIndex]) -> list[str]:
    """The names of the files that these frames are from."""
    return sorted({Path(data.trajectories[t].source).name for t in {t for t, _ in frames}})


def _read_labelled(config: Config, reader: Reader, path: str, *, ordered: bool) -> Sequence[Trajectory]:
    """Trajectories with energies and forces that pass their own tests.

    With the task newton, a trajectory that stores no forces is labelled by its motion, and has no energies.
    """
    by_motion = config.auxiliary.task == "newton"
    runs = reader(path, ordered=ordered)
    if by_motion and any(run.forces is None for run in runs):
        runs = reader(path, ordered=True)
    for run in runs:
        if not (by_motion and run.forces is None):
            require_labels(run, "energies", "forces")
            require_sound(run)
    return runs


def _add_runs(data: TrainingData, runs: Sequence[Trajectory], reach: int) -> range:
    """Adds trajectories that are to be labelled, by their motion where they store no forces; their numbers."""
    start = len(data.trajectories)
    for run in runs:
        if run.forces is None:
            data.force_weights[len(data.trajectories)] = atom_weights(run, reach)
            run = labelled_by_motion(run, reach)
        data.trajectories.append(run)
    return range(start, len(data.trajectories))


def _by_time(config: Config, need: Need | None, reader: Reader) -> TrainingData:
    """Blocks in time, train | gap | validation | gap | test, in every trajectory of the file."""
    section = config.data
    assert section.path is not None
    data = TrainingData([], [], [], [], {}, [], "")
    for t in _add_runs(
        data, _read_labelled(config, reader, section.path, ordered=True), config.auxiliary.frames_on_each_side
    ):
        run = data.trajectories[t]
        split = split_by_time(
            run,
            train=1.0 - section.validation_fraction - section.test_fraction,
            validation=section.validation_fraction,
            test=section.test_fraction,
            gap=section.gap,
        )
        copies = copies_of(run, np.concatenate([split.validation, split.test]))
        if len(copies):
            allowed = split.train[np.isin(split.train, away_from(copies, run, section.gap))]
            left_out = len(split.train) - len(allowed)
            if left_out:
                split = replace(
                    split,
                    train=allowed,
                    kind=f"{split.kind}, {left_out} training frames left out within {section.gap} frames of a copy of "
                    "one for validation or test",
                )
        chains = chains_of(t, run, need, split.train, config.training.seed)
        # the same for every task, with partners or without
        for i in evenly(split.train.tolist(), section.labelled):
            data.train.append((t, i))
            if (t, i) in chains:
                data.chains[t, i] = chains[t, i]
        if section.unlabelled_rest and need is not None and TASKS[config.auxiliary.task].make.unlabelled:
            data.unlabelled += [chain for frame, chain in sorted(chains.items()) if frame not in data.chains]
        split.check_gap(np.array([i for k, i in data.used if k == t], np.int64))
        data.validation += [(t, i) for i in evenly(split.validation.tolist(), section.validation_frames)]
        data.test += [(t, i) for i in evenly(split.test.tolist(), section.test_frames)]
        data.split = split.kind
    drop_repeated(data, section.gap)  # of other trajectories of the file; those of the same one are out already
    if config.auxiliary.partner_labels:
        data.train = sorted({*data.train, *data.partners})
    return data


def _as_given(config: Config, need: Need | None, reader: Reader) -> TrainingData:
    """Files that somebody else divided. Frames of training that also occur elsewhere are dropped."""
    section = config.data
    assert section.train is not None and section.validation is not None
    data = TrainingData([], [], [], [], {}, [], "files as given")
    roles = (("train", section.train), ("validation", section.validation), ("test", section.test))
    limits = {"train": section.labelled, "validation": section.validation_frames, "test": section.test_frames}
    for role, path in roles:
        if path is None:
            continue
        frames: list[FrameIndex] = []
        for t in _add_runs(
            data, _read_labelled(config, reader, path, ordered=False), config.auxiliary.frames_on_each_side
        ):
            frames += [(t, i) for i in range(len(data.trajectories[t]))]
        getattr(data, role).extend(evenly(frames, limits[role]))
        if role == "train":
            labelled = set(data.train)
            for t, run in enumerate(data.trajectories):
                if need is not None and (run.ordered or need.offsets == (0,) or need.partner == "random"):
                    found = chains_of(t, run, need, np.arange(len(run)), config.training.seed)
                    data.chains.update({frame: chain for frame, chain in found.items() if frame in labelled})
    require_one_kind_of_labels(data)
    drop_repeated(data, 0)
    if config.auxiliary.partner_labels:
        data.train = sorted({*data.train, *data.partners})
    return data
