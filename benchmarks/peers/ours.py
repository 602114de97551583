"""FRAMES itself: `frames train`, `frames export`, then pair_style frames in LAMMPS and the ASE calculator."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from engine import WORKERS, Budget, Model, Route, Session, WorkerSession, call
from environments import OURS, python_of
from lammps_steps import LammpsSession
from systems import CUTOFF, ELEMENTS, geometry, training_frames

_CONFIG = """output = "training"

[data]
train = "{train}"
validation = "{validation}"
test = "{test}"

[model]
backbone = "cartesian"
settings = {{ channels = {channels}, layers = {layers} }}
cutoff = {cutoff}

[auxiliary]
task = "none"  # the frames of rMD17 are in random order: there are no pairs

[training]
steps = 100000000
minutes = {minutes}
clock = "{clock}"
threads = {threads}
validate_every = 500
"""


class Ours:
    environment = OURS

    def train(self, model: Model, loss: str, budget: Budget, threads: int, folder: Path) -> None:
        frames = training_frames()
        config = folder / "config.toml"
        config.write_text(
            _CONFIG.format(
                train=frames.train,
                validation=frames.validation,
                test=frames.test,
                **model.settings,
                cutoff=CUTOFF,
                minutes=budget.minutes,
                clock=budget.clock,
                threads=threads,
            )
        )
        program = [sys.executable, "-c", "from frames.cli import main; main()"]
        call([*program, "train", config], folder / "train.log", threads)
        call([*program, "export", folder / "training" / "best.pt", "-o", _file(folder)], folder / "export.log")

    def forces(self, model: Model, folder: Path, frames: Path) -> np.ndarray:
        session = self._worker(folder, "native", 1, "ethanol")
        try:
            return session.forces(frames, folder / "forces.npy")
        finally:
            session.close()

    def routes(self, model: Model, system: str, threads: int) -> list[Route]:
        found = [Route("LAMMPS step, native backend, 1 thread", "lammps native")]
        if threads > 1:
            found += [
                Route(f"LAMMPS step, native backend, {threads} threads", "lammps native", threads),
                Route(f"LAMMPS step, native backend, {threads} ranks", "lammps native", 1, threads),
            ]
        return [
            *found,
            Route("ASE step, native backend, 1 thread", "ase native"),
            Route(
                f"LAMMPS step, TorchScript backend, {threads} thread{'s' if threads > 1 else ''}",
                "lammps torchscript",
                threads,
            ),
        ]

    def open(self, model: Model, folder: Path, route: Route, system: str) -> Session:
        program, backend = route.kind.split()
        if program == "ase":
            return self._worker(folder, backend, route.threads, system)
        pair = f"pair_style frames backend {backend}\npair_coeff * * {_file(folder)} {' '.join(ELEMENTS)}"
        place = folder / f"{system}-{backend}-{route.threads}-{route.ranks}"
        return LammpsSession(python_of(OURS), pair, system, place, route.threads, route.ranks)

    def _worker(self, folder: Path, backend: str, threads: int, system: str) -> WorkerSession:
        command = [sys.executable, WORKERS / "ours_worker.py", _file(folder), backend, threads, geometry(system)]
        return WorkerSession(command, folder / f"worker-{system}.log", threads)


def _file(folder: Path) -> Path:
    return folder / "model.pt"
