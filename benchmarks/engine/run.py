"""The native engine in LAMMPS: cost per atom, threads, ranks, memory, and conservation of energy over 100 ps.

`python benchmarks/engine/run.py [--rounds N] [--model FILE]` writes results.json and cost.png beside this file. All
times are full LAMMPS steps, taken in turns; medians of the rounds and half the interquartile range.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import ase.io
import numpy as np
import typer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "peers"))  # the same box of water and the same deck as there

from lammps_steps import LammpsSession, deck, write_data  # noqa: E402
from systems import geometry  # noqa: E402

from frames.bench import processor  # noqa: E402

BIN = Path(sys.executable).parent
OUT = HERE / "out"
REPEATS = {1: 192, 2: 1536, 4: 12_288, 8: 98_304}  # copies of the box along each axis: atoms
PARALLEL = 2  # copies along each axis of the box for threads and ranks: 1,536 atoms
BLOCK_SECONDS = 2.0
NVE_STEPS, NVE_STEP, NVE_EVERY = 200_000, 0.5, 200  # 100 ps; fs; steps between stored energies


@dataclass
class Case:
    """One size of the box with so many threads and ranks."""

    copies: int
    threads: int = 1
    ranks: int = 1

    @property
    def name(self) -> str:
        return f"{REPEATS[self.copies]} atoms, {self.threads} thread(s), {self.ranks} rank(s)"


class Replicated(LammpsSession):
    """LAMMPS with the box repeated."""

    def __init__(self, pair: str, case: Case, out: Path = OUT) -> None:
        folder = out / case.name.replace(" ", "_").replace(",", "")
        pair = f"replicate {case.copies} {case.copies} {case.copies}\n{pair}"
        super().__init__(Path(sys.executable), pair, "water", folder, case.threads, case.ranks)


def main(
    rounds: Annotated[int, typer.Option(help="Turns of every case.")] = 7,
    model: Annotated[Path, typer.Option(help="Model file with H, C and O.")] = ROOT / "models/ethanol/ethanol.pt",
) -> None:
    """Measures and writes results.json and cost.png."""
    pair = f"pair_style frames backend native\npair_coeff * * {model.resolve()} H C O"
    cases = [Case(n) for n in REPEATS] + [Case(PARALLEL, threads=2), Case(PARALLEL, ranks=2)]
    sessions = {case.name: Replicated(pair, case) for case in cases}
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for turn in range(rounds):
        print(f"round {turn + 1} of {rounds}", flush=True)
        for case in cases:
            steps = max(10, round(BLOCK_SECONDS / (3e-5 * REPEATS[case.copies])))
            times[case.name] += sessions[case.name].blocks(steps, 1)
    results = summary(cases, times)
    results["memory_bytes_per_atom"] = memory_per_atom(model)
    results["nve"] = nve(model)
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    plot(results)
    print(json.dumps(results, indent=1))


def summary(cases: list[Case], times: dict[str, list[float]]) -> dict[str, Any]:
    """Medians, and ratios of blocks of the same round."""
    rows = {}
    for case in cases:
        low, middle, high = np.quantile(times[case.name], [0.25, 0.5, 0.75])
        rows[case.name] = {
            "ms_per_step": float(middle),
            "ms_per_step_spread": float(high - low) / 2,
            "us_per_atom": 1e3 * float(middle) / REPEATS[case.copies],
        }
    first = np.array(times[Case(1).name]) / REPEATS[1]
    one = np.array(times[Case(PARALLEL).name])
    return {
        "processor": processor(),
        "steps": rows,
        "cost_per_atom_over_192_atoms": {
            str(atoms): float(np.median(np.array(times[Case(n).name]) / atoms / first)) for n, atoms in REPEATS.items()
        },
        "speed_up_on_1536_atoms": {
            "2 threads": float(np.median(one / np.array(times[Case(PARALLEL, threads=2).name]))),
            "2 ranks": float(np.median(one / np.array(times[Case(PARALLEL, ranks=2).name]))),
        },
    }


def memory_per_atom(model: Path) -> float:
    """Bytes of an evaluation of the box of 1,536 atoms, the graph included, without the model."""
    from frames.inference import find_edges
    from frames.native import NativeModel

    atoms = ase.io.read(geometry("water")).repeat(PARALLEL)
    engine = NativeModel(model)
    edges, vectors = find_edges(atoms.positions, np.asarray(atoms.cell), atoms.pbc, engine.metadata.cutoff)
    engine.evaluate_edges(atoms.numbers, edges, vectors)
    graph = edges[1].size * 4 + vectors.size * 8 + len(atoms) * 12  # neighbours, vectors, offsets and species
    gradients = vectors.size * 8
    return (engine.profile(1).workspace_bytes + graph + gradients) / len(atoms)


def nve(model: Path) -> dict[str, Any]:
    """Slope of the total energy of ethanol at 300 K in 100 ps, steps of 0.5 fs, float32."""
    from frames.bench import load_sample

    folder = OUT / "nve"
    folder.mkdir(parents=True, exist_ok=True)
    sample = load_sample(model, None)
    atoms = ase.Atoms(sample.atomic_numbers, sample.positions)
    write_data(folder / "system.data", atoms)
    commands = [
        "velocity all create 300 1 mom yes rot yes",
        f"timestep {NVE_STEP * 1e-3}",
        "neigh_modify every 1 delay 0 check yes",
        f"thermo {NVE_EVERY}",
        "thermo_style custom step etotal temp",
        'thermo_modify format 2 "%.12f"',
        f"run {NVE_STEPS}",
    ]
    (folder / "in.nve").write_text(deck(atoms, f"pair_style frames\npair_coeff * * {model.resolve()} H C O", commands))
    command = [BIN / "lmp", "-in", "in.nve", "-log", "none", "-nocite"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    found = re.findall(r"^ +(\d+) +(-\d+\.\d{12}) +(\S+)", done.stdout, re.MULTILINE)
    rows = np.array([[float(x) for x in row] for row in found])
    assert len(rows) == NVE_STEPS // NVE_EVERY + 1, done.stdout[-2000:]
    times, energies = rows[:, 0] * NVE_STEP * 1e-3, 1e3 * rows[:, 1] / len(atoms)
    (slope, _), covariance = np.polyfit(times, energies, 1, cov=True)
    return {
        "ps": NVE_STEPS * NVE_STEP * 1e-3,
        "drift_mev_per_atom_per_ps": float(slope),
        "standard_error": float(np.sqrt(covariance[0, 0])),
        "fluctuation_mev_per_atom": float(np.std(energies)),
        "mean_temperature": float(rows[:, 2].mean()),
    }


def plot(results: dict[str, Any]) -> None:
    """Cost per atom against the size of the box."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
    rows = [results["steps"][Case(n).name] for n in REPEATS]
    cost = [row["us_per_atom"] for row in rows]
    error = [row["ms_per_step_spread"] * 1e3 / atoms for row, atoms in zip(rows, REPEATS.values(), strict=True)]
    axes.errorbar(list(REPEATS.values()), cost, yerr=error, marker="o", capsize=3, label="LAMMPS step, 1 thread")
    axes.axhspan(cost[0], 1.2 * cost[0], color="0.9", label="20 % above 192 atoms")
    axes.set(xscale="log", ylim=(0, None), xlabel="atoms of water", ylabel="µs per atom and step")
    axes.legend()
    figure.savefig(HERE / "cost.png", dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    typer.run(main)
