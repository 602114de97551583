"""What the benchmark asks of an engine: train a model, predict forces, and open sessions that take MD steps."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from errors import PeerError, last_lines

WORKERS = Path(__file__).resolve().parent / "workers"


@dataclass(frozen=True)
class Model:
    """One row of the table. `losses` are trained each, and the better one on validation is kept."""

    name: str
    engine: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    losses: tuple[str, ...] = ("default",)


@dataclass(frozen=True)
class Budget:
    """How long to train: wall time, or CPU time of the steps, which goes on while others are let through."""

    minutes: float
    clock: Literal["wall", "cpu"] = "wall"


@dataclass(frozen=True)
class Route:
    """One way to run a model: what the table calls it, and what the engine needs to open it."""

    label: str
    kind: str
    threads: int = 1
    ranks: int = 1


class Session(Protocol):
    """A model and a system, ready to take steps; may hold a process."""

    def blocks(self, steps: int, repeats: int) -> list[float]:
        """ms per step of each of `repeats` blocks of about that many MD steps. Raises PeerError."""

    def graph(self, count: int) -> float | None:
        """Seconds of that many evaluations without neighbour list and integrator; None where there is no such way."""

    def close(self) -> None: ...


class Engine(Protocol):
    """A peer, or ours. Every method raises PeerError with the reason."""

    environment: str

    def train(self, model: Model, loss: str, budget: Budget, threads: int, folder: Path) -> None:
        """Trains for that time and leaves in the folder whatever the other methods need."""

    def forces(self, model: Model, folder: Path, frames: Path) -> np.ndarray:
        """Predicted forces [S,N,3] in eV/Å."""

    def routes(self, model: Model, system: str, threads: int) -> list[Route]:
        """All ways worth trying for this system."""

    def open(self, model: Model, folder: Path, route: Route, system: str) -> Session:
        """Opens one of them."""


def environment_variables(threads: int, folder: Path, **more: str) -> dict[str, str]:
    """Of a process that shall use so many threads and work in a folder.

    What torch.compile makes is kept there too: every training starts without it, and no other PyTorch's is found.
    """
    numbers = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    own = {"CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore", "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor")}
    return {**os.environ, **numbers, **own, **more}


def call(command: list[Any], log: Path, threads: int = 1, cwd: Path | None = None, **more: str) -> str:
    """Runs a program to its end with its output in a log file, and returns the output. Raises PeerError."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd or log.parent,
            env=environment_variables(threads, log.parent, **more),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    text = log.read_text(errors="replace")
    if done.returncode:
        raise PeerError(f"{Path(command[0]).name} {command[1]} {ending(done.returncode)}: {last_lines(text)}")
    return text


def ending(status: int) -> str:
    """How a program ended, from its exit status; LAMMPS under mpiexec reports signals as 128 + number."""
    number = -status if status < 0 else status - 128
    return f"was stopped by signal {number}" if number > 0 else f"failed with exit status {status}"


class WorkerSession:
    """A process of `workers/` that keeps a model in ASE and answers requests."""

    def __init__(self, command: list[Any], log: Path, threads: int, **environment: str) -> None:
        """Starts the worker and waits until it has taken its first steps. Raises PeerError."""
        self._log = log
        reading, writing = os.pipe()
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                env=environment_variables(threads, log.parent, ANSWERS=str(writing), **environment),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(writing,),
                text=True,
            )
        os.close(writing)
        self._answers = os.fdopen(reading)
        self._answer()

    def blocks(self, steps: int, repeats: int) -> list[float]:
        return [1e3 * self._ask(do="steps", count=steps)["seconds"] / steps for _ in range(repeats)]

    def graph(self, count: int) -> float | None:
        return self._ask(do="graph", count=count)["seconds"]

    def forces(self, frames: Path, out: Path) -> np.ndarray:
        """Forces [S,N,3] in eV/Å of all frames of an extxyz file."""
        self._ask(do="forces", frames=str(frames), out=str(out))
        return np.load(out)

    def close(self) -> None:
        self._process.stdin.close()
        self._answers.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, **request: Any) -> dict[str, Any]:
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise PeerError(self._obituary()) from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise PeerError(self._obituary())
        return json.loads(line)

    def _obituary(self) -> str:
        return f"the worker {ending(self._process.wait())}: {last_lines(self._log.read_text(errors='replace'))}"
