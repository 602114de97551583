"""What the data of a training must have: labels of one kind, every element in training, virials if they count."""

from __future__ import annotations

from pathlib import Path

from ase.data import chemical_symbols

from frames.config import Config
from frames.errors import FramesError
from frames.training.finetune import read_start
from frames.training.roles import TrainingData


def require_one_kind_of_labels(data: TrainingData) -> None:
    """Raises FramesError where files of several roles keep their labels under names that belong to several methods."""
    named = {run.labels_as: Path(run.source).name for run in data.trajectories if run.labels_as}
    if len(named) > 1:
        (one, first), (other, second), *_ = named.items()
        raise FramesError(
            f"the labels of {first} are {one} and what belongs to it, those of {second} {other}: two methods, by their "
            "names. Keep one kind of labels in the files, or name them alike if they are of one method"
        )


def require_trained_elements(data: TrainingData, config: Config, trained: set[int]) -> None:
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


def trained_elements(data: TrainingData, config: Config) -> set[int]:
    """Of the training frames and the model to start from."""
    known = set() if config.model.start is None else set(read_start(config.model.start).spec.elements)
    return known | {int(z) for t in {t for t, _ in data.train} for z in data.trajectories[t].atomic_numbers}


def require_virials(data: TrainingData) -> None:
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
