"""One model in OpenMM by every route: FramesForce, TorchForce, and a Python callback as OpenMM-ML makes one.

`python benchmarks/openmm/run.py [--rounds N] [--model FILE]` writes results.json beside this file. All times are full
steps of a Verlet integrator, taken in turns; medians of the rounds and half the interquartile range. For the smallest
system it also tells what the bridge costs: a step of FramesForce, less the engine's own time for one evaluation, and of
that the part that OpenMM takes for a step without any force.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import ase.io
import numpy as np
import openmm
import torch  # before openmm, which then finds the plug-in of TorchForce
import typer
from openmm import unit

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "peers"))  # the same structures as there

from systems import SYSTEMS, geometry  # noqa: E402

from frames.errors import FramesError  # noqa: E402
from frames.inference import TorchScriptModel  # noqa: E402
from frames.native import NativeModel  # noqa: E402
from frames.openmm import FramesForce, torch_force  # noqa: E402

STEP = 0.2 * unit.femtosecond
WARM_UP = 20  # steps
EMPTY = "no force"


@dataclass
class Runner:
    """One route on one system."""

    context: Any
    steps: int = 1  # of a block
    blocks: list[float] = field(default_factory=list)  # ms per step

    def run(self) -> float:
        """Milliseconds per step of one block. The energy is asked for, so that nothing is left to be done."""
        started = time.perf_counter()
        self.context.getIntegrator().step(self.steps)
        self.context.getState(energy=True)
        return 1e3 * (time.perf_counter() - started) / self.steps


def python_force(model: Path, atoms: ase.Atoms) -> Any:
    """A Python callback around the TorchScript program, which OpenMM calls in every step."""
    loaded = TorchScriptModel(model)
    periodic = bool(atoms.pbc.any())
    per_nm = unit.kilojoule_per_mole / unit.nanometer

    def compute(state: Any) -> tuple[Any, Any]:
        positions = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
        cell = state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.angstrom) if periodic else None
        found = loaded.evaluate(atoms.numbers, positions, cell, periodic)
        ev = (1 * unit.ev * unit.AVOGADRO_CONSTANT_NA).value_in_unit(unit.kilojoule_per_mole)
        return found.energy * ev * unit.kilojoule_per_mole, found.forces * (10 * ev) * per_nm

    force = openmm.PythonForce(compute)
    force.setUsesPeriodicBoundaryConditions(periodic)
    return force


ROUTES: dict[str, Callable[[Path, ase.Atoms], Any]] = {
    "FramesForce": lambda model, atoms: FramesForce(model, atoms.numbers, periodic=bool(atoms.pbc.any())),
    "FramesForce, torchscript": lambda model, atoms: FramesForce(
        model, atoms.numbers, periodic=bool(atoms.pbc.any()), backend="torchscript"
    ),
    "TorchForce": lambda model, atoms: torch_force(model, atoms.numbers, periodic=bool(atoms.pbc.any())),
    "PythonForce": python_force,
    EMPTY: lambda model, atoms: None,
}


def main(
    rounds: Annotated[int, typer.Option(help="Turns of every route.")] = 15,
    seconds: Annotated[float, typer.Option(help="Length of a block.")] = 0.4,
    platform: Annotated[str, typer.Option(help="Platform of OpenMM.")] = "CPU",
    model: Annotated[Path, typer.Option(help="Model file with H, C and O.")] = ROOT / "models/ethanol/ethanol.pt",
    systems: Annotated[str, typer.Option(help="Separated by commas.")] = ",".join(SYSTEMS),
    output: Annotated[Path, typer.Option(help="File for the results.")] = HERE / "results.json",
) -> None:
    """Measures on one thread and writes the results."""
    torch.set_num_threads(1)
    results: dict[str, Any] = {"platform": platform, "openmm": openmm.Platform.getOpenMMVersion(), "systems": {}}
    for name in systems.split(","):
        atoms = ase.io.read(geometry(name))
        results["systems"][name] = measure(model, atoms, platform, rounds, seconds, name)
    output.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


def measure(model: Path, atoms: ase.Atoms, platform: str, rounds: int, seconds: float, name: str) -> dict[str, Any]:
    """Every route on one system, in turns."""
    runners: dict[str, Runner] = {}
    failed: dict[str, str] = {}
    for route, make in ROUTES.items():
        try:
            runners[route] = start(make(model, atoms), atoms, platform, seconds)
        except (FramesError, openmm.OpenMMException) as error:
            failed[route] = str(error)
    for turn in range(rounds):
        print(f"{name}: round {turn + 1} of {rounds}", flush=True)
        for runner in runners.values():
            runner.blocks.append(runner.run())
    rows = {route: summary(runner.blocks) for route, runner in runners.items()}
    result: dict[str, Any] = {"atoms": len(atoms), "ms_per_step": rows, "failed": failed}
    if "FramesForce" in rows:
        result["bridge_us"] = bridge(model, atoms, rows, rounds)
    return result


def start(force: Any, atoms: ase.Atoms, platform: str, seconds: float) -> Runner:
    """A Context that has made some steps, and the number of steps that take about so long."""
    system = openmm.System()
    for mass in atoms.get_masses():
        system.addParticle(mass)
    if atoms.pbc.any():
        system.setDefaultPeriodicBoxVectors(*(np.asarray(atoms.cell) * 0.1))
    if force is not None:
        system.addForce(force)
    properties = {"Threads": "1"} if platform == "CPU" else {}
    chosen = openmm.Platform.getPlatformByName(platform)
    context = openmm.Context(system, openmm.VerletIntegrator(STEP), chosen, properties)
    context.setPositions(atoms.positions * 0.1)
    context.setVelocitiesToTemperature(300, 1)
    runner = Runner(context, WARM_UP)
    runner.run()
    runner.steps = max(3, round(1e3 * seconds / runner.run()))
    return runner


def summary(blocks: list[float]) -> dict[str, float]:
    low, middle, high = np.quantile(blocks, [0.25, 0.5, 0.75])
    return {"median": float(middle), "spread": float(high - low) / 2}


def bridge(model: Path, atoms: ase.Atoms, rows: dict[str, Any], rounds: int) -> dict[str, float]:
    """Microseconds of a step of FramesForce that are not the engine's."""
    engine = NativeModel(model)
    engine.evaluate(atoms.numbers, atoms.positions, np.asarray(atoms.cell), atoms.pbc)
    evaluation = 1e6 * float(np.median(engine.time(max(50, 20 * rounds))))
    step = 1e3 * rows["FramesForce"]["median"]
    empty = 1e3 * rows[EMPTY]["median"]
    return {
        "step": step,
        "engine": evaluation,
        "step_without_force": empty,
        "step_less_engine": step - evaluation,
        "step_less_engine_and_empty_step": step - evaluation - empty,
    }


if __name__ == "__main__":
    typer.run(main)
