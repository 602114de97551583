"""Untrained models of backbone `cartesian` as files, for tests of what engines do with a model that runs natively."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from lammps_systems import crystal

from frames.artifact import read_model
from frames.export import ModelSpec, Structure, export


def write_native_model(
    path: Path,
    dtype: str = "float64",
    *,
    seed: int = 5,
    cutoff: float = 4.0,
    elements: tuple[int, ...] = (6, 1, 8),
    training: dict[str, Any] | None = None,
) -> Path:
    """Random parameters, forces scaled up to sizes that matter."""
    torch.manual_seed(seed)
    spec = ModelSpec("cartesian", {"channels": 16, "layers": 2}, elements, cutoff)
    potential = spec.build(torch.float64)
    potential.energy_scale.fill_(10.0)
    potential.energy_reference.copy_(torch.tensor([-1030.5, -13.6, -2043.2]))
    atoms = crystal()
    frame = Structure(atoms.numbers, atoms.positions, atoms.cell.array, np.array(atoms.pbc))
    export(potential, spec, path, frame, dtype="float64" if dtype == "float64" else "float32", training=training)
    return path


def write_native_models(folder: Path) -> dict[str, Path]:
    """The same model in both precisions, by dtype."""
    return {dtype: write_native_model(folder / f"{dtype}.pt", dtype) for dtype in ("float32", "float64")}


def rewrite_model(source: Path, path: Path, *, dtype: str = "float64", noise: float = 0.0, seed: int = 0) -> Path:
    """A model file in another precision, or with each parameter changed by a random part of itself."""
    file = read_model(source)
    spec = ModelSpec(
        file.metadata.backbone, file.metadata.backbone_settings, tuple(file.metadata.elements), file.metadata.cutoff
    )
    potential = spec.build(torch.float64)
    own = potential.state_dict()  # the file has scalars as arrays of one number
    potential.load_trained({k: torch.tensor(v).reshape(own[k].shape) for k, v in file.weights.items() if k in own})
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in potential.parameters():
            parameter *= 1.0 + noise * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    frame = file.test_frame
    structure = Structure(frame.atomic_numbers, frame.positions, frame.cell, frame.pbc)
    export(potential, spec, path, structure, dtype="float64" if dtype == "float64" else "float32",
           training=file.metadata.training)  # fmt: skip
    return path
