"""Runs without labels that count: their chains, and how far the forces of their motion can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols

from frames.config import Config
from frames.data.known import KnownForces, known_forces
from frames.data.motion import atom_weights, fit_stencil
from frames.data.trajectory import Floats, Trajectory
from frames.errors import FramesError
from frames.training.auxiliary.base import Need
from frames.training.auxiliary.tasks import TASKS
from frames.training.held_out import away_from, gap_in, held_out_too
from frames.training.roles import TrainingData, chains_of, evenly
from frames.training.same_method import require_same_method

STENCIL_SAMPLE = 300  # unlabelled frames whose stored forces tell a stencil, where labels do not


def add_unlabelled(
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
        held = held_out_too(data, run)
        gap = gap_in(data, run, config.data.gap)
        data.trajectories.append(run)
        away = away_from(sorted(held), run, gap)
        if held:
            data.split += (
                f", {len(run) - len(away)} unlabelled frames left out within {gap} frames of {len(held)} that "
                "validation or test hold too"
            )
        if need is not None and TASKS[config.auxiliary.task].make.unlabelled:
            data.unlabelled += chains_of(t, run, need, away, config.training.seed).values()


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


def weigh_motion(data: TrainingData, reach: int) -> None:
    """Sets the stencil and the weights with which the motion of unlabelled frames is learnt.

    Raises FramesError for a run whose motion gives no forces.
    """
    data.stencil = _stencil(data, reach)
    for t in sorted({chain[0][0] for chain in data.unlabelled}):
        data.motion_weights[t] = atom_weights(data.trajectories[t], reach, data.stencil, data.matched.get(t))


def _stencil(data: TrainingData, reach: int) -> Floats | None:
    """Fitted to the labels of frames whose neighbours in time are there, or else to forces that unlabelled runs store.

    None if there are too few of both.
    """
    labelled = [data.chains[frame] for frame in sorted(data.chains)]
    labelled += [chain for chain in data.unlabelled if chain[0][0] in data.matched]
    for chains in (labelled, evenly(data.unlabelled, STENCIL_SAMPLE)):
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
