"""MACE in ASE: TorchScript, torch.compile and eager, the fastest of which enters the table.

Its LAMMPS interfaces need a LAMMPS built from patched sources or with KOKKOS, which no package on PyPI has.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from engine import WORKERS, Budget, Model, Route, Session, WorkerSession, call
from environments import python_of
from systems import geometry, training_frames

# e3nn 0.4, which MACE needs, keeps its constants in a file that newer PyTorch refuses to read otherwise.
_SETTINGS = {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}


class Mace:
    environment = "mace"

    def train(self, model: Model, loss: str, budget: Budget, threads: int, folder: Path) -> None:
        frames = training_frames()
        settings = {
            **model.settings,
            "train": str(frames.train),
            "validation": str(frames.validation),
            "minutes": budget.minutes,
            "clock": budget.clock,
            "loss": loss,
            "batch": 5,
            "learning_rate": 0.01,
            "out": str(folder / "model.pt"),
            "report": str(folder / "report.json"),
        }
        (folder / "settings.json").write_text(json.dumps(settings, indent=1))
        python = python_of("mace")
        call([python, WORKERS / "mace_train.py", folder / "settings.json"], folder / "train.log", threads, **_SETTINGS)

    def forces(self, model: Model, folder: Path, frames: Path) -> np.ndarray:
        session = self._worker(folder, "eager", 1, "ethanol")
        try:
            return session.forces(frames, folder / "forces.npy")
        finally:
            session.close()

    def routes(self, model: Model, system: str, threads: int) -> list[Route]:
        names = {"torchscript": "TorchScript", "compile": "torch.compile", "eager": "eager"}
        return [
            Route(f"ASE step, {names[kind]}, {n} thread{'s' if n > 1 else ''}", kind, n)
            for kind in names
            for n in sorted({1, threads})
        ]

    def open(self, model: Model, folder: Path, route: Route, system: str) -> Session:
        return self._worker(folder, route.kind, route.threads, system)

    def _worker(self, folder: Path, kind: str, threads: int, system: str) -> WorkerSession:
        command = [python_of("mace"), WORKERS / "mace_worker.py", folder / "model.pt", kind, threads, geometry(system)]
        return WorkerSession(command, folder / f"worker-{system}-{kind}-{threads}.log", threads, **_SETTINGS)
