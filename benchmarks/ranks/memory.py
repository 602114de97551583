"""Does a long run take more and more memory? Resident memory of LAMMPS over 100,000 steps, 10,000 with TorchScript.

`python benchmarks/ranks/memory.py` writes memory.json beside this file (about five minutes on two cores): ethanol with
the shipped model on one rank; molecules that fly to and fro between two ranks; ethanol through the TorchScript backend.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from ase import Atoms

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUT = HERE / "out" / "memory"
MODEL = ROOT / "models" / "ethanol" / "ethanol.pt"
sys.path.insert(0, str(ROOT / "tests" / "engines"))

from lammps_memory import resident_by_step  # noqa: E402
from lammps_run import deck, write_data  # noqa: E402
from lammps_systems import TYPES, ethanol, heated  # noqa: E402
from rank_study import flying_molecules  # noqa: E402

TORCHSCRIPT = "frames backend torchscript"
LOOKS = 200  # at the memory of each run


@dataclass(frozen=True)
class Case:
    """A run of so many steps."""

    name: str
    steps: int
    atoms: Atoms
    ranks: int = 1
    style: str = "frames backend native"


def cases(scale: float) -> list[Case]:
    return [
        Case("native, ethanol, 1 rank", round(100_000 * scale), heated(ethanol(), 600.0)),
        Case("native, eight molecules, 2 ranks", round(100_000 * scale), flying_molecules(), 2),
        Case("torchscript, ethanol, 1 rank", round(10_000 * scale), heated(ethanol(), 600.0), style=TORCHSCRIPT),
    ]


def main(scale: Annotated[float, typer.Option(help="Part of the steps.")] = 1.0) -> None:
    """Runs the cases and writes memory.json."""
    shutil.rmtree(OUT, ignore_errors=True)
    results: dict[str, Any] = {}
    for number, case in enumerate(cases(scale)):
        print(f"{case.name}: {case.steps} steps", flush=True)
        results[case.name] = measure(case, OUT / str(number))
        print(json.dumps(results[case.name]), flush=True)
    (HERE / "memory.json").write_text(json.dumps(results, indent=1) + "\n")


def measure(case: Case, folder: Path) -> dict[str, Any]:
    """MiB of the rank that has most, after a tenth of the steps and in the last one; the slope between."""
    folder.mkdir(parents=True)
    write_data(folder / "system.data", case.atoms, TYPES)
    commands = (
        f"thermo {max(1, case.steps // LOOKS)}\nthermo_modify flush yes\ntimestep 0.0005\nfix nve all nve\n"
        f"run {case.steps}"
    )
    steps, resident = resident_by_step(
        folder, deck(case.atoms, MODEL, TYPES, style=case.style, commands=commands), case.ranks
    )
    most = resident.max(axis=1)
    late = (steps >= 0.1 * case.steps) & (steps < case.steps)  # at the end LAMMPS gives its memory back
    slope = np.polyfit(steps[late], most[late], 1)[0]
    return {
        "steps": case.steps,
        "ranks": case.ranks,
        "looks": len(steps),
        "mib_after_a_tenth": float(most[late][0]),
        "mib_in_the_last_tenth": float(most[late & (steps >= 0.9 * case.steps)].max()),
        "mib_at_most": float(most.max()),
        "bytes_per_step": float(slope * 2**20),
    }


if __name__ == "__main__":
    typer.run(main)
