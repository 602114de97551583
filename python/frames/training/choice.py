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
from frames.data.known import KnownForces, known_forces
from frames.data.motion import MotionTest, atom_weights, fit_stencil, motion_test
from frames.data.readers import read
from frames.data.timeline import chains
from frames.data.trajectory import Trajectory
from frames.errors import FramesError

TRUSTED = 0.5
"""Mean weight of the atoms from which the motion of a run without stored forces is learnt. The noise that positions
alone tell, here 5 % of the force, is the most that it may be."""
PRECISE = 0.005
"""Noise over the force, against stored forces, with which the motion is learnt. With 2 % a model of ethanol is as far
off as by 100 labels alone, and twice as far as by 300 (docs/study.md)."""

REACHES = (1, 2, 3, 4, 6)
"""Frames on each side of which one is chosen."""
_EXACT = 1e-4  # noise over the force below which nothing is gained by less
_SAMPLE = 300  # frames of each run that tell


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


Unlabelled = tuple[Trajectory, KnownForces | None]
"""A run to learn the motion of, and what tells how good its forces are, if anything does."""


def newton_with_reach(config: Config, reader: Reader) -> Config:
    """A configuration of the task newton with the reach that it names, or else the one that fits the data."""
    section = config.data
    labelled = [
        run
        for path, ordered in ((section.path, True), (section.train, False))
        for run in (reader(path, ordered=ordered) if path is not None else ())
    ]
    bare: list[Unlabelled] = [(run, None) for run in labelled if run.forces is None]  # labelled by their motion
    return with_reach(config, [*bare, *_unlabelled_runs(section, reader)])


def with_reach(config: Config, runs: Sequence[Unlabelled]) -> Config:
    """The configuration with the reach that fits these runs, if it names none."""
    if config.auxiliary.reach is not None:
        return config
    return config.model_copy(update={"auxiliary": config.auxiliary.model_copy(update={"reach": best_reach(runs)})})


def best_reach(runs: Sequence[Unlabelled]) -> int:
    """Frames on each side with which the motion of all runs comes nearest to their known forces, or little short.

    One where nothing tells the forces of a run, and so one reach from another, and where every step was stored, since
    three frames are exact then.
    """
    off: dict[int, float] = {}
    for reach in REACHES:
        if (found := motion_noise(runs, reach)) is None:
            break
        off[reach] = found
    # a longer reach has to pay: it loses frames at the ends of runs
    return next((reach for reach in off if off[reach] <= max(1.2 * min(off.values()), _EXACT)), 1)


def motion_noise(runs: Sequence[Unlabelled], reach: int) -> float | None:
    """Noise of forces from the motion of the worst run, over the force; root mean square over the atoms.

    By known forces, and with weights of the frames that are fitted to a sample of them. None where there are no runs,
    or one has too few frames in a row whose forces are known.
    """
    sampled = []
    for run, known in runs:
        if known is None or not run.ordered:
            return None
        around, _ = known.among(chains(run, range(-reach, reach + 1)))
        if not len(around):
            return None
        few = around[np.unique(np.linspace(0, len(around) - 1, _SAMPLE).astype(int))]
        sampled.append((run, *known.among(few)))
    stencil = fit_stencil(sampled, reach)
    return max((_noise(motion_test(run, reach, stencil, known), run) for run, known in runs), default=None)


def _noise(test: MotionTest, run: Trajectory) -> float:
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
    reach = config.auxiliary.frames_on_each_side
    if (noise := motion_noise(runs, reach)) is not None:
        if noise <= PRECISE:
            because = f"the motion gives the forces of unlabelled frames, {_per_cent(noise)} off"
            return with_task(config, "newton"), because
        because = f"the motion gives forces that are {_per_cent(noise)} off, and at most {100 * PRECISE:g} % is of use"
        if any(run.forces is None for run, _ in runs):
            because += "; by the labels of its frames, so it may also be that of another method"
        return with_task(config, "none"), because
    for run, known in runs:
        try:
            weight = float(np.mean(atom_weights(run, reach, known=known)))
        except FramesError as error:
            return with_task(config, "none"), str(error)
        if weight < TRUSTED:
            reason = f"{run.source or 'trajectory'}: the motion does not give the forces well enough"
            return with_task(config, "none"), reason
    return with_task(config, "newton"), "the motion gives the forces of unlabelled frames"


def _per_cent(share: float) -> str:
    if share < 1e-5:
        return "less than 0.001 %"
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def with_task(config: Config, task: str) -> Config:
    """The configuration with this task, which uses the rest of the training block as `auto` does."""
    section = config.data
    rest = task == "newton" and section.path is not None and section.unlabelled_rest is not False
    auxiliary = config.auxiliary.model_copy(update={"task": task})
    return config.model_copy(
        update={"auxiliary": auxiliary, "data": section.model_copy(update={"unlabelled_rest": rest})}
    )


def _unlabelled_runs(section: DataSection, reader: Reader) -> list[Unlabelled]:
    """The runs that have frames beyond those whose labels are used."""
    path, ordered = (section.path, True) if section.path is not None else (section.train, False)
    labelled = reader(path, ordered=ordered) if path is not None else ()
    runs = []
    if section.path is not None and section.unlabelled_rest is not False:
        runs += [run for run in labelled if _has_rest(section, run)]
    for path in section.unlabelled:
        runs += reader(path, ordered=True)
    return [(run, known_forces(run, labelled)) for run in runs]


def _has_rest(section: DataSection, run: Trajectory) -> bool:
    """Whether there are frames in the training block beyond those whose labels are used."""
    block = (1.0 - section.validation_fraction - section.test_fraction) * len(run)
    return section.labelled is not None and section.labelled < block
