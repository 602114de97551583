"""The main job from end to end: trajectory → training → model file → LAMMPS and OpenMM, with a report.

Run by `make demo`. What it makes is in demo/out; the trajectory is kept in demo/cache.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from plots import plot_energy, plot_forces
from rich.console import Console
from rich.table import Table

from engines import LABELS, lammps_nve, lammps_parity, openmm_nve, openmm_parity
from frames.ase import FramesCalculator
from frames.config import load_config
from frames.data.trajectory import Trajectory

HERE = Path(__file__).resolve().parent
CACHE, OUT = HERE / "cache", HERE / "out"
BIN = Path(sys.executable).parent
console = Console(width=110)
Report = dict[str, Any]


def frames(*arguments: str | Path) -> None:
    """Runs a `frames` command as a user would, and shows it."""
    shown = [str(Path(a).relative_to(HERE.parent)) if Path(a).is_absolute() else str(a) for a in arguments]
    console.print(f"\n[bold]$ frames {' '.join(shown)}")
    done = subprocess.run([BIN / "frames", *map(str, arguments)], check=False)
    if done.returncode != 0:
        sys.exit(f"demo: `frames {shown[0]}` failed with status {done.returncode}")


def main() -> None:
    start = time.perf_counter()
    seconds: dict[str, float] = {"setup": _setup_seconds()}
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    CACHE.mkdir(exist_ok=True)

    data = CACHE / "ethanol.h5"
    with _timed(seconds, "data"):
        frames(
            *("data", "generate", "--molecule", "ethanol", "--method", "GFN2-xTB", "--steps", "6000"),
            *("--dt", "0.5", "--temperature", "500", "--seed", "0", "-o", data),
        )
        frames("data", "inspect", data)
    with _timed(seconds, "train"):
        frames("train", HERE / "ethanol.toml")
    best = OUT / "training" / "best.pt"
    model, model64 = OUT / "ethanol.pt", OUT / "ethanol_float64.pt"
    frames("export", best, "-o", model)
    frames("export", best, "-o", model64, "--dtype", "float64")
    frames("check", model)

    report = evaluate(best, model, model64)
    seconds["total"] = time.perf_counter() - start + seconds["setup"]
    report["seconds"] = {key: round(value, 1) for key, value in seconds.items()}
    (OUT / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    show(report)


def evaluate(best: Path, model: Path, model64: Path) -> Report:
    """Errors on the last block, parity of the engines on frames of it, and NVE in each engine."""
    from frames.training.checkpoint import load_checkpoint
    from frames.training.dataset import load_training_data

    errors = load_checkpoint(best).report["test"]
    held_out = load_training_data(load_config(HERE / "ethanol.toml")[0])
    trajectory = held_out.trajectories[0]
    last = np.array([frame for _, frame in held_out.test])
    sample = last[np.linspace(0, len(last) - 1, 50).astype(int)]
    predicted = ase_answers(model, trajectory, sample)
    plot_forces(trajectory.forces[sample], predicted[1], OUT / "forces.png")

    console.print("\n[bold]ASE, LAMMPS and OpenMM on the same 50 frames, then 1 ps of NVE in LAMMPS and in OpenMM")
    parity = parity_of(model, trajectory, sample, predicted)
    parity64 = parity_of(model64, trajectory, sample, ase_answers(model64, trajectory, sample))
    runs = {
        "lammps": lammps_nve(model, trajectory, int(last[0]), OUT / "lammps", steps=2000, dt=0.5),
        "openmm_torchforce": openmm_nve(model, trajectory, int(last[0]), steps=2000, dt=0.5),
    }
    plot_energy(runs, OUT / "energy.png")
    return {
        "test": {
            "force_mae_mev_per_angstrom": errors["force_mae_mev_per_angstrom"],
            "energy_mae_mev": errors["energy_mae_mev"],
        },
        "parity": parity,
        "parity_float64": parity64,
        "nve": {
            name: {"drift_mev_per_atom_per_ps": run.drift(trajectory.atoms), "ms_per_step": run.ms_per_step}
            for name, run in runs.items()
        },
        "reference": {
            "method": trajectory.metadata["method"],
            "ms_per_step": float(trajectory.metadata["ms_per_step"]),
        },
    }


def ase_answers(model: Path, trajectory: Trajectory, sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energies [S] in eV and forces [S,N,3] in eV/Å from ASE: the reference of the parity test."""
    from ase import Atoms

    calculator = FramesCalculator(model, backend="torchscript")
    energies, forces = [], []
    for i in sample:
        atoms = Atoms(trajectory.atomic_numbers, trajectory.positions[i], calculator=calculator)
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
    return np.array(energies), np.array(forces)


def parity_of(
    model: Path, trajectory: Trajectory, sample: np.ndarray, expected: tuple[np.ndarray, np.ndarray]
) -> Report:
    """Largest difference of energies and forces between each engine and ASE."""
    answers = {
        "lammps": lammps_parity(model, trajectory, sample, OUT / "lammps"),
        "openmm_torchforce": openmm_parity(model, trajectory, sample),
    }
    return {
        name: {
            "energy_ev": float(np.abs(energies - expected[0]).max()),
            "force_ev_per_angstrom": float(np.abs(forces - expected[1]).max()),
        }
        for name, (energies, forces) in answers.items()
    }


def show(report: Report) -> None:
    test, seconds = report["test"], report["seconds"]
    table = Table(title="FRAMES demo: ethanol, GFN2-xTB", show_header=False)
    table.add_row("force MAE, later block never seen in training", f"{test['force_mae_mev_per_angstrom']:.1f} meV/Å")
    table.add_row("energy MAE, the same block", f"{test['energy_mae_mev']:.2f} meV")
    for name, label in LABELS.items():
        one, two = report["parity"][name], report["parity_float64"][name]
        table.add_section()
        table.add_row(f"{label} − ASE, float32", f"{one['energy_ev']:.1e} eV, {one['force_ev_per_angstrom']:.1e} eV/Å")
        table.add_row(f"{label} − ASE, float64", f"{two['energy_ev']:.1e} eV, {two['force_ev_per_angstrom']:.1e} eV/Å")
        nve = report["nve"][name]
        table.add_row(f"{label} NVE energy drift", f"{nve['drift_mev_per_atom_per_ps']:+.3f} meV/atom/ps")
        table.add_row(f"{label} speed", _speed(nve["ms_per_step"]))
    table.add_section()
    reference = report["reference"]
    table.add_row(f"{reference['method']} speed", _speed(reference["ms_per_step"]))
    table.add_row("time", ", ".join(f"{key} {value:.0f} s" for key, value in seconds.items()))
    console.print(table)
    console.print(f"report.json, learning curve, force and energy plots: {OUT.relative_to(HERE.parent)}")


def _speed(ms_per_step: float, dt: float = 0.5) -> str:
    return f"{ms_per_step:.3f} ms/step, {dt * 1e-6 * 86400e3 / ms_per_step:.1f} ns/day at {dt} fs"


def _setup_seconds() -> float:
    """What tools/setup.sh needed when it made this environment; 0 if it was there already for this run."""
    note = Path(sys.prefix) / ".setup_seconds"
    if not note.exists():
        return 0.0
    taken = float(note.read_text())
    note.unlink()
    return taken


class _timed:
    def __init__(self, seconds: dict[str, float], key: str) -> None:
        self.seconds, self.key = seconds, key

    def __enter__(self) -> None:
        self.start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds[self.key] = time.perf_counter() - self.start


if __name__ == "__main__":
    main()
