"""From the configuration to frames with a role: training, validation, test, partners, unlabelled pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from frames.config import AuxiliarySection, Config
from frames.data.duplicates import find_duplicates
from frames.data.known import KnownForces, known_forces
from frames.data.motion import atom_weights, fit_stencil, labelled_by_motion
from frames.data.selftest import require_sound
from frames.data.splits import split_by_time
from frames.data.timeline import time_step
from frames.data.trajectory import Floats, Integers, Trajectory, require_labels
from frames.errors import FramesError
from frames.training.auxiliary.base import Chain, Need
from frames.training.auxiliary.tasks import TASKS, find_chains, need_of
from frames.training.batch import FrameIndex
from frames.training.choice import APART, Reader, choose_task, newton_with_reach, reader_of, with_task
from frames.training.finetune import read_start
from frames.training.notes import notes_on
from frames.training.same_method import OtherMethodError, require_same_method

STENCIL_SAMPLE = 300  # unlabelled frames whose stored forces tell a stencil, where labels do not


@dataclass
class TrainingData:
    """All frames that a run uses, each by trajectory and position in it."""

    trajectories: list[Trajectory]
    train: list[FrameIndex]
    validation: list[FrameIndex]
    test: list[FrameIndex]
    chains: dict[FrameIndex, Chain]  # what the auxiliary task sees with a labelled frame, itself included
    unlabelled: list[Chain]
    anchor: int = field(default=0, kw_only=True)  # place of the frame with offset 0 in a chain
    split: str  # how the frames were divided, in words
    auxiliary: AuxiliarySection = field(default_factory=AuxiliarySection)  # that of the configuration, "auto" decided
    because: str = ""  # of a task that was decided
    stencil: Floats | None = None  # of the task newton (frames/data/stencil.py), where labels tell it
    force_weights: dict[int, Floats] = field(default_factory=dict)  # [N] of runs whose forces are those of the motion
    motion_weights: dict[int, Floats] = field(default_factory=dict)  # [N] of runs with unlabelled frames, task newton
    matched: dict[int, KnownForces] = field(default_factory=dict)  # labels of frames of runs that store no forces
    notes: list[str] = field(default_factory=list)  # what else somebody should know who starts this training
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def used(self) -> set[FrameIndex]:
        """Every frame that training sees in any role."""
        return {*self.train, *(f for chain in (*self.chains.values(), *self.unlabelled) for f in chain)}

    @property
    def partners(self) -> list[FrameIndex]:
        """The frames beside the labelled ones in their chains."""
        return sorted({f for frame, chain in self.chains.items() for f in chain if f != frame})

    @property
    def of_files(self) -> list[str]:
        """What the readers assumed of the files, or changed."""
        known = {(Path(run.source).name, note): None for run in self.trajectories for note in run.notes}
        return [f"{name}: {note}" if name else note for name, note in known]

    @property
    def summary(self) -> str:
        partners = len(self.partners)
        pairs_text = f"{partners} partners" if partners else "no partners"
        return (
            f"{len(self.train)} training frames ({pairs_text}), {len(self.unlabelled)} unlabelled pairs or chains, "
            f"{len(self.validation)} validation and {len(self.test)} test frames; split: {self.split}"
            f"; auxiliary task: {self.auxiliary.task}"
        ) + "".join([f", since {self.because}" if self.because else "", *(f"; {note}" for note in self.notes)])


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
    trained = _trained_elements(data, config)
    _require_trained_elements(data, config, trained)
    for path in section.unlabelled:
        _add_unlabelled(data, reader(path, ordered=True), need, config, path, trained)
    if config.training.virial_weight > 0:
        _require_virials(data)
    data.anchor = 0 if need is None else need.anchor
    if config.auxiliary.task == "newton" and data.unlabelled:
        reach = config.auxiliary.frames_on_each_side
        data.stencil = _stencil(data, reach)
        for t in sorted({chain[0][0] for chain in data.unlabelled}):
            data.motion_weights[t] = atom_weights(data.trajectories[t], reach, data.stencil, data.matched.get(t))
    _check_roles(data)
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


def _stencil(data: TrainingData, reach: int) -> Floats | None:
    """Fitted to the labels of frames whose neighbours in time are there, or else to forces that unlabelled runs store.

    None if there are too few of both.
    """
    labelled = [data.chains[frame] for frame in sorted(data.chains)]
    labelled += [chain for chain in data.unlabelled if chain[0][0] in data.matched]
    for chains in (labelled, _evenly(data.unlabelled, STENCIL_SAMPLE)):
        places: dict[int, list[list[int]]] = {}
        for chain in chains:
            places.setdefault(chain[0][0], []).append([i for _, i in chain])
        parts = []
        for t, rows in places.items():
            run = data.trajectories[t]
            known = None if t in data.force_weights else data.matched.get(t) or known_forces(run)
            if known is not None:
                parts.append((run, *known.among(np.array(rows, np.int64))))
        if (found := fit_stencil(parts, reach)) is not None:
            return found
    return None


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
        copies = _copies_of(run, np.concatenate([split.validation, split.test]))
        if len(copies):
            allowed = split.train[np.isin(split.train, _away_from(copies, run, section.gap))]
            left_out = len(split.train) - len(allowed)
            if left_out:
                split = replace(
                    split,
                    train=allowed,
                    kind=f"{split.kind}, {left_out} training frames left out within {section.gap} frames of a copy of "
                    "one for validation or test",
                )
        chains = _chains(t, run, need, split.train, config.training.seed)
        # the same for every task, with partners or without
        for i in _evenly(split.train.tolist(), section.labelled):
            data.train.append((t, i))
            if (t, i) in chains:
                data.chains[t, i] = chains[t, i]
        if section.unlabelled_rest and need is not None and TASKS[config.auxiliary.task].make.unlabelled:
            data.unlabelled += [chain for frame, chain in sorted(chains.items()) if frame not in data.chains]
        split.check_gap(np.array([i for k, i in data.used if k == t], np.int64))
        data.validation += [(t, i) for i in _evenly(split.validation.tolist(), section.validation_frames)]
        data.test += [(t, i) for i in _evenly(split.test.tolist(), section.test_frames)]
        data.split = split.kind
    _drop_repeated(data, section.gap)  # of other trajectories of the file; those of the same one are out already
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
        getattr(data, role).extend(_evenly(frames, limits[role]))
        if role == "train":
            labelled = set(data.train)
            for t, run in enumerate(data.trajectories):
                if need is not None and (run.ordered or need.offsets == (0,) or need.partner == "random"):
                    found = _chains(t, run, need, np.arange(len(run)), config.training.seed)
                    data.chains.update({frame: chain for frame, chain in found.items() if frame in labelled})
    _require_one_kind_of_labels(data)
    _drop_repeated(data, 0)
    if config.auxiliary.partner_labels:
        data.train = sorted({*data.train, *data.partners})
    return data


def _require_one_kind_of_labels(data: TrainingData) -> None:
    """Raises FramesError where files of several roles keep their labels under names that belong to several methods."""
    named = {run.labels_as: Path(run.source).name for run in data.trajectories if run.labels_as}
    if len(named) > 1:
        (one, first), (other, second), *_ = named.items()
        raise FramesError(
            f"the labels of {first} are {one} and what belongs to it, those of {second} {other}: two methods, by their "
            "names. Keep one kind of labels in the files, or name them alike if they are of one method"
        )


def _copies_of(run: Trajectory, held: Integers) -> list[int]:
    """Frames of a run that have the positions of a held-out frame of it, and are another one."""
    pairs = find_duplicates(run)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    return np.unique(both[np.isin(both[:, 1], held), 0]).tolist()


def _chains(t: int, run: Trajectory, need: Need | None, allowed: Integers, seed: int) -> dict[FrameIndex, Chain]:
    """The chain of every frame of a run that has one, all of it among the allowed frames."""
    if need is None:
        return {}
    found = find_chains(run, need, allowed, seed)
    return {(t, int(row[need.anchor])): tuple((t, int(i)) for i in row) for row in found}


def _drop_repeated(data: TrainingData, gap: int) -> None:
    """Removes from training every frame that validation or test hold too, and those within a gap of it in its run, as
    where one run goes on from the middle of another; says how many in the report."""
    held: set[FrameIndex] = set()
    for mine in {t for t, _ in data.used}:
        run = data.trajectories[mine]
        if copies := sorted(_held_out_too(data, run)):
            near = np.setdiff1d(np.arange(len(run)), _away_from(copies, run, gap))
            held |= {(mine, int(i)) for i in near} - {*data.validation, *data.test}
    before = len(data.train)
    data.train = [frame for frame in data.train if frame not in held]
    data.chains = {a: chain for a, chain in data.chains.items() if not held & set(chain)}
    data.unlabelled = [chain for chain in data.unlabelled if not held & set(chain)]
    data.report["dropped_from_training"] = before - len(data.train)
    if before and not data.train:
        raise FramesError(f"all {before} training frames occur in validation or test as well; nothing is left to learn")
    if len(data.train) < before:
        where = f", or within {gap} frames of such" if gap else ""
        if not gap and any(data.trajectories[t].ordered for t, _ in held):
            data.notes.append("their neighbours in time stay; data.path splits a run with a gap")
        data.split += f", {before - len(data.train)} training frames dropped that occur in validation or test{where}"


def _held_out_too(data: TrainingData, run: Trajectory) -> set[int]:
    """Frames of a run with the positions of a frame that validation or test use."""
    held: set[int] = set()
    roles: dict[int, list[int]] = {}
    for t, i in [*data.validation, *data.test]:
        roles.setdefault(t, []).append(i)
    for t, frames in roles.items():
        if data.trajectories[t].atoms == run.atoms:
            held |= {int(i) for i, _ in find_duplicates(run, data.trajectories[t][frames])}
    return held


def _require_trained_elements(data: TrainingData, config: Config, trained: set[int]) -> None:
    """Raises FramesError for held-out frames with elements that no training frame has, nor the model to start from.

    The model would list them as its own, with parameters that nothing has determined.
    """
    for t in sorted({t for t, _ in [*data.validation, *data.test]}):
        run = data.trajectories[t]
        strange = sorted({int(z) for z in run.atomic_numbers} - trained)
        if strange:
            raise FramesError(
                f"{run.source or 'held-out frames'}: {', '.join(chemical_symbols[z] for z in strange)} in frames for "
                "validation or test, but in no training frame"
                + ("" if config.model.start is None else f", and {Path(config.model.start).name} does not know them")
                + "; train with all elements, or leave those frames out"
            )


def _trained_elements(data: TrainingData, config: Config) -> set[int]:
    """Of the training frames and the model to start from."""
    known = set() if config.model.start is None else set(read_start(config.model.start).spec.elements)
    return known | {int(z) for t in {t for t, _ in data.train} for z in data.trajectories[t].atomic_numbers}


def _require_virials(data: TrainingData) -> None:
    """Raises FramesError if no training frame has one; notes how many have, where others, such as molecules, do not."""
    have = sum(data.trajectories[t].virials is not None for t, _ in data.train)
    if not have:
        sources = ", ".join(sorted({data.trajectories[t].source or "data" for t, _ in data.train}))
        raise FramesError(
            f"training.virial_weight is above 0, but no training frame of {sources} has a virial or a stress; leave "
            "the weight out, or give data that have them"
        )
    if have < len(data.train):
        data.notes.append(f"virials are learnt of the {have} training frames that have one")


def _add_unlabelled(
    data: TrainingData, runs: Sequence[Trajectory], need: Need | None, config: Config, path: str, trained: set[int]
) -> None:
    """Chains of an ordered trajectory, without those that come within data.gap frames of a validation or test frame."""
    for run in runs:
        strange = sorted({int(z) for z in run.atomic_numbers} - trained)
        if strange:
            names = ", ".join(chemical_symbols[z] for z in strange)
            raise FramesError(f"data.unlabelled: {path}: {names} in no labelled training frame; take those frames out")
        t = len(data.trajectories)
        if config.auxiliary.task == "newton":
            known = _require_labels_agree(data, run, config.auxiliary.frames_on_each_side)
            if known is not None and run.forces is None:
                data.matched[t] = known
        held = _held_out_too(data, run)
        gap = _gap_in(data, run, config.data.gap)
        data.trajectories.append(run)
        away = _away_from(sorted(held), run, gap)
        if held:
            data.split += (
                f", {len(run) - len(away)} unlabelled frames left out within {gap} frames of {len(held)} that "
                "validation or test hold too"
            )
        if need is not None and TASKS[config.auxiliary.task].make.unlabelled:
            data.unlabelled += _chains(t, run, need, away, config.training.seed).values()


def _gap_in(data: TrainingData, run: Trajectory, gap: int) -> int:
    """The gap in frames of a run that may be stored more densely than those with validation and test frames."""
    mine = time_step(run)
    steps = [time_step(data.trajectories[t]) for t in {t for t, _ in [*data.validation, *data.test]}]
    longest = max((step for step in steps if step is not None), default=mine)
    return gap if mine is None or longest is None else max(gap, ceil(gap * longest / mine - 1e-6))


def _require_labels_agree(data: TrainingData, run: Trajectory, reach: int) -> KnownForces | None:
    """The labels of frames of a run; None if there are none, which is noted. Raises FramesError if labels contradict
    the motion of the run."""
    places: dict[int, list[int]] = {}
    for t, i in data.train:
        if t not in data.force_weights:
            places.setdefault(t, []).append(i)
    labelled = [data.trajectories[t][frames] for t, frames in places.items()]
    known = require_same_method(run, labelled, reach)
    if labelled and known is None:
        data.notes.append(
            f"the motion of {Path(run.source).name or 'data.unlabelled'} is taken to be by the method of the labels, "
            "since none of its frames has one"
        )
    return known


def _away_from(held: Sequence[int], run: Trajectory, gap: int) -> Integers:
    """Frames of a trajectory that lie more than `gap` frames from the held ones of the same run."""
    frames = np.arange(len(run))
    near = np.zeros(len(run), bool)
    for i in held:
        near |= (np.abs(frames - i) <= gap) & (run.runs == run.runs[i])
    return frames[~near]


def _check_roles(data: TrainingData) -> None:
    """No frame has two roles, and every role that training cannot do without has frames."""
    for name in ("train", "validation"):
        if not getattr(data, name):
            raise FramesError(f"there are no {name} frames; check the fractions, the gap and the files of [data]")
    both = data.used & {*data.validation, *data.test}
    if both:
        raise FramesError(f"{len(both)} frames are used in training and held out as well, the first is {min(both)}")


def _evenly(frames: Sequence[Any], count: int | None) -> list[Any]:
    """`count` of the frames, evenly spread over them; all if count is None or more than there are."""
    if count is None or count >= len(frames):
        return list(frames)
    return [frames[i] for i in np.linspace(0, len(frames) - 1, count).round().astype(int)]
