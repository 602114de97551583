"""rMD17 ethanol as the files of a training: 950 labelled frames, 50 for validation, 1000 for the test."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from frames.data.readers import hdf5, read
from frames.data.trajectory import Trajectory

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
ROLES = ("train", "validation", "test")


def prepare() -> dict[str, Path]:
    """Writes the files once. The frames are in random order: every twentieth of the 1000 is for validation."""
    files = {role: OUT / f"ethanol_{role}.h5" for role in ROLES}
    if not all(path.exists() for path in files.values()):
        shared = Path(os.environ.get("FRAMES_SHARED_DATA", HERE.parents[2] / "shared" / "data"))
        if not (shared / "rmd17").is_dir():
            sys.exit(f"reference data not found: {shared / 'rmd17'} (set FRAMES_SHARED_DATA to its parent folder)")
        OUT.mkdir(exist_ok=True)
        known, test = (_one(shared / "rmd17" / f"ethanol_{name}.xyz") for name in ("train", "test"))
        twentieth = np.arange(len(known)) % 20 == 10
        for role, run in (("train", known[~twentieth]), ("validation", known[twentieth]), ("test", test)):
            hdf5.write(files[role], [run], overwrite=True)
    return files


def _one(path: Path) -> Trajectory:
    (run,) = read(path)
    return run
