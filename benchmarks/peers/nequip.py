"""NequIP and Allegro: trained by `nequip-train`, compiled by `nequip-compile` (AOTInductor), run in ASE.

Their pair styles for LAMMPS have to be built into LAMMPS from sources that no package on PyPI has. TorchScript is
offered by nequip for PyTorch before 2.10 only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from engine import WORKERS, Budget, Model, Route, Session, WorkerSession, call
from environments import python_of
from errors import PeerError
from systems import CUTOFF, ELEMENTS, geometry, training_frames


class Nequip:
    environment = "nequip"

    def train(self, model: Model, loss: str, budget: Budget, threads: int, folder: Path) -> None:
        # Hydra reads YAML, of which JSON is a part
        (folder / "config.yaml").write_text(json.dumps(_config(model, loss, budget, folder), indent=1))
        python = python_of("nequip")
        command = [python.with_name("nequip-train"), "-cp", folder, "-cn", "config", f"hydra.run.dir={folder}/hydra"]
        call(command, folder / "train.log", threads, PYTHONPATH=str(WORKERS))
        if not (folder / "best.ckpt").is_file():
            raise PeerError("nequip-train ended without a checkpoint: give it more minutes")

    def forces(self, model: Model, folder: Path, frames: Path) -> np.ndarray:
        session = self._worker(folder, "aotinductor", 1, "ethanol")
        try:
            return session.forces(frames, folder / "forces.npy")
        finally:
            session.close()

    def routes(self, model: Model, system: str, threads: int) -> list[Route]:
        names = {"aotinductor": "AOTInductor", "eager": "eager"}
        return [
            Route(f"ASE step, {names[kind]}, {n} thread{'s' if n > 1 else ''}", kind, n)
            for kind in names
            for n in sorted({1, threads})
        ]

    def open(self, model: Model, folder: Path, route: Route, system: str) -> Session:
        return self._worker(folder, route.kind, route.threads, system)

    def _worker(self, folder: Path, kind: str, threads: int, system: str) -> WorkerSession:
        file = _compile(folder, threads) if kind == "aotinductor" else folder / "best.ckpt"
        command = [python_of("nequip"), WORKERS / "nequip_worker.py", file, kind, threads, geometry(system)]
        return WorkerSession(command, folder / f"worker-{system}-{kind}-{threads}.log", threads)


def _compile(folder: Path, threads: int) -> Path:
    """Compiles the trained model once for each number of threads, which is compiled in."""
    file = folder / f"threads{threads}.nequip.pt2"
    if not file.is_file():
        target = ["--mode", "aotinductor", "--device", "cpu", "--target", "ase"]
        compiler = [python_of("nequip").with_name("nequip-compile"), folder / "best.ckpt", file, *target]
        call(compiler, folder / f"compile-{threads}.log", threads, PYTHONPATH=str(WORKERS))
    return file


def _config(model: Model, loss: str, budget: Budget, folder: Path) -> dict[str, Any]:
    timing = {"seconds": round(60 * budget.minutes), "clock": budget.clock}
    monitor = "val0_epoch/forces"
    return {
        "run": ["train"],
        "data": _data(),
        "trainer": {
            "_target_": "lightning.Trainer",
            "accelerator": "cpu",
            "max_epochs": -1,
            "check_val_every_n_epoch": 1,
            "min_epochs": 1,  # or a very short training would leave no checkpoint
            "enable_progress_bar": False,
            "logger": False,
            "gradient_clip_val": 10.0,
            "callbacks": [
                {"_target_": "ending.EndInTime", **timing},
                {
                    "_target_": "lightning.pytorch.callbacks.ModelCheckpoint",
                    "dirpath": str(folder),
                    "filename": "best",
                    "monitor": monitor,
                    "enable_version_counter": False,
                    # during validation the averaged weights have changed places with the current ones
                    "save_on_train_epoch_end": True,
                },
            ],
        },
        "training_module": {
            "_target_": "nequip.train.EMALightningModule",
            "ema_decay": 0.999,
            "loss": _loss(loss),
            "val_metrics": {
                "_target_": "nequip.train.MetricsManager",
                "metrics": [
                    {"name": "forces", "field": "forces", "metric": {"_target_": "nequip.train.MeanAbsoluteError"}}
                ],
            },
            "optimizer": {"_target_": "torch.optim.Adam", "lr": model.settings["learning_rate"], "amsgrad": True},
            "lr_scheduler": {
                "scheduler": {"_target_": "schedule.CosineInTime", **timing},
                "interval": "step",
                "frequency": 1,
            },
            "model": _model(model),
        },
    }


def _data() -> dict[str, Any]:
    frames = training_frames()
    loader = {"_target_": "torch.utils.data.DataLoader"}
    return {
        "_target_": "nequip.data.datamodule.ASEDataModule",
        "seed": 0,
        "train_file_path": str(frames.train),
        "val_file_path": str(frames.validation),
        "transforms": [
            {"_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper", "model_type_names": list(ELEMENTS)},
            {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": CUTOFF},
        ],
        "train_dataloader": {**loader, "batch_size": 5, "shuffle": True},
        "val_dataloader": {**loader, "batch_size": 25},
        "stats_manager": {
            "_target_": "nequip.data.CommonDataStatisticsManager",
            "type_names": list(ELEMENTS),
            "dataloader_kwargs": {"batch_size": 50},
        },
    }


def _loss(name: str) -> dict[str, Any]:
    metric = {"mse": "nequip.train.MeanSquaredError", "l1": "nequip.train.MeanAbsoluteError"}[name]
    energy = {"_target_": "nequip.data.PerAtomModifier", "field": "total_energy"}
    return {
        "_target_": "nequip.train.MetricsManager",
        "metrics": [
            {"name": "energy", "field": energy, "coeff": 1.0, "metric": {"_target_": metric}},
            {"name": "forces", "field": "forces", "coeff": 1.0, "metric": {"_target_": metric}},
        ],
    }


def _model(model: Model) -> dict[str, Any]:
    return {
        **model.settings["model"],
        "seed": 0,
        "model_dtype": "float32",
        "type_names": list(ELEMENTS),
        "r_max": CUTOFF,
        "avg_num_neighbors": "${training_data_stats:num_neighbors_mean}",
        "per_type_energy_shifts": "${training_data_stats:per_atom_energy_mean}",
        "per_type_energy_scales": "${training_data_stats:forces_rms}",
    }
