"""The task `auto`: what the frames of a training are good for, beside their labels.

Where the motion of unlabelled frames gives their forces, they are learnt: docs/study.md says what that gains.
Elsewhere the labels alone are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Protocol

import numpy as np

from frames.config import Config, DataSection
from frames.data.motion import STORED_FORCES, atom_weights, motion_test
from frames.data.readers import read
from frames.data.trajectory import Trajectory
from frames.errors import FramesError

TRUSTED = 0.5
"""Mean weight of the atoms from which the motion of a run is learnt: noise of 5 % of the force."""


REACHES = (1, 2, 3, 4)
"""Frames on each side of which one is chosen."""


APART = 10.0
"""fs between frames that tell different things: so much motion must be there for each labelled frame. 1,000 frames of
0.5 fs beside 300 random labels of MD17 ethanol raise its error, 11,580 beside 300 of the same run of GFN2-xTB lower
it (docs/study.md)."""


class Reader(Protocol):
    """Reads a file of the configuration."""

    def __call__(self, path: str, *, ordered: bool) -> Sequence[Trajectory]:
        """Its trajectories; those that are `ordered` get the time step of the configuration."""


def reader_of(config: Config) -> Reader:
    """A reader that reads each file once."""
    section = config.data

    @cache
    def reader(path: str, *, ordered: bool) -> Sequence[Trajectory]:
        return read(path, units=section.units, time_step=section.time_step if ordered else None)

    return reader


def newton_with_reach(config: Config, reader: Reader) -> Config:
    """A configuration of the task newton with the reach that it names, or else the one that fits the data."""
    section = config.data
    labelled = [
        run
        for path, ordered in ((section.path, True), (section.train, False))
        for run in (reader(path, ordered=ordered) if path is not None else ())
    ]
    bare = [run for run in labelled if run.forces is None]  # labelled by their motion
    return with_reach(config, [*bare, *_unlabelled_runs(section, reader)])


def with_reach(config: Config, runs: Sequence[Trajectory]) -> Config:
    """The configuration with the reach that fits these runs, if it names none."""
    if config.auxiliary.reach is not None:
        return config
    return config.model_copy(update={"auxiliary": config.auxiliary.model_copy(update={"reach": best_reach(runs)})})


def best_reach(runs: Sequence[Trajectory]) -> int:
    """Frames on each side with which the motion of all runs comes nearest to their stored forces, or little short.

    One where a run stores no forces, since nothing else tells one reach from another, and where every step was stored,
    since three frames are exact then.
    """
    if not runs or any(run.forces is None for run in runs):
        return 1
    off: dict[int, float] = {}
    for reach in REACHES:
        try:
            off[reach] = max(_noise(run, reach) for run in runs)
        except FramesError:  # too few frames in a row
            break
    return next((reach for reach in off if off[reach] <= 1.2 * min(off.values())), 1)


def _noise(run: Trajectory, reach: int) -> float:
    """Root mean square over the atoms of the noise of forces from motion, over the force."""
    test = motion_test(run, reach)
    if test.against != STORED_FORCES:
        raise FramesError("too few frames in a row")
    share = {z: test.noise[z] / max(force, 1e-12) for z, force in test.force.items()}
    return float(np.sqrt(np.mean([share[int(z)] ** 2 for z in run.atomic_numbers])))


def choose_task(config: Config, reader: Reader) -> tuple[Config, str]:
    """The configuration with a task that fits the data instead of `auto`, and the reason in words.

    Raises FramesError where frames that are to be labelled have no forces: that may be a mistake, so to take them from
    the motion has to be asked for.
    """
    section = config.data
    for path in (section.path, section.train, section.validation, section.test):
        for run in reader(path, ordered=path == section.path) if path is not None else ():
            if run.forces is None:
                raise FramesError(
                    f"{run.source or path}: no forces in this file; use one that has them, or set auxiliary.task = "
                    "'newton' if its motion is to give them"
                )
    runs = _unlabelled_runs(section, reader)
    if not runs:
        return with_task(config, "none"), "there are no unlabelled frames to learn from"
    config = with_reach(config, runs)
    for run in runs:
        try:
            weight = float(np.mean(atom_weights(run, config.auxiliary.frames_on_each_side)))
        except FramesError as error:
            return with_task(config, "none"), str(error)
        if weight < TRUSTED:
            reason = f"{run.source or 'trajectory'}: the motion does not give the forces well enough"
            return with_task(config, "none"), reason
    return with_task(config, "newton"), "the motion gives the forces of unlabelled frames"


def with_task(config: Config, task: str) -> Config:
    """The configuration with this task, which uses the rest of the training block as `auto` does."""
    section = config.data
    rest = task == "newton" and section.path is not None and section.unlabelled_rest is not False
    auxiliary = config.auxiliary.model_copy(update={"task": task})
    return config.model_copy(
        update={"auxiliary": auxiliary, "data": section.model_copy(update={"unlabelled_rest": rest})}
    )


def _unlabelled_runs(section: DataSection, reader: Reader) -> list[Trajectory]:
    """The runs that have frames beyond those whose labels are used."""
    runs: list[Trajectory] = []
    if section.path is not None and section.unlabelled_rest is not False:
        runs += [run for run in reader(section.path, ordered=True) if _has_rest(section, run)]
    for path in section.unlabelled:
        runs += reader(path, ordered=True)
    return runs


def _has_rest(section: DataSection, run: Trajectory) -> bool:
    """Whether there are frames in the training block beyond those whose labels are used."""
    block = (1.0 - section.validation_fraction - section.test_fraction) * len(run)
    return section.labelled is not None and section.labelled < block
