"""Weak and strong scaling of pair_style frames over MPI ranks: time per step, and bytes exchanged against theory.

`python benchmarks/ranks/scaling.py [--rounds N]` writes scaling.json, scaling.md and scaling.png beside this file.
Cases are timed in turns while there is a core for each rank; with more ranks only bytes are counted, which do not
depend on the machine. What has been measured is kept in out/scaling.json: the command goes on where it was stopped,
and `--fresh` starts anew.

From the cost of an atom, the cost of an exchanged byte and the counted bytes it estimates steps of 10⁶ and 10⁹ atoms on
nodes that nobody has measured; the assumptions are in `ASSUMED` and in the table.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import ase.io
import numpy as np
import typer
from estimate import ASSUMED, estimates
from scaling_report import plot, table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUT = HERE / "out"
sys.path.insert(0, str(HERE.parent / "peers"))  # the same box of water and the same deck as there
sys.path.insert(0, str(ROOT / "tests" / "engines"))

from lammps_run import PATIENT_MPI, PROGRAMS, read_thermo  # noqa: E402
from lammps_steps import deck, write_data  # noqa: E402
from systems import geometry  # noqa: E402

from frames.artifact import read_metadata  # noqa: E402
from frames.bench import processor  # noqa: E402

BOX = 192  # atoms of water
SKIN = 1.0  # Å, as the deck says
CORES = len(os.sched_getaffinity(0))
SECONDS = 3.0  # of a timed block, about
COST = 2.5e-5  # s per atom and step, about


@dataclass(frozen=True)
class Case:
    """A box of water, repeated along each axis, on so many ranks."""

    kind: str  # "weak" or "strong"
    copies: tuple[int, int, int]
    ranks: int
    messages: bool = False  # instead of memory that the ranks of a machine share

    @property
    def atoms(self) -> int:
        return BOX * int(np.prod(self.copies))

    @property
    def name(self) -> str:
        return f"{self.kind}, {self.atoms} atoms, {self.ranks} rank(s){', messages' if self.messages else ''}"


CASES = [
    # 1,536 and 12,288 atoms per rank; then always 12,288, and 1,536
    *(Case("weak", copies, ranks) for copies, ranks in
      [((2, 2, 2), 1), ((4, 2, 2), 2), ((4, 4, 2), 4), ((4, 4, 4), 8), ((4, 4, 4), 1), ((8, 4, 4), 2)]),
    Case("weak", (4, 2, 2), 2, messages=True),
    Case("weak", (8, 4, 4), 2, messages=True),
    *(Case("strong", (4, 4, 4), ranks) for ranks in (2, 4, 8)),
    *(Case("strong", (2, 2, 2), ranks) for ranks in (2, 4, 8)),
]  # fmt: skip


def main(
    rounds: Annotated[int, typer.Option(help="Turns of every timed case.")] = 7,
    model: Annotated[Path, typer.Option(help="Model file with H, C and O.")] = ROOT / "models/ethanol/ethanol.pt",
    cores: Annotated[int, typer.Option(help="Cores that are free: cases with more ranks are not timed.")] = len(
        os.sched_getaffinity(0)
    ),
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what has been measured.")] = False,
) -> None:
    """Measures what is missing and writes the results."""
    store = OUT / "scaling.json"
    measured: dict[str, dict[str, Any]] = {}
    if store.exists() and not fresh:
        measured = json.loads(store.read_text())
    for turn in range(rounds):
        for case in CASES:
            timed = case.ranks <= cores
            have = measured.setdefault(case.name, {"ms": []})
            if len(have["ms"]) > turn or ("rows" in have and not timed):
                continue
            print(f"round {turn + 1} of {rounds}: {case.name}", flush=True)
            found = run(case, model.resolve(), timed)
            times = found.pop("ms")
            have["ms"] += times if timed else []
            have.update(found)
            OUT.mkdir(exist_ok=True)
            store.write_text(json.dumps(measured, indent=1) + "\n")
    results = summary(measured, model, cores)
    (HERE / "scaling.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "scaling.md").write_text(table(results))
    plot(results, HERE / "scaling.png")
    print(table(results))


def run(case: Case, model: Path, timed: bool) -> dict[str, Any]:
    """One run: ms per step, the grid of ranks, and what one step exchanged."""
    folder = OUT / "scaling" / re.sub(r"\W+", "_", case.name)
    folder.mkdir(parents=True, exist_ok=True)
    write_data(folder / "system.data", ase.io.read(geometry("water")))
    steps = max(10, round(SECONDS * case.ranks / (COST * case.atoms), -1)) if timed else 10
    pair = (
        f"replicate {' '.join(map(str, case.copies))}\npair_style frames backend native\npair_coeff * * {model} H C O"
    )
    counters = "compute sent all pair frames\nthermo_style custom step pe vol c_sent[1] c_sent[2] c_sent[3]"
    commands = [
        counters,
        "thermo_modify format float %.15g",
        f"run {int(steps) // 5 // 10 * 10 + 10}",
        f"run {int(steps)}",
    ]
    (folder / "in.steps").write_text(deck(ase.io.read(geometry("water")), pair, commands))
    launcher = [PROGRAMS / "mpiexec", "-n", str(case.ranks)] if case.ranks > 1 else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "FRAMES_SHARED_MEMORY": "off" if case.messages else "on"}
    if not timed:
        environment |= PATIENT_MPI
    done = subprocess.run(
        [*launcher, PROGRAMS / "lmp", "-in", "in.steps", "-log", "none", "-nocite"],
        cwd=folder, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    times = re.findall(r"Loop time of (\S+) on \d+ procs for (\d+) steps", done.stdout)
    grid = re.findall(r"(\d+) by (\d+) by (\d+) MPI processor grid", done.stdout)[-1]  # of the replicated box
    thermo = {name: values[-1] for name, values in read_thermo(done.stdout).items()}
    exchanges = re.findall(r"(\d+) times a step", done.stdout)
    return {
        "ms": [1e3 * float(times[-1][0]) / int(times[-1][1])],
        "grid": [int(n) for n in grid],
        "volume": thermo["Volume"],
        "rows": thermo["c_sent[1]"] / case.ranks,
        "bytes": thermo["c_sent[2]"] / case.ranks,
        "message_bytes": thermo["c_sent[3]"] / case.ranks,
        "exchanges": int(exchanges[-1]) if exchanges else 0,
    }


def theory(case: Case, grid: list[int], volume: float, cutoff: float, channels: int, layers: int) -> dict[str, float]:
    """Per rank: atoms of other ranks within cutoff and skin of its part of the box, and bytes of their features.

    Density × (Π min(a + 2s, L) − Π a) for a part of edges a in a box of edges L: where the shell would reach around the
    box, what it meets are images of atoms that are already there.
    """
    edge = (volume / np.prod(case.copies)) ** (1 / 3)
    box = edge * np.array(case.copies)
    part = box / np.array(grid)
    shell = np.minimum(part + 2 * (cutoff + SKIN), box)
    rows = case.atoms / volume * float(np.prod(shell) - np.prod(part))
    return {"expected_rows": rows, "expected_bytes": rows * 9 * channels * 4 * 2 * layers}


def summary(measured: dict[str, dict[str, Any]], model: Path, cores: int) -> dict[str, Any]:
    """Medians, efficiencies of the same round, and bytes beside theory."""
    metadata = read_metadata(model)
    channels, layers = int(metadata.backbone_settings["channels"]), int(metadata.backbone_settings["layers"])
    rows = []
    for case in CASES:
        found = measured[case.name]
        row: dict[str, Any] = {
            "case": case.name, "kind": case.kind, "atoms": case.atoms, "ranks": case.ranks, "messages": case.messages,
            "grid": found["grid"], "rows": found["rows"], "bytes": found["bytes"], "exchanges": found["exchanges"],
            "message_bytes": found["message_bytes"],
            **theory(case, found["grid"], found["volume"], metadata.cutoff, channels, layers),
        }  # fmt: skip
        if found["ms"]:
            low, middle, high = np.quantile(found["ms"], [0.25, 0.5, 0.75])
            row |= {"ms": float(middle), "ms_spread": float(high - low) / 2, "us_per_atom": 1e3 * middle / case.atoms}
            row["efficiency"] = efficiency(case, measured)
        rows.append(row)
    return {
        "processor": processor(), "cores": cores, "cutoff": metadata.cutoff, "channels": channels, "layers": layers,
        "rows": rows, "assumed": ASSUMED,
        "estimates": estimates(rows, metadata.cutoff + SKIN, channels, layers),
    }  # fmt: skip


def efficiency(case: Case, measured: dict[str, dict[str, Any]]) -> float | None:
    """Against one rank in the same round: with as many atoms per rank (weak), or in all (strong)."""
    atoms = case.atoms if case.kind == "strong" else case.atoms // case.ranks
    single = next(c for c in CASES if c.ranks == 1 and c.atoms == atoms)
    one, many = np.array(measured[single.name]["ms"]), np.array(measured[case.name]["ms"])
    if min(len(one), len(many)) == 0:
        return None
    turns = min(len(one), len(many))
    factor = case.ranks if case.kind == "strong" else 1
    return float(np.median(one[:turns] / (factor * many[:turns])))


if __name__ == "__main__":
    typer.run(main)
