"""DeePMD-kit: se_e2_a in float32, trained by `dp train`, frozen, compressed, run by its own pair style in LAMMPS."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
from engine import WORKERS, Budget, Model, Route, Session, call
from environments import python_of
from lammps_steps import LammpsSession
from systems import CUTOFF, ELEMENTS, training_frames

# Neighbours of each element within the cutoff that the descriptor holds, for H, C and O. Padding costs training time,
# so the model whose error is reported has room for ethanol only; aspirin and water are timed with a model of the same
# networks, trained for a moment, that has room for a liquid.
SEL = {"ethanol": [6, 2, 2], "dense": [72, 24, 40]}
SHORT = 200  # steps of the latter, and of the run that measures the time of a step


class Deepmd:
    environment = "deepmd"

    def train(self, model: Model, loss: str, budget: Budget, threads: int, folder: Path) -> None:
        frames = training_frames()
        for role in ("train", "validation"):
            self._worker("frames", getattr(frames, role), folder / role, log=folder / f"{role}.log")
        timed = self._fit(model, "ethanol", SHORT, threads, folder / "timing", folder)
        steps = max(SHORT, int(60 * budget.minutes / timed))
        self._fit(model, "ethanol", steps, threads, folder / "ethanol", folder)
        self._fit(model, "dense", SHORT, threads, folder / "dense", folder)

    def forces(self, model: Model, folder: Path, frames: Path) -> np.ndarray:
        out = folder / "forces.npy"
        self._worker("forces", folder / "ethanol" / "compressed.pb", frames, out, log=folder / "forces.log")
        return np.load(out)

    def routes(self, model: Model, system: str, threads: int) -> list[Route]:
        found = [Route("LAMMPS step, compressed, 1 thread", "lammps")]
        if threads > 1:
            found += [
                Route(f"LAMMPS step, compressed, {threads} threads", "lammps", threads),
                Route(f"LAMMPS step, compressed, {threads} ranks", "lammps", 1, threads),
            ]
        return found

    def open(self, model: Model, folder: Path, route: Route, system: str) -> Session:
        room = "ethanol" if system == "ethanol" else "dense"
        pair = f"pair_style deepmd {folder / room / 'compressed.pb'}\npair_coeff * * {' '.join(ELEMENTS)}"
        place = folder / f"{system}-{route.threads}-{route.ranks}"
        settings = _threads(route.threads)
        return LammpsSession(python_of("deepmd"), pair, system, place, route.threads, route.ranks, **settings)

    def _fit(self, model: Model, room: str, steps: int, threads: int, place: Path, data: Path) -> float:
        """Trains, freezes and compresses; returns seconds per training step, start-up left out."""
        place.mkdir(parents=True, exist_ok=True)
        (place / "input.json").write_text(json.dumps(_input(model, SEL[room], steps, data), indent=1))
        dp = python_of("deepmd").with_name("dp")
        settings = _threads(threads)
        start = time.monotonic()
        log = call([dp, "train", "input.json", "--skip-neighbor-stat"], place / "train.log", threads, **settings)
        call([dp, "freeze", "-o", "frozen.pb"], place / "freeze.log", threads, **settings)
        compress = [dp, "compress", "-i", "frozen.pb", "-o", "compressed.pb", "-t", "input.json"]
        call(compress, place / "compress.log", threads, **settings)
        average = re.search(r"average training time: (\S+) s/batch", log)
        return float(average[1]) if average else (time.monotonic() - start) / steps

    def _worker(self, *arguments: Any, log: Path) -> None:
        call([python_of("deepmd"), WORKERS / "deepmd_worker.py", *arguments], log, 2, **_threads(2))


def _threads(count: int) -> dict[str, str]:
    return {
        "DP_INTRA_OP_PARALLELISM_THREADS": str(count),
        "DP_INTER_OP_PARALLELISM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "DP_INTERFACE_PREC": "high",
    }


def _input(model: Model, sel: list[int], steps: int, data: Path) -> dict[str, Any]:
    # `dp train` saves only at steps that it displays, so the last one must be one of them
    display = max(1, min(1000, steps // 10))
    steps = steps // display * display
    return {
        "model": {
            "type_map": list(ELEMENTS),
            "descriptor": {
                "type": "se_e2_a",
                "sel": sel,
                "rcut": CUTOFF,
                "rcut_smth": 0.5,
                "neuron": model.settings["descriptor"],
                "axis_neuron": model.settings["axis"],
                "precision": "float32",
                "seed": 1,
            },
            "fitting_net": {"neuron": model.settings["fitting"], "precision": "float32", "seed": 1},
        },
        "learning_rate": {"type": "exp", "start_lr": 1e-3, "stop_lr": 3.5e-8, "decay_steps": max(1, steps // 200)},
        "loss": {
            "start_pref_e": 0.02,
            "limit_pref_e": 1,
            "start_pref_f": 1000,
            "limit_pref_f": 1,
        },
        "training": {
            "training_data": {"systems": [str(data / "train")], "batch_size": 5},
            "validation_data": {"systems": [str(data / "validation")], "batch_size": 50},
            "numb_steps": steps,
            "seed": 1,
            "disp_file": "lcurve.out",
            "disp_freq": display,
            "save_freq": steps,
        },
    }
