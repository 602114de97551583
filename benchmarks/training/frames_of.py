"""The files of a training: rMD17 ethanol, 3BPA with its tests at 300 and 600 K, ethanol and aspirin of MD17, and
dynamics of each by GFN2-xTB."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase import Atoms

from frames.data.generate import Settings, generate
from frames.data.readers import hdf5, read
from frames.data.trajectory import Trajectory

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
KELVIN, SEEDS = (500.0, 500.0, 700.0, 700.0), (11, 12, 13, 14)
"""Of the runs of GFN2-xTB: warmer than what is learnt afterwards, so that its edges are known too."""


def prepare() -> dict[str, Path]:
    """rMD17 ethanol, 950, 50 and 1000 frames in random order: every twentieth of the 1000 is for validation."""
    return _once("ethanol", 20, {"known": "rmd17/ethanol_train.xyz", "test": "rmd17/ethanol_test.xyz"})


def prepare_3bpa() -> dict[str, Path]:
    """3BPA, 450 and 50 frames at 300 K, and the published tests: 1669 frames at 300 K, 2138 at 600 K."""
    names = {"known": "3bpa/train_300K.xyz", "test": "3bpa/test_300K.npz", "600K": "3bpa/test_600K.npz"}
    return _once("3bpa", 10, names)


def prepare_aspirin() -> dict[str, Path]:
    """MD17 aspirin as the study has it: 642 and 50 random frames, 300 others that no frame of those resembles."""
    return _of_study("md17_aspirin")


def prepare_md17_ethanol() -> dict[str, Path]:
    """MD17 ethanol as the study has it: 947 and 50 random frames, 1,993 others, without duplicates."""
    return _of_study("md17_ethanol")


def prepare_xtb(molecule: str) -> Path:
    """GFN2-xTB dynamics of ethanol, 3bpa or md17_aspirin, each run from other velocities, in one file; what was made is
    kept."""
    path = OUT / f"xtb_{molecule}.h5"
    if path.exists():
        return path
    OUT.mkdir(exist_ok=True)
    if molecule == "ethanol":
        runs = [Settings("ethanol", steps=20_000, temperature_k=t, seed=s) for t, s in zip(KELVIN, SEEDS, strict=True)]
    else:
        known = _one({"3bpa": prepare_3bpa, "md17_aspirin": prepare_aspirin}[molecule]()["train"])
        start = OUT / f"{molecule}.xyz"
        Atoms(known.atomic_numbers, known.positions[0]).write(start)
        runs = [
            Settings(str(start), steps=5_000, time_step_fs=1.0, temperature_k=t, seed=s)
            for t, s in zip(KELVIN, SEEDS, strict=True)
        ]
    parts = [OUT / f"xtb_{molecule}_{settings.seed}.h5" for settings in runs]
    for settings, part in zip(runs, parts, strict=True):
        generate(settings, part)
    hdf5.write(path, [run for part in parts for run in read(part)])
    return path


def _of_study(name: str) -> dict[str, Path]:
    study = HERE.parent / "study"
    if failed := subprocess.run([sys.executable, study / "prepare.py", name], check=False).returncode:
        sys.exit(failed)  # it has said why
    return {role: study / "out" / "data" / f"{name}_{role}.h5" for role in ("train", "validation", "test")}


def _once(name: str, every: int, sources: dict[str, str]) -> dict[str, Path]:
    """Writes the files unless they are there. `known` becomes training and, every so many frames, validation."""
    tests = [role for role in sources if role != "known"]
    files = {role: OUT / f"{name}_{role}.h5" for role in ("train", "validation", *tests)}
    if not all(path.exists() for path in files.values()):
        shared = Path(os.environ.get("FRAMES_SHARED_DATA", HERE.parents[2] / "shared" / "data"))
        for source in sources.values():
            if not (shared / source).exists():
                sys.exit(f"reference data not found: {shared / source} (set FRAMES_SHARED_DATA to its folder `data`)")
        OUT.mkdir(exist_ok=True)
        runs = {role: _one(shared / source) for role, source in sources.items()}
        known = runs.pop("known")
        held_out = np.arange(len(known)) % every == every // 2
        for role, run in {"train": known[~held_out], "validation": known[held_out], **runs}.items():
            hdf5.write(files[role], [run], overwrite=True)
    return files


def _one(path: Path) -> Trajectory:
    (run,) = read(path)
    return run
