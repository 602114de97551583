"""The TorchScript backend on a GPU against the processor; skipped where there is none."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from lammps_run import require_lammps, run_lammps
from lammps_systems import STRUCTURES, TYPES, crystal, heated, slab

from frames.ase import FramesCalculator

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA device here")


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda make: make.__name__)
def test_ase(native_models: dict[str, Path], structure) -> None:  # type: ignore[no-untyped-def]
    found = []
    for device in ("cpu", "cuda"):
        atoms = structure()
        atoms.calc = FramesCalculator(native_models["float64"], device=device, backend="torchscript")
        found.append((atoms.get_potential_energy(), atoms.get_forces(), atoms.get_potential_energies()))
    for one, two in zip(*found, strict=True):
        assert two == pytest.approx(one, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("make", [crystal, slab])
def test_lammps_dynamics(tmp_path: Path, native_models: dict[str, Path], make, ranks: int) -> None:  # type: ignore[no-untyped-def]
    """Pairs stay on the device between list builds, of which some happen on the way; ranks without atoms do not ask."""
    require_lammps()
    atoms, commands = heated(make(), 600.0), "timestep 0.0005\nfix nve all nve\nrun 200"
    runs = {}
    for device in ("cpu", "cuda"):
        style = f"frames backend torchscript device {device}"
        folder = tmp_path / device
        runs[device] = run_lammps(folder, atoms, native_models["float64"], TYPES, ranks, style=style, commands=commands)
    assert re.search(r"torchscript \(PyTorch [^,]+, cuda:0", runs["cuda"].output)
    assert np.abs(runs["cuda"].forces - runs["cpu"].forces).max() < 1e-6
    assert np.abs(runs["cuda"].positions - runs["cpu"].positions).max() < 1e-8
    for column in ("PotEng", "Press", "Pxy"):
        assert runs["cuda"].thermo[column] == pytest.approx(runs["cpu"].thermo[column], rel=1e-7, abs=1e-6)


def test_lammps_in_single_precision(tmp_path: Path, native_models: dict[str, Path]) -> None:
    require_lammps()
    runs = [
        run_lammps(tmp_path / device, crystal(), native_models["float32"], TYPES, style=f"frames {options}")
        for device, options in (("cpu", "backend native"), ("cuda", "backend torchscript device cuda"))
    ]
    scale = np.abs(runs[0].forces).max()
    assert np.abs(runs[1].forces - runs[0].forces).max() < 1e-4 * scale
