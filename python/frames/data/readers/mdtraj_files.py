"""Positions of .dcd, .xtc, .trr and Amber's .nc files, through MDTraj. They hold no energies and forces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from frames.data.clock import MOVED, stored_times
from frames.data.readers.options import ReadOptions, check_file, check_size
from frames.data.trajectory import Floats, Integers, Trajectory
from frames.errors import FramesError
from frames.units import conversion

# DCD files have a time step in a unit that depends on the program; MDTraj numbers the frames instead.
_WITHOUT_TIMES = (".dcd",)


def read(path: Path, options: ReadOptions) -> list[Trajectory]:
    """The one trajectory of a file. Needs a topology.

    Raises FramesError if there is none, if it does not fit, if it has particles that are no atoms, or if MDTraj is
    not installed.
    """
    if options.units is not None:
        raise FramesError(f"{path}: its format is in nm and holds no energies; leave the units out")
    loaded = _loaded(path, options)
    length = conversion("nm", "Å")
    cells = loaded.unitcell_vectors
    periodic = cells is not None and bool(np.all(np.linalg.norm(cells, axis=2) > 0))
    times, moved = _times(path, loaded)
    return [
        Trajectory(
            _elements(path, loaded.topology),
            np.asarray(loaded.xyz, dtype=np.float64) * length,
            cells=np.asarray(cells, dtype=np.float64) * length if periodic else None,
            pbc=(periodic, periodic, periodic),
            times=times,
            source=str(path),
            notes=("positions in nm, single precision, no energies and forces", *([MOVED] if moved else [])),
        )
    ]


def _loaded(path: Path, options: ReadOptions) -> Any:
    try:
        import mdtraj
    except ImportError as error:
        raise FramesError(f"{path}: needs MDTraj: pip install 'frames-md[trajectories]'") from error
    if options.topology is None:
        raise FramesError(
            f"{path}: holds positions without elements; give a topology, such as a PDB file of the same atoms"
        )
    check_file(options.topology)
    # Compressed coordinates take about a third of the single precision that they become, and double follows.
    check_size(path, 10 * path.stat().st_size)
    try:
        return mdtraj.load(str(path), top=str(options.topology))
    except Exception as error:  # MDTraj raises OSError, ValueError, RuntimeError and others for a bad file
        detail = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FramesError(f"{path}: MDTraj cannot read it ({detail})") from error


def _elements(path: Path, topology: Any) -> Integers:
    numbers = [0 if atom.element is None else int(atom.element.atomic_number) for atom in topology.atoms]
    if 0 in numbers:
        atom = topology.atom(numbers.index(0))
        raise FramesError(f"{path}: atom {atom.index} ({atom}) of the topology has no element")
    return np.array(numbers, dtype=np.int64)


def _times(path: Path, loaded: Any) -> tuple[Floats | None, bool]:
    """fs, or None where the file has none: MDTraj gives DCD files the numbers of the frames. And whether single
    precision was undone."""
    if path.suffix.lower() in _WITHOUT_TIMES or loaded.time is None or len(loaded.time) != len(loaded):
        return None, False
    times, moved = stored_times(np.asarray(loaded.time))
    if len(times) > 1 and np.ptp(times) == 0:
        return None, False
    return times * conversion("ps", "fs"), moved
