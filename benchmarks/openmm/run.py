"""What a step costs in OpenMM: one model by every route, beside MACE and NequIP through OpenMM-ML.

`python benchmarks/openmm/run.py [--rounds N]` writes results.json and table.md beside this file. All times are full
steps of a Verlet integrator, on ethanol (9 atoms), aspirin (21) and water (192), the structures of `benchmarks/peers`.
Every route is a process of its own; they take turns, so that whatever else the machine does hits all of them; the table
has medians of the rounds and half the interquartile range. Routes that can use threads show first with how many they
are faster.

MACE and NequIP are the models that `benchmarks/peers` has trained, in its environments with OpenMM and OpenMM-ML added;
what is missing is installed and trained first. It also tells what the bridge costs: a step of FramesForce, less the
engine's own time for one evaluation and a step without any force. Since OpenMM's CPU platform takes more
or less for its own part of a step, as its threads wake up, that is measured on the Reference platform.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import ase.io
import numpy as np
import openmm
import typer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "peers"))  # the same structures, models and processes as there

from catalogue import ENGINES, MODELS  # noqa: E402
from engine import WorkerSession  # noqa: E402
from errors import PeerError  # noqa: E402
from layers import PACKAGES, with_openmm  # noqa: E402
from systems import SYSTEMS, geometry  # noqa: E402
from table import write_table  # noqa: E402
from training import trained  # noqa: E402

from frames.bench import processor  # noqa: E402
from frames.native import NativeModel  # noqa: E402

EMPTY, OURS = "no force", "FramesForce"
PLAIN = "Reference platform"
OWN_ROUTES = (
    OURS,
    "FramesForce, neighbour list in every step",
    "FramesForce, torchscript",
    "TorchForce",
    "TorchForce, outputs forces",
    "PythonForce",
    EMPTY,
)
THREADED = ("TorchForce", "PythonForce", "mace", "nequip")  # enter with one thread or more, as is faster
PEERS = {"MACE 64x0e + 64x1o": "mace_64x0e_64x1o", "NequIP l=1": "nequip_l1_32x4", "NequIP l=2": "nequip_l2_32x4"}
FILES = {"mace": "model.pt", "nequip": "best.ckpt"}
# e3nn 0.4, which MACE needs, keeps its constants in a file that newer PyTorch refuses to read otherwise.
SETTINGS = {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}


@dataclass(frozen=True)
class Route:
    """One row: what the worker is told, and by which interpreter it is run."""

    label: str
    kind: str
    python: Path
    model: Path
    threads: tuple[int, ...] = (1,)  # to try
    platform: str = ""  # of OpenMM, if not the one of the other routes

    def open(self, system: str, platform: str, threads: int) -> WorkerSession:
        logs = HERE / "out"
        logs.mkdir(exist_ok=True)
        log = logs / f"{system}-{self.label.replace(' ', '_').replace(',', '')}-{threads}.log"
        place = self.platform or platform
        command = [self.python, HERE / "worker.py", self.kind, self.model, geometry(system), place, threads]
        return WorkerSession(command, log, threads, **SETTINGS)


@dataclass
class Runner:
    """A route on one system, with the number of threads with which it was faster."""

    route: Route
    threads: int
    steps: int
    session: WorkerSession
    blocks: list[float] = field(default_factory=list)  # ms per step


def main(
    rounds: Annotated[int, typer.Option(help="Turns of every route.")] = 15,
    seconds: Annotated[float, typer.Option(help="Length of a block.")] = 0.4,
    threads: Annotated[int, typer.Option(help="Threads to try beside one.")] = 2,
    platform: Annotated[str, typer.Option(help="Platform of OpenMM.")] = "CPU",
    model: Annotated[Path, typer.Option(help="Our model, with H, C and O.")] = ROOT / "models/ethanol/ethanol.pt",
    systems: Annotated[str, typer.Option(help="Separated by commas.")] = ",".join(SYSTEMS),
    peers: Annotated[bool, typer.Option(help="With MACE and NequIP.")] = True,
    minutes: Annotated[
        float, typer.Option(help="Training of a peer that benchmarks/peers has not trained yet.")
    ] = 12.0,
    output: Annotated[Path, typer.Option(help="Folder for results.json and table.md.")] = HERE,
) -> None:
    """Measures and writes the results."""
    counts = tuple(sorted({1, threads}))
    python, model = Path(sys.executable), model.resolve()
    routes = [Route(kind, kind, python, model, counts if kind in THREADED else (1,)) for kind in OWN_ROUTES]
    if threads > 1:
        routes.insert(1, Route(f"{OURS}, {threads} threads", OURS, python, model, (threads,)))
    # There OpenMM's own part of a step is small, and the cost of the bridge can be told apart.
    routes += [Route(f"{kind}, {PLAIN}", kind, python, model, platform="Reference") for kind in (OURS, EMPTY)]
    failed: dict[str, str] = {}
    for label, name in PEERS.items() if peers else ():
        try:
            routes.append(peer(label, name, minutes, counts))
        except PeerError as error:
            failed[label] = str(error)
    results: dict[str, Any] = {
        "processor": processor(),
        "platform": platform,
        "openmm": openmm.Platform.getOpenMMVersion(),
        "packages_of_peers": PACKAGES,
        "model": model.name,
        "rounds": rounds,
        "load_average": os.getloadavg(),
        "failed": failed,
        "systems": {},
    }
    for system in systems.split(","):
        results["systems"][system] = measure(routes, system, platform, rounds, seconds)
    output.mkdir(parents=True, exist_ok=True)
    (output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    write_table(results, output / "table.md")
    print((output / "table.md").read_text())


def peer(label: str, name: str, minutes: float, threads: tuple[int, ...]) -> Route:
    """A trained model of a peer and the interpreter that runs it in OpenMM. Raises PeerError."""
    entry = next(m for m in MODELS if m.name == name)
    python = with_openmm(entry.engine)
    folder = trained(ENGINES[entry.engine], entry, "l1", minutes, 1).folder
    return Route(label, entry.engine, python, folder / FILES[entry.engine], threads)


def measure(routes: list[Route], system: str, platform: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Every route on one system, in turns, and the engine alone among them."""
    atoms = ase.io.read(geometry(system))
    failed: dict[str, str] = {}
    with ExitStack() as stack:
        runners = []
        for route in routes:
            try:
                runners.append(start(route, system, platform, seconds, stack))
            except PeerError as error:
                failed[route.label] = str(error)
                print(f"   {system}, {route.label}: {error}", flush=True)
        engine = NativeModel(routes[0].model)
        engine.evaluate(atoms.numbers, atoms.positions, np.asarray(atoms.cell), atoms.pbc)
        evaluations: list[float] = []  # µs
        for turn in range(rounds):
            print(f"{system}: round {turn + 1} of {rounds}", end="\r", flush=True)
            first = turn % len(runners)
            for runner in runners[first:] + runners[:first]:
                try:
                    runner.blocks += runner.session.blocks(runner.steps, 1)
                except PeerError as error:
                    failed[runner.route.label] = str(error)
                    runners.remove(runner)
            count = max(5, round(1e6 * seconds / (evaluations[-1] if evaluations else 1e5)))
            evaluations.append(1e6 * float(np.median(engine.time(count))))
        print()
    rows = {
        runner.route.label: {**summary(runner.blocks), "threads": runner.threads, "steps_per_block": runner.steps}
        for runner in runners
    }
    return {
        "atoms": len(atoms),
        "ms_per_step": rows,
        "failed": failed,
        "bridge_us": bridge(runners, evaluations),
    }


def start(route: Route, system: str, platform: str, seconds: float, stack: ExitStack) -> Runner:
    """The route with the number of threads with which it is faster. Raises PeerError."""
    found: list[tuple[float, int]] = []
    sessions = []
    for count in route.threads:
        session = route.open(system, platform, count)
        stack.callback(session.close)
        sessions.append(session)
        steps = int(np.clip(1e3 * seconds / max(session.blocks(3, 2)[-1], 1e-4), 3, 50_000))
        found.append((min(session.blocks(steps, 3)), steps))
    best = min(range(len(sessions)), key=lambda k: found[k][0])
    for k, session in enumerate(sessions):
        if k != best:
            session.close()
    print(f"   {system}, {route.label}, {route.threads[best]} thread(s): {found[best][0]:.3g} ms", flush=True)
    return Runner(route, route.threads[best], found[best][1], sessions[best])


def summary(blocks: list[float]) -> dict[str, float]:
    low, middle, high = np.quantile(blocks, [0.25, 0.5, 0.75])
    return {"median": float(middle), "spread": float(high - low) / 2}


def bridge(runners: list[Runner], evaluations: list[float]) -> dict[str, Any] | None:
    """Microseconds of a step of FramesForce that are neither the engine's nor a step's without any force, on the
    Reference platform with one thread; differences round by round."""
    blocks = {runner.route.label: 1e3 * np.array(runner.blocks) for runner in runners}
    ours, empty = blocks.get(f"{OURS}, {PLAIN}"), blocks.get(f"{EMPTY}, {PLAIN}")
    if ours is None or empty is None:
        return None
    engine = np.array(evaluations)
    return {
        "step": summary(ours.tolist()),
        "engine": summary(evaluations),
        "step_without_force": summary(empty.tolist()),
        "bridge": summary((ours - engine - empty).tolist()),
    }


if __name__ == "__main__":
    typer.run(main)
