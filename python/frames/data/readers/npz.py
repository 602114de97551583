"""MD17, rMD17 and other molecular data in NumPy archives: one table of layouts, one reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frames.data.readers.npz_arrays import array_names, load_arrays
from frames.data.readers.options import ReadOptions, UnitFactors, unit_factors
from frames.data.trajectory import Trajectory
from frames.errors import FramesError

_MD17_STEP = 0.5


@dataclass(frozen=True)
class Layout:
    """Names of the arrays in one kind of file, and what they mean."""

    name: str
    energy_unit: str
    why: str
    """Why these units: nothing in the file says so."""
    required: Mapping[str, str]
    """Field of Trajectory → array that must be there."""
    optional: Mapping[str, str] = field(default_factory=dict)
    index: str | None = None
    """Array with the number of the MD step of each frame."""
    stated: Mapping[str, str] = field(default_factory=dict)
    """"energy" and "length" → array with the unit, where files may state it (sGDML)."""
    lattice: str | None = None
    """Array with the lattice vectors as columns, the same in all frames (sGDML)."""


LAYOUTS = (
    Layout(
        "AIMD archive",
        "eV",
        "archives with times and velocities are in eV",
        {"positions": "R", "atomic_numbers": "z", "times": "t_fs"},
        {"energies": "E", "forces": "F", "velocities": "V", "cells": "cell", "runs": "block"},
    ),
    Layout(
        "MD17",
        "kcal/mol",
        "MD17 files are in kcal/mol",
        {"positions": "R", "atomic_numbers": "z"},
        {"energies": "E", "forces": "F"},
        stated={"energy": "e_unit", "length": "r_unit"},
        lattice="lattice",
    ),
    Layout(
        "rMD17",
        "kcal/mol",
        "rMD17 files are in kcal/mol",
        {"positions": "coords", "atomic_numbers": "nuclear_charges"},
        {"energies": "energies", "forces": "forces"},
        index="old_indices",
    ),
    Layout(
        "MDBENCHGNN archive",
        "eV",
        "archives with `pos` and `energy` are in eV",
        {"positions": "pos", "atomic_numbers": "atomic_numbers"},
        {"energies": "energy", "forces": "forces", "cells": "cell", "pbc": "pbc"},
    ),
)
"""In the order in which they are tried."""


def read(path: Path, options: ReadOptions) -> list[Trajectory]:
    """The one trajectory of an .npz file. Raises FramesError for a layout that is not in the table."""
    present = array_names(path)
    layout = _layout(path, present)
    wanted = {**layout.required, **{f: n for f, n in layout.optional.items() if n in present}}
    if layout.index is not None and layout.index in present:
        wanted["index"] = layout.index
    if layout.lattice is not None and layout.lattice in present:
        wanted["lattice"] = layout.lattice
    stored = load_arrays(path, wanted.values())
    values: dict[str, Any] = {field_: stored[name] for field_, name in wanted.items()}

    factors = _units(path, layout, present, options)
    notes = [f"{layout.name}; {factors.note}"]
    values["positions"] = _numbers(path, wanted["positions"], values["positions"]) * factors.length
    if "energies" in values:
        values["energies"] = _energies(path, wanted["energies"], values["energies"]) * factors.energy
    if "forces" in values:
        values["forces"] = _numbers(path, wanted["forces"], values["forces"]) * factors.force
    if "velocities" in values:
        values["velocities"] = _numbers(path, wanted["velocities"], values["velocities"]) * factors.length
    if "lattice" in values:
        values["cells"] = _lattice(path, wanted["lattice"], values.pop("lattice"))
    if "cells" in values:
        values["cells"] = _numbers(path, wanted.get("cells", "lattice"), values["cells"]) * factors.length
    values["atomic_numbers"] = _same_in_every_frame(path, values["atomic_numbers"])
    values["pbc"] = _boundaries(path, values)
    index = values.pop("index", None)
    if index is not None:
        notes += _put_in_order(path, values, index, options.time_step or _MD17_STEP)
    return [Trajectory(**values, source=str(path), notes=tuple(notes))]


def _layout(path: Path, present: set[str]) -> Layout:
    for layout in LAYOUTS:
        if present.issuperset(layout.required.values()):
            return layout
    known = "; ".join(f"{layout.name}: {', '.join(layout.required.values())}" for layout in LAYOUTS)
    raise FramesError(
        f"{path}: holds the arrays {', '.join(sorted(present)) or '(none)'}, "
        f"which is no known layout; known are {known}"
    )


def _units(path: Path, layout: Layout, present: set[str], options: ReadOptions) -> UnitFactors:
    """Those that the caller states, else those that the file states, else those of the layout."""
    names = {kind: name for kind, name in layout.stated.items() if name in present}
    said = {kind: str(load_arrays(path, [name])[name].reshape(-1)[0]) for kind, name in names.items()}
    if not said:
        return unit_factors(options, layout.energy_unit, why=layout.why)
    return unit_factors(options, said.get("energy", layout.energy_unit), said.get("length", "Å"), "as the file says")


def _lattice(path: Path, name: str, values: NDArray[Any]) -> NDArray[Any]:
    """[3,3] with the vectors as rows."""
    if values.shape != (3, 3):
        raise FramesError(f"{path}: array '{name}' must have shape [3,3], got {list(values.shape)}")
    return values.T


def _numbers(path: Path, name: str, values: NDArray[Any]) -> NDArray[np.float64]:
    if values.dtype.kind not in "fiu":
        raise FramesError(f"{path}: array '{name}' must hold numbers, got {values.dtype}")
    return values.astype(np.float64)


def _energies(path: Path, name: str, values: NDArray[Any]) -> NDArray[np.float64]:
    """[T] from [T] or [T,1], as files have it."""
    energies = _numbers(path, name, values)
    if energies.ndim == 0:
        raise FramesError(f"{path}: array '{name}' must hold one energy per frame, got a single number")
    return energies[:, 0] if energies.ndim == 2 and energies.shape[1] == 1 else energies


def _same_in_every_frame(path: Path, numbers: NDArray[Any]) -> NDArray[Any]:
    """[N] from [N], or from [T,N] with equal rows."""
    if numbers.ndim != 2:
        return numbers
    if len(numbers) == 0:
        raise FramesError(f"{path}: the elements are given for each frame, and there is none")
    differs = (numbers != numbers[:1]).any(axis=1)
    if differs.any():
        raise FramesError(f"{path}: frame {int(np.argmax(differs))} has other elements than frame 0")
    return np.asarray(numbers[0])


def _boundaries(path: Path, values: dict[str, Any]) -> tuple[bool, ...]:
    """Periodic directions: as stated, else all if there is a cell; drops a cell that means nothing."""
    if "pbc" in values:
        pbc = np.atleast_1d(np.asarray(values["pbc"]).astype(bool))
        if pbc.size not in (1, 3):
            raise FramesError(f"{path}: array 'pbc' must hold one flag or three, got {list(pbc.shape)}")
        periodic = tuple(bool(flag) for flag in np.broadcast_to(pbc, (3,)))
    else:
        periodic = ("cells" in values,) * 3
    if not any(periodic):
        values.pop("cells", None)
    return periodic


def _put_in_order(path: Path, values: dict[str, Any], index: NDArray[Any], step: float) -> list[str]:
    """Sort the frames by the number of their MD step, and give them times; returns what was done."""
    frames = len(values["positions"])
    if index.shape != (frames,) or index.dtype.kind not in "iu":
        raise FramesError(f"{path}: 'old_indices' must be {frames} integers, got {list(index.shape)}")
    order = np.argsort(index, kind="stable")
    for key in ("positions", "energies", "forces"):
        if key in values:
            if len(values[key]) != frames:
                raise FramesError(f"{path}: {len(values[key])} {key} for {frames} frames")
            values[key] = values[key][order]
    values["times"] = index[order] * step
    return [f"sorted by old_indices, times from steps of {step:g} fs"]
