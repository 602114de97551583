"""Memory of a run does not grow; `benchmarks/ranks/memory.py` is the long form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

pytest.importorskip("torch")

from lammps_memory import resident_by_step
from lammps_run import deck, require_lammps, write_data
from lammps_systems import TYPES, ethanol, heated
from rank_study import flying_molecules

MODEL = Path(__file__).resolve().parents[2] / "models" / "ethanol" / "ethanol.pt"
GROWTH = 1.0  # MiB between the middle and the end: a leak of a few hundred bytes per step


@pytest.fixture(scope="module", autouse=True)
def lammps() -> None:
    require_lammps()


@pytest.mark.parametrize(
    ("atoms", "backend", "ranks", "steps", "thermo"),
    [
        (heated(ethanol(), 600), "native", 1, 6000, 100),
        (flying_molecules(), "native", 2, 500, 10),
        (heated(ethanol(), 600), "torchscript", 1, 1000, 20),
    ],
)
def test_memory_is_flat(tmp_path: Path, atoms: Atoms, backend: str, ranks: int, steps: int, thermo: int) -> None:
    """Hot atoms and a thin skin: neighbour lists, graphs and exchanges are made anew all the time."""
    commands = (
        f"neighbor 0.3 bin\nneigh_modify delay 0 every 1\nthermo {thermo}\nthermo_modify flush yes\n"
        f"timestep 0.0002\nfix nve all nve\nrun {steps}"
    )
    write_data(tmp_path / "system.data", atoms, TYPES)
    text = deck(atoms, MODEL, TYPES, style=f"frames backend {backend}", commands=commands)
    seen, resident = resident_by_step(tmp_path, text, ranks)
    assert len(seen) > 10
    most = np.nanmax(resident, axis=1)
    assert most[seen >= 0.75 * steps].max() - most[(seen >= 0.25 * steps) & (seen < 0.5 * steps)].max() < GROWTH
