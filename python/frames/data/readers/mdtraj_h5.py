"""MDTraj's own HDF5 files, which carry their topology. Read with h5py: MDTraj itself would need PyTables.

Format: https://mdtraj.org/1.9.4/hdf5_format.html
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from frames.data.clock import MOVED, stored_times
from frames.data.readers.options import ReadOptions, check_size
from frames.data.trajectory import Floats, Integers, Trajectory
from frames.errors import FramesError
from frames.units import conversion

_CONVENTION = "Pande"


def read(path: Path, options: ReadOptions) -> list[Trajectory]:
    """The one trajectory of a file: positions, cells, times.

    Raises FramesError for other HDF5 files, for damaged ones, and for particles that are no atoms.
    """
    import h5py

    if options.units is not None or options.topology is not None:
        raise FramesError(f"{path}: this format states its units and elements; leave units and topology out")
    try:
        with h5py.File(path, "r") as file:
            if _CONVENTION not in _text(file.attrs.get("conventions", "")):
                raise FramesError(f"{path}: an HDF5 file, but neither of this program nor of MDTraj")
            sizes = [file[key].size for key in ("coordinates", "time", "cell_lengths", "cell_angles") if key in file]
            check_size(path, 16 * sum(sizes))
            length = _factor(file["coordinates"], "nanometers", "Å")
            positions = np.asarray(file["coordinates"], dtype=np.float64) * length
            numbers = _elements(path, json.loads(_text(np.asarray(file["topology"]).reshape(-1)[0])))
            times, moved = None, False
            if "time" in file:
                times, moved = stored_times(np.asarray(file["time"]))
                times *= _factor(file["time"], "picoseconds", "fs")
            cells = _cells(file) if "cell_lengths" in file else None
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, IndexError) as error:
        raise FramesError(f"{path}: not a whole HDF5 file of MDTraj ({error})") from error
    periodic = cells is not None
    return [
        Trajectory(
            numbers,
            positions,
            cells=cells,
            pbc=(periodic, periodic, periodic),
            times=times,
            source=str(path),
            notes=("positions in single precision, no energies and forces", *([MOVED] if moved else [])),
        )
    ]


def _factor(dataset: Any, usual: str, unit: str) -> float:
    stated = _text(dataset.attrs.get("units", usual)).removesuffix("s")
    short = {"nanometer": "nm", "picosecond": "ps", "femtosecond": "fs", "angstrom": "Å"}
    return conversion(short.get(stated, stated), unit)


def _cells(file: Any) -> Floats:
    """[T,3,3] Å from lengths and angles, the first vector along x, the second in the xy plane."""
    a, b, c = np.asarray(file["cell_lengths"], dtype=np.float64).T * _factor(file["cell_lengths"], "nanometers", "Å")
    alpha, beta, gamma = np.radians(np.asarray(file["cell_angles"], dtype=np.float64)).T
    cells = np.zeros((len(a), 3, 3))
    cells[:, 0, 0] = a
    cells[:, 1, 0], cells[:, 1, 1] = b * np.cos(gamma), b * np.sin(gamma)
    x = c * np.cos(beta)
    y = c * (np.cos(alpha) - np.cos(beta) * np.cos(gamma)) / np.sin(gamma)
    cells[:, 2] = np.stack([x, y, np.sqrt(c**2 - x**2 - y**2)], axis=1)
    return cells


def _elements(path: Path, topology: Any) -> Integers:
    from ase.data import atomic_numbers

    atoms = [atom for chain in topology["chains"] for residue in chain["residues"] for atom in residue["atoms"]]
    atoms.sort(key=lambda atom: int(atom["index"]))
    unknown = [atom for atom in atoms if str(atom["element"]).capitalize() not in atomic_numbers]
    if unknown:
        raise FramesError(
            f"{path}: atom {unknown[0]['index']} of the topology is no element: '{unknown[0]['element']}'"
        )
    return np.array([atomic_numbers[str(atom["element"]).capitalize()] for atom in atoms], dtype=np.int64)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
