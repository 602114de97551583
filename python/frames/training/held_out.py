"""Frames that validation and test hold, their copies and what is near to them: none of it may be learnt."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np

from frames.data.duplicates import find_duplicates
from frames.data.timeline import time_step
from frames.data.trajectory import Integers, Trajectory
from frames.errors import FramesError
from frames.training.batch import FrameIndex
from frames.training.roles import TrainingData


def copies_of(run: Trajectory, held: Integers) -> list[int]:
    """Frames of a run that have the positions of a held-out frame of it, and are another one."""
    pairs = find_duplicates(run)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    return np.unique(both[np.isin(both[:, 1], held), 0]).tolist()


def drop_repeated(data: TrainingData, gap: int) -> None:
    """Removes from training every frame that validation or test hold too, and those within a gap of it in its run, as
    where one run goes on from the middle of another; says how many in the report."""
    held: set[FrameIndex] = set()
    for mine in {t for t, _ in data.used}:
        run = data.trajectories[mine]
        if copies := sorted(held_out_too(data, run)):
            near = np.setdiff1d(np.arange(len(run)), away_from(copies, run, gap))
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


def held_out_too(data: TrainingData, run: Trajectory) -> set[int]:
    """Frames of a run with the positions of a frame that validation or test use."""
    held: set[int] = set()
    roles: dict[int, list[int]] = {}
    for t, i in [*data.validation, *data.test]:
        roles.setdefault(t, []).append(i)
    for t, frames in roles.items():
        if data.trajectories[t].atoms == run.atoms:
            held |= {int(i) for i, _ in find_duplicates(run, data.trajectories[t][frames])}
    return held


def gap_in(data: TrainingData, run: Trajectory, gap: int) -> int:
    """The gap in frames of a run that may be stored more densely than those with validation and test frames."""
    mine = time_step(run)
    steps = [time_step(data.trajectories[t]) for t in {t for t, _ in [*data.validation, *data.test]}]
    longest = max((step for step in steps if step is not None), default=mine)
    return gap if mine is None or longest is None else max(gap, ceil(gap * longest / mine - 1e-6))


def away_from(held: Sequence[int], run: Trajectory, gap: int) -> Integers:
    """Frames of a trajectory that lie more than `gap` frames from the held ones of the same run."""
    frames = np.arange(len(run))
    near = np.zeros(len(run), bool)
    for i in held:
        near |= (np.abs(frames - i) <= gap) & (run.runs == run.runs[i])
    return frames[~near]


def check_roles(data: TrainingData) -> None:
    """No frame has two roles, and every role that training cannot do without has frames."""
    for name in ("train", "validation"):
        if not getattr(data, name):
            raise FramesError(f"there are no {name} frames; check the fractions, the gap and the files of [data]")
    both = data.used & {*data.validation, *data.test}
    if both:
        raise FramesError(f"{len(both)} frames are used in training and held out as well, the first is {min(both)}")
