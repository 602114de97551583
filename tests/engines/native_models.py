"""Untrained models of backbone `cartesian`, which the native engine evaluates, as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from lammps_systems import crystal

from frames.export import ModelSpec, Structure, export


def write_native_models(folder: Path) -> dict[str, Path]:
    """One model of C, H and O in both precisions, by dtype; its forces are scaled up to sizes that matter."""
    torch.manual_seed(5)
    spec = ModelSpec("cartesian", {"channels": 16, "layers": 2}, (6, 1, 8), 4.0)
    potential = spec.build(torch.float64)
    potential.energy_scale.fill_(10.0)
    potential.energy_reference.copy_(torch.tensor([-1030.5, -13.6, -2043.2]))
    atoms = crystal()
    frame = Structure(atoms.numbers, atoms.positions, atoms.cell.array, np.array(atoms.pbc))
    for dtype in ("float32", "float64"):
        export(potential, spec, folder / f"{dtype}.pt", frame, dtype=dtype)
    return {dtype: folder / f"{dtype}.pt" for dtype in ("float32", "float64")}
