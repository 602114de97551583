"""From a checkpoint to the model file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from frames.artifact import Metadata
from frames.errors import FramesError
from frames.export import Structure, export
from frames.training.checkpoint import averaged_potential, load_checkpoint


def export_checkpoint(
    checkpoint: str | Path, output: str | Path, dtype: Literal["float32", "float64"] = "float32"
) -> Metadata:
    """Writes the averaged parameters of a checkpoint as model file.

    Raises FramesError as the two steps do, and for an output that is the checkpoint.
    """
    if Path(output).resolve() == Path(checkpoint).resolve():
        raise FramesError(f"{output}: is the checkpoint itself, which a model file cannot replace; choose another name")
    loaded = load_checkpoint(checkpoint)
    frame = loaded.frame
    structure = Structure(
        frame["atomic_numbers"].numpy(), frame["positions"].numpy(), frame["cell"].numpy(), frame["pbc"].numpy()
    )
    potential = averaged_potential(loaded, torch.float64)
    return export(potential, loaded.spec, output, structure, dtype=dtype, training=loaded.report)
