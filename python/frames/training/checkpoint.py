"""Checkpoints: everything that a training run needs to go on bit for bit, in one file without code."""

from __future__ import annotations

import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from frames.errors import FramesError
from frames.export import ModelSpec
from frames.files import write_atomically
from frames.nn.potential import Potential

FORMAT = "frames-checkpoint"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """One state of a training run. Tensors are on the CPU."""

    spec: ModelSpec
    model: dict[str, Tensor]  # parameters as the optimizer sees them
    averaged: dict[str, Tensor]  # the moving average: what is validated and exported
    config: dict[str, Any]  # the TOML table
    step: int
    seconds: float  # training time so far
    state: dict[str, Any]  # optimizer, moving average, auxiliary task, best error, losses, data
    report: dict[str, Any]  # data, split, errors: goes into the model file
    frame: dict[str, Tensor]  # a frame of the validation set, stored in the model file as test frame


def save_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint atomically: after a kill or on a full disk the previous one still loads."""
    spec = checkpoint.spec
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "spec": {
            "backbone": spec.backbone,
            "settings": spec.settings,
            "elements": list(spec.elements),
            "cutoff": spec.cutoff,
        },
        "model": checkpoint.model,
        "averaged": checkpoint.averaged,
        "config": checkpoint.config,
        "step": checkpoint.step,
        "seconds": checkpoint.seconds,
        "state": checkpoint.state,
        "report": checkpoint.report,
        "frame": checkpoint.frame,
    }
    write_atomically(path, lambda temporary: torch.save(content, temporary))


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Reads a checkpoint with `weights_only=True`: nothing in it is executed.

    Raises FramesError if the file is missing, damaged, or no checkpoint of this format version.
    """
    path = Path(path)
    if not path.is_file():
        raise FramesError(
            f"{path}: no such checkpoint; `frames train` writes best.pt and last.pt into its output folder"
        )
    if is_torchscript(path):  # of which torch.load warns, and advises what nobody should do
        raise FramesError(
            f"{path}: a TorchScript file, no checkpoint of `frames train`; a model file is used as it is, unexported"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # torch's message advises to run what is in the file
        raise FramesError(f"{path}: not a readable checkpoint of `frames train`") from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).split("\n", 1)[0]
        raise FramesError(f"{path}: not a readable checkpoint of `frames train` ({reason})") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise FramesError(f"{path}: not a checkpoint of `frames train`, which writes best.pt and last.pt")
    if content.get("format_version") != FORMAT_VERSION:
        raise FramesError(
            f"{path}: checkpoint version {content.get('format_version')}, this package reads {FORMAT_VERSION}; "
            "use the frames-md that wrote it"
        )
    given = content["spec"]
    spec = ModelSpec(given["backbone"], given["settings"], tuple(given["elements"]), given["cutoff"])
    fields = ("model", "averaged", "config", "step", "seconds", "state", "report", "frame")
    return Checkpoint(spec, **{name: content[name] for name in fields})


def is_torchscript(path: Path) -> bool:
    """Whether a file is an archive of TorchScript, as model files are."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def averaged_potential(checkpoint: Checkpoint, dtype: torch.dtype = torch.float32) -> Potential:
    """The potential with the averaged parameters of a checkpoint."""
    potential = checkpoint.spec.build(dtype)
    potential.load_trained(checkpoint.averaged)
    return potential.eval()
