"""The loop of a worker: one process in the environment of an engine, told by lines of JSON what to do.

Requests: {"do": "steps", "count": n}, {"do": "graph", "count": n}, {"do": "forces", "frames": xyz, "out": npy}.
Each answer is one line of JSON on the descriptor that the environment variable ANSWERS names; the standard output is
left to whatever the engine prints.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.md.verlet import VelocityVerlet

TIME_STEP = 1e-3 * units.fs  # so short that untrained chemistry cannot change the geometry during a run
WARM_UP = 5.0  # seconds at most, unless a few steps take longer


def serve(calculator: Calculator, system: str, graph: Callable[[Atoms], Callable[[], Any]] | None) -> None:
    """Answers requests until the standard input ends.

    `graph` takes the structure and returns a function that evaluates energy and forces of it from a neighbour list
    made beforehand; None where the engine has no such entrance.
    """
    answers = os.fdopen(int(os.environ["ANSWERS"]), "w")
    atoms = ase.io.read(system)
    atoms.calc = calculator
    dynamics = VelocityVerlet(atoms, timestep=TIME_STEP)
    _warm_up(dynamics)
    evaluate = graph(atoms) if graph else None
    if evaluate is not None:
        evaluate()

    def steps(count: int) -> dict[str, float]:
        start = time.perf_counter()
        dynamics.run(count)
        return {"seconds": time.perf_counter() - start}

    def evaluations(count: int) -> dict[str, float | None]:
        if evaluate is None:
            return {"seconds": None}
        start = time.perf_counter()
        for _ in range(count):
            evaluate()
        return {"seconds": time.perf_counter() - start}

    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "forces":
            write_forces(calculator, request["frames"], request["out"])
            answer: dict[str, Any] = {}
        else:
            answer = {"steps": steps, "graph": evaluations}[request["do"]](request["count"])
        print(json.dumps(answer), file=answers, flush=True)


def _warm_up(dynamics: VelocityVerlet) -> None:
    """Compilers of PyTorch specialise again and again during the first steps."""
    since, steps = time.perf_counter(), 0
    while steps < 5 or (steps < 50 and time.perf_counter() - since < WARM_UP):
        dynamics.run(1)
        steps += 1


def write_forces(calculator: Calculator, frames: str, out: str) -> None:
    """Forces [S,N,3] in eV/Å of all frames of an extxyz file, as .npy."""
    found = []
    for frame in ase.io.iread(frames, ":"):
        atoms = Atoms(frame.symbols, positions=frame.positions)
        atoms.calc = calculator
        found.append(atoms.get_forces())
    np.save(Path(out), np.array(found))
