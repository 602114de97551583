"""Files of trajectories. `read` chooses the reader by the name and content of the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np

from frames.data.periodic import unwrap
from frames.data.readers.options import ReadOptions, check_file
from frames.data.timeline import TIME_TOLERANCE, in_pieces, looks_shuffled, time_step
from frames.data.trajectory import Trajectory
from frames.errors import FramesError

_BY_SUFFIX = {
    ".npz": "npz",
    ".db": "iso17",
    ".dcd": "mdtraj_files",
    ".xtc": "mdtraj_files",
    ".trr": "mdtraj_files",
    ".nc": "mdtraj_files",
}


def read(
    path: str | Path,
    *,
    units: str | None = None,
    topology: str | Path | None = None,
    time_step: float | None = None,
) -> list[Trajectory]:
    """Read a file or folder of trajectories; one for each composition in it.

    Args:
        path: MD17, rMD17 or AIMD .npz; extended XYZ and everything else that ASE reads; the project's .h5; a
            DeePMD folder; an ISO17 database (.db); .dcd, .xtc, .trr, .nc or MDTraj's .h5 (positions only).
        units: energy unit of the file ("kcal/mol"), or energy and length ("Hartree,bohr"), where the one that
            its format implies is wrong. What was assumed is in the notes of the trajectory.
        topology: file with the elements, for .dcd, .xtc and .trr.
        time_step: fs between stored frames, for files of consecutive frames that do not say so.

    Returns:
        Trajectories in Å, eV and fs; ordered periodic ones unwrapped.

    Raises:
        FramesError: for missing, foreign, damaged and truncated files, and for values that cannot be right.
    """
    path = Path(path)
    if time_step is not None and not (np.isfinite(time_step) and time_step > 0):
        raise FramesError(f"the time step must be a positive number of fs, got {time_step}")
    options = ReadOptions(units, None if topology is None else Path(topology), time_step)
    name = _reader_name(path)
    if topology is not None and name != "mdtraj_files":
        raise FramesError(f"{path}: a topology belongs to .dcd, .xtc, .trr and .nc files")
    reader: Callable[[Path, ReadOptions], list[Trajectory]] = import_module(f"{__name__}.{name}").read
    try:
        trajectories = reader(path, options)
    except (ValueError, TypeError, KeyError, IndexError, MemoryError) as error:
        # what the readers check has its own message; damage has more forms than that
        raise FramesError(f"{path}: damaged, or not what its name says ({type(error).__name__}: {error})") from error
    if not any(len(trajectory) for trajectory in trajectories):
        raise FramesError(f"{path}: holds no frames")
    timed = [in_pieces(_with_time_step(trajectory, time_step)) for trajectory in trajectories]
    return [unwrap(trajectory) if trajectory.ordered else trajectory for trajectory in timed]


def _reader_name(path: Path) -> str:
    if path.is_dir():
        if (path / "type.raw").is_file():
            return "deepmd"
        raise FramesError(f"{path}: a folder without type.raw, so not a DeePMD system; name a file")
    check_file(path)
    if path.suffix in (".h5", ".hdf5"):
        from frames.data.readers.hdf5 import is_ours

        return "hdf5" if is_ours(path) else "mdtraj_h5"
    return _BY_SUFFIX.get(path.suffix.lower(), "ase_files")


def _with_time_step(trajectory: Trajectory, step: float | None) -> Trajectory:
    if step is None:
        return trajectory
    if trajectory.times is not None:
        stated = time_step(trajectory)
        if stated is not None and abs(stated - step) > TIME_TOLERANCE * step:
            raise FramesError(
                f"{trajectory.source}: the file says that its frames are {stated:g} fs apart, not {step:g} fs; leave "
                "the time step out"
            )
        return trajectory
    if looks_shuffled(trajectory, step):
        raise FramesError(
            f"{trajectory.source}: the frames are in no order (neighbours differ as much as frames drawn at random), "
            f"so they are not {step:g} fs apart; leave the time step out"
        )
    times = np.arange(len(trajectory), dtype=np.float64) * step
    return replace(trajectory, times=times).with_notes(f"time step {step:g} fs as stated by the caller")
