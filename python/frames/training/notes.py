"""What somebody should know of the data before a training: what has no effect, what counts little, what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase.data import chemical_symbols

from frames.config import Config
from frames.errors import FramesError
from frames.training.auxiliary.tasks import TASKS
from frames.training.roles import TrainingData


def notes_on(data: TrainingData, config: Config) -> list[str]:
    """Says which data have no effect on the model, how much the motion of each element counts, and which labels lack.

    Raises FramesError for an element of which no training frame has forces that can be used.
    """
    notes: list[str] = []
    task, section = config.auxiliary.task, config.data
    trained = sorted({t for t, _ in data.train})
    runs = [data.trajectories[t] for t in trained]
    wanted = (section.labelled or 0) * (1 if section.path is None else len(trained))
    if len(data.train) < wanted:
        where = "" if wanted == section.labelled else f" of each of {len(trained)} trajectories"
        notes.append(
            f"data.labelled asks for {section.labelled} frames{where}, the training frames are {len(data.train)} in all"
        )
    if (section.unlabelled or section.unlabelled_rest) and not (task != "none" and TASKS[task].make.unlabelled):
        notes.append(f"unlabelled frames are not used by the task {task}")
    if config.training.virial_weight == 0 and any(run.virials is not None for run in runs):
        notes.append("virials of the data are not learnt, training.virial_weight is 0")
    if task != "newton":
        return notes
    if (reach := config.auxiliary.frames_on_each_side) > 1:
        how = ", with weights fitted to known forces" if data.stencil is not None else ""
        notes.append(f"the motion is differentiated over {reach} frames on each side{how}")
    bare = [Path(data.trajectories[t].source).name or "a run" for t in trained if t in data.force_weights]
    if bare and any(run.energies is not None for run in runs):
        notes.append(f"no energies are learnt, {bare[0]} has none")
    known = {int(z) for t in trained if t not in data.force_weights for z in data.trajectories[t].atomic_numbers}
    weights: dict[int, list[float]] = {}
    of_motion = {**{t: data.force_weights[t] for t in trained if t in data.force_weights}, **data.motion_weights}
    for t, each in sorted(of_motion.items()):
        run = data.trajectories[t]
        for z in np.unique(run.atomic_numbers).tolist():
            weights.setdefault(z, []).append(float(each[run.atomic_numbers == z][0]))
    if weights:
        mean = {chemical_symbols[z]: float(np.mean(found)) for z, found in sorted(weights.items())}
        notes.append("weights of forces from motion: " + ", ".join(f"{z} {w:.2g}" for z, w in mean.items()))
    lost = [chemical_symbols[z] for z, found in weights.items() if max(found) == 0 and z not in known]
    if bare and lost:
        raise FramesError(
            f"{bare[0]}: its motion gives no forces of {', '.join(lost)}, and no other training frame has any; the "
            "model would not know them. More digits, smaller time steps, or a longer auxiliary.reach may help; or add "
            "frames with forces"
        )
    return notes
