"""The tasks by name: the one place that knows which exist."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from frames.config import AuxiliarySection
from frames.data.timeline import chains, successive
from frames.data.trajectory import Integers, Trajectory
from frames.training.auxiliary import dens, frames, gaussian, newton, shuffled, single_frame
from frames.training.auxiliary.base import AuxiliaryTask, Need, Setting


@dataclass(frozen=True)
class Entry:
    """What a task needs, by its configuration, and what makes it."""

    need: Callable[[AuxiliarySection], Need]
    make: type[AuxiliaryTask]


TASKS: Mapping[str, Entry] = {
    "frames": Entry(frames.need, frames.DisplacementTask),
    "shuffled": Entry(shuffled.need, shuffled.ShuffledTask),
    "gaussian": Entry(gaussian.need, gaussian.GaussianTask),
    "single_frame": Entry(single_frame.need, single_frame.SingleFrameTask),
    "dens": Entry(dens.need, dens.DenoisingTask),
    "newton": Entry(newton.need, newton.NewtonTask),
}


def need_of(section: AuxiliarySection) -> Need | None:
    """Which frames the task of a configuration needs, if it has one. Raises FramesError for settings that clash."""
    return TASKS[section.task].need(section) if section.task != "none" else None


def task_of(setting: Setting) -> AuxiliaryTask:
    """The task of a configuration. Its constructor takes the Setting alone."""
    make: Callable[[Setting], AuxiliaryTask] = TASKS[setting.section.task].make
    return make(setting)


def weight_at(section: AuxiliarySection, progress: float) -> float:
    """λaux at a fraction of the training: by the schedule, from the weight of the configuration or of the task."""
    if section.task == "none":
        return 0.0
    made = TASKS[section.task].make
    weight = made.weight if section.weight is None else section.weight
    if (section.schedule or made.schedule) == "constant":
        return weight
    left = max(0.0, 1.0 - progress / section.decay_end)
    return weight * left**2


def find_chains(run: Trajectory, need: Need, allowed: Sequence[int] | Integers, seed: int) -> Integers:
    """[P,k] frames of one run that a task looks at together, all of them among `allowed`.

    Raises FramesError where the task needs the order of the frames and it is unknown.
    """
    allowed = np.asarray(allowed, np.int64)
    if need.partner == "random":
        return _random_partners(allowed, seed)
    if need.offsets == (0,):
        return allowed[:, None]
    found = successive(run, need.longest) if need.longest is not None else chains(run, need.offsets)
    return found[np.isin(found, allowed).all(axis=1)]


def _random_partners(allowed: Integers, seed: int) -> Integers:
    """Every frame with one from anywhere, itself and its neighbours excepted."""
    if len(allowed) < 4:
        return np.empty((0, 2), np.int64)
    away = np.random.default_rng(seed).integers(2, len(allowed) - 1, len(allowed))
    return np.stack([allowed, allowed[(np.arange(len(allowed)) + away) % len(allowed)]], axis=1)
