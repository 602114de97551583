"""From the configuration to frames with a role: training, validation, test, partners, unlabelled pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from frames.config import Config, DataSection
from frames.data.duplicates import find_duplicates
from frames.data.readers import read
from frames.data.selftest import require_sound
from frames.data.splits import split_by_time
from frames.data.timeline import pairs
from frames.data.trajectory import Trajectory, require_labels
from frames.errors import FramesError
from frames.training.auxiliary.base import Pair
from frames.training.batch import FrameIndex


@dataclass
class TrainingData:
    """All frames that a run uses, each by trajectory and position in it."""

    trajectories: list[Trajectory]
    train: list[FrameIndex]
    validation: list[FrameIndex]
    test: list[FrameIndex]
    partner: dict[FrameIndex, FrameIndex]  # the frame that follows a labelled one, positions only
    unlabelled: list[Pair]
    split: str  # how the frames were divided, in words
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        pairs_text = f"{len(self.partner)} with a partner" if self.partner else "no partners"
        return (
            f"{len(self.train)} training frames ({pairs_text}), {len(self.unlabelled)} unlabelled pairs, "
            f"{len(self.validation)} validation and {len(self.test)} test frames; split: {self.split}"
        )


def load_training_data(config: Config) -> TrainingData:
    """Reads and divides the data of a configuration.

    Raises FramesError where files, labels or elements are missing, or frames of two roles coincide.
    """
    section = config.data
    data = _by_time(config) if section.path else _as_given(config)
    for path in section.unlabelled:
        _add_unlabelled(
            data, read(path, units=section.units, time_step=section.time_step), config.auxiliary.stride, path
        )
    _check_roles(data)
    data.report.update(
        {
            "split": data.split,
            "train_frames": len(data.train),
            "partners": len(data.partner),
            "unlabelled_pairs": len(data.unlabelled),
            "validation_frames": len(data.validation),
            "test_frames": len(data.test),
            "sources": [Path(run.source).name for run in data.trajectories],
        }
    )
    return data


def _read_labelled(section: DataSection, path: str, *, ordered: bool) -> list[Trajectory]:
    """Trajectories with energies and forces that pass their own tests."""
    runs = read(path, units=section.units, time_step=section.time_step if ordered else None)
    for run in runs:
        require_labels(run, "energies", "forces")
        require_sound(run)
    return runs


def _by_time(config: Config) -> TrainingData:
    """Blocks in time, train | gap | validation | gap | test, in every trajectory of the file."""
    section = config.data
    assert section.path is not None
    runs = _read_labelled(section, section.path, ordered=True)
    data = TrainingData(runs, [], [], [], {}, [], "")
    for t, run in enumerate(runs):
        split = split_by_time(
            run,
            train=1.0 - section.validation_fraction - section.test_fraction,
            validation=section.validation_fraction,
            test=section.test_fraction,
            gap=section.gap,
        )
        followers = dict(pairs(run, config.auxiliary.stride).tolist()) if config.auxiliary.task != "none" else {}
        inside = set(split.train.tolist())
        with_partner = [i for i in split.train.tolist() if followers.get(i) in inside]
        labelled = _evenly(with_partner or split.train.tolist(), section.labelled)
        for i in labelled:
            data.train.append((t, i))
            if i in followers and followers[i] in inside:
                data.partner[(t, i)] = (t, followers[i])
        used = [i for k, i in [*data.train, *data.partner.values()] if k == t]
        split.check_gap(np.array(used, np.int64))
        data.validation += [(t, i) for i in _evenly(split.validation.tolist(), section.validation_frames)]
        data.test += [(t, i) for i in _evenly(split.test.tolist(), section.test_frames)]
        data.split = split.kind
    if config.auxiliary.partner_labels:
        data.train = sorted({*data.train, *data.partner.values()})
    return data


def _as_given(config: Config) -> TrainingData:
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
        for run in _read_labelled(section, path, ordered=False):
            frames += [(len(data.trajectories), i) for i in range(len(run))]
            data.trajectories.append(run)
        getattr(data, role).extend(_evenly(frames, limits[role]))
    if config.auxiliary.task != "none":
        for t, run in enumerate(data.trajectories):
            if not run.ordered:
                continue
            labelled = set(data.train)
            for a, b in pairs(run, config.auxiliary.stride).tolist():
                if (t, a) in labelled and (t, b) in labelled:
                    data.partner[(t, a)] = (t, b)
    _drop_repeated(data)
    return data


def _drop_repeated(data: TrainingData) -> None:
    """Removes from training every frame that validation or test hold too, and says how many in the report."""
    held: set[FrameIndex] = set()
    for other in {t for t, _ in [*data.validation, *data.test]}:
        for mine in {t for t, _ in data.train}:
            if data.trajectories[mine].atoms == data.trajectories[other].atoms:
                found = find_duplicates(data.trajectories[mine], data.trajectories[other])
                held |= {(mine, int(i)) for i, _ in found}
    before = len(data.train)
    data.train = [frame for frame in data.train if frame not in held]
    data.partner = {a: b for a, b in data.partner.items() if a not in held and b not in held}
    data.report["dropped_from_training"] = before - len(data.train)
    if held:
        data.split += f", {before - len(data.train)} training frames dropped that occur in validation or test"


def _add_unlabelled(data: TrainingData, runs: Sequence[Trajectory], stride: int, path: str) -> None:
    """Pairs of an ordered trajectory, without those that touch a validation or test frame."""
    known = {int(z) for run in data.trajectories for z in run.atomic_numbers}
    for run in runs:
        strange = sorted({int(z) for z in run.atomic_numbers} - known)
        if strange:
            raise FramesError(f"data.unlabelled: {path}: elements {strange} do not occur in the labelled frames")
        t = len(data.trajectories)
        held: set[int] = set()
        for other in {k for k, _ in [*data.validation, *data.test]}:
            if data.trajectories[other].atoms == run.atoms:
                held |= {int(i) for i, _ in find_duplicates(run, data.trajectories[other])}
        data.trajectories.append(run)
        data.unlabelled += [
            Pair((t, a), (t, b)) for a, b in pairs(run, stride).tolist() if a not in held and b not in held
        ]


def _check_roles(data: TrainingData) -> None:
    """No frame has two roles, and every role that training cannot do without has frames."""
    for name in ("train", "validation"):
        if not getattr(data, name):
            raise FramesError(f"there are no {name} frames; check the fractions, the gap and the files of [data]")
    seen = {*data.train, *data.partner.values(), *(f for p in data.unlabelled for f in (p.first, p.second))}
    both = seen & {*data.validation, *data.test}
    if both:
        raise FramesError(f"{len(both)} frames are used in training and held out as well, the first is {min(both)}")


def _evenly(frames: Sequence[Any], count: int | None) -> list[Any]:
    """`count` of the frames, evenly spread over them; all if count is None or more than there are."""
    if count is None or count >= len(frames):
        return list(frames)
    return [frames[i] for i in np.linspace(0, len(frames) - 1, count).round().astype(int)]
