"""DeePMD systems: a folder with `type.raw`, `type_map.raw` and the arrays in `set.*/`, in eV and Å.

Format: https://docs.deepmodeling.com/projects/deepmd/en/stable/data/system.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from frames.data.readers.npz_arrays import load_npy
from frames.data.readers.options import ReadOptions, check_file, unit_factors
from frames.data.trajectory import Floats, Integers, Trajectory
from frames.errors import FramesError

# Name in the folder → field, numbers per frame (None: 3 per atom).
_ARRAYS: dict[str, tuple[str, int | None]] = {
    "coord": ("positions", None),
    "box": ("cells", 9),
    "energy": ("energies", 1),
    "force": ("forces", None),
    "virial": ("virials", 9),
}


def read(path: Path, options: ReadOptions) -> list[Trajectory]:
    """The one trajectory of a DeePMD folder; its sets are joined in the order of their names.

    Raises FramesError for missing and damaged files, and for systems of mixed composition.
    """
    sets = sorted(folder for folder in path.glob("set.*") if folder.is_dir())
    if not sets:
        raise FramesError(f"{path}: a DeePMD system without a folder set.000")
    if any((folder / "real_atom_types.npy").exists() for folder in sets):
        raise FramesError(f"{path}: DeePMD systems of mixed types are not read; split it by composition")
    numbers = _elements(path)
    factors = unit_factors(options, "eV", why="DeePMD systems are in eV and Å")
    scale = {
        "positions": factors.length,
        "cells": factors.length,
        "energies": factors.energy,
        "forces": factors.force,
        "virials": factors.energy,
    }
    arrays: dict[str, Any] = {}
    for name, (key, width) in _ARRAYS.items():
        joined = _joined(sets, name, 3 * len(numbers) if width is None else width)
        if joined is not None:
            arrays[key] = _shaped(joined, key, len(numbers)) * scale[key]
    if "positions" not in arrays:
        raise FramesError(f"{sets[0] / 'coord.npy'}: no such file; a DeePMD system has positions there")
    periodic = not (path / "nopbc").exists()
    if not periodic:
        arrays.pop("cells", None)
    note = f"DeePMD system; {factors.note}"
    pbc = (periodic, periodic, periodic)
    return [Trajectory(numbers, **arrays, pbc=pbc, source=str(path), notes=(note,))]


def _elements(path: Path) -> Integers:
    from ase.data import atomic_numbers

    check_file(path / "type.raw")
    if not (path / "type_map.raw").is_file():
        raise FramesError(
            f"{path / 'type_map.raw'}: no such file; it names the element of each type, one symbol per line"
        )
    names = (path / "type_map.raw").read_text(errors="replace").split()
    unknown = [name for name in names if name not in atomic_numbers]
    if unknown:
        raise FramesError(f"{path / 'type_map.raw'}: '{unknown[0]}' is no element")
    try:
        types = [int(word) for word in (path / "type.raw").read_text(errors="replace").split()]
    except ValueError as error:
        raise FramesError(f"{path / 'type.raw'}: must hold one number per atom ({error})") from error
    wrong = [kind for kind in types if not 0 <= kind < len(names)]
    if wrong:
        raise FramesError(f"{path / 'type.raw'}: type {wrong[0]}, and type_map.raw names {len(names)} types")
    return np.array([atomic_numbers[names[kind]] for kind in types], dtype=np.int64)


def _joined(sets: list[Path], name: str, width: int) -> Floats | None:
    files = [folder / f"{name}.npy" for folder in sets]
    present = [file for file in files if file.exists()]
    if not present:
        return None
    if len(present) < len(files):
        missing = next(file for file in files if not file.exists())
        raise FramesError(f"{missing}: no such file, and other sets of this system have it")
    blocks = []
    for file in present:
        block = np.atleast_1d(load_npy(file))
        if block.dtype.kind not in "fiu" or block.size != len(block) * width:
            raise FramesError(
                f"{file}: must hold {width} numbers per frame for the atoms of type.raw, "
                f"got {block.dtype} {list(block.shape)}"
            )
        blocks.append(block.reshape(len(block), width))
    return np.concatenate(blocks).astype(np.float64)


def _shaped(values: Floats, key: str, atoms: int) -> Floats:
    if key == "energies":
        return values[:, 0]
    return values.reshape(len(values), 3 if key in ("cells", "virials") else atoms, 3)
