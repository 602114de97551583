"""What ASE leaves open about text dumps of LAMMPS: their units, and whether they name their elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import atomic_masses, chemical_symbols

from frames.data.periodic import displacements
from frames.data.trajectory import Trajectory
from frames.errors import FramesError
from frames.units import unit_name

FORMATS = ("lammps-dump-text", "lammps-dump-binary")
_STYLE_OF = {"eV": "metal", "kcal/mol": "real"}
_MASS_OFF, _MASS_SHARE = 0.1, 0.01  # amu; as in 1, 16, 32 or 64 for the masses of H, O, S and Cu
_CLEARLY = 0.4  # of the difference to the second nearest
_UNITED_ATOMS = (13.019, 14.027, 15.035, 16.043)  # CH to CH4, which are nearly those of N and O
_SAME_MASS = 0.003
_FARTHEST = 0.5  # Å, that an atom moves between frames and is sure to be the same


def style(path: Path, format_name: str, units: str | None) -> tuple[str, str, bool]:
    """Unit style of a dump, the note on it, and whether its elements are those of the masses.

    The style is as the caller says, else as the file says, else metal.

    Args:
        units: energy unit that the caller states, of those that styles have with Å: eV (metal) or kcal/mol (real).

    Raises FramesError for other units, for a dump without elements, whose types are mere numbers, for masses that are
    no element's.
    """
    if format_name != FORMATS[0]:
        raise FramesError(f"{path}: binary dumps name no elements; write a text dump with the column element")
    head = _read_head(path)
    if not {"element", "mass"} & set(head.columns):
        raise FramesError(
            f"{path}: the dump names no elements, and types are mere numbers; write it with the column element "
            "(dump_modify ... element C H O)"
        )
    by_mass = "" if "element" in head.columns else f"; {_elements_of_masses(path, head)}"
    unit_style, note = _style(path, head.style, units)
    return unit_style, note + by_mass, bool(by_mass)


def require_same_order(path: Path, runs: Sequence[Trajectory]) -> None:
    """Raises FramesError for frames in order without ids, unless no atom moves so far that it may be another one.

    LAMMPS changes the order of atoms from time to time.
    """
    if "id" in _read_head(path).columns:
        return
    for run in runs:
        first = np.flatnonzero(np.diff(run.runs) == 0)
        moved = displacements(run, np.stack([first, first + 1], axis=1))
        if len(runs) > 1 or np.linalg.norm(moved, axis=2).max(initial=0.0) > _FARTHEST:
            raise FramesError(
                f"{path}: a dump without the column id, and LAMMPS changes the order of atoms from time to time, so "
                "nothing tells how they move; write it with id, or leave the time step out"
            )


def _style(path: Path, stated: str | None, units: str | None) -> tuple[str, str]:
    """Unit style, and the note on it."""
    if units is not None:
        energy, _, length = units.partition(",")
        found = _STYLE_OF.get(unit_name(energy))
        if found is None or (length and unit_name(length) != "Å"):
            raise FramesError(f"{path}: units '{units}'; of dumps, those in eV (metal) or kcal/mol (real), Å are read")
        return found, f"units of style {found}, as stated by the caller"
    if stated is None:
        return "metal", "units taken as those of style metal: the dump does not say them (dump_modify units yes does)"
    if stated not in _STYLE_OF.values():
        raise FramesError(f"{path}: the dump is in units of style {stated}; metal and real are read")
    return stated, f"units of style {stated}, as the dump says"


@dataclass(frozen=True)
class _Head:
    """Of the first frame: unit style if it is there, columns and rows of its atoms."""

    style: str | None
    columns: list[str]
    rows: list[list[str]]


def _read_head(path: Path) -> _Head:
    stated: str | None = None
    columns: list[str] = []
    rows: list[list[str]] = []
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            if line.startswith("ITEM: UNITS"):
                stated = next(stream, "").strip()
            elif line.startswith("ITEM: ATOMS"):
                columns = line.split()[2:]
            elif columns and line.startswith("ITEM:"):
                return _Head(stated, columns, rows)
            elif columns:
                rows.append(line.split())
    return _Head(stated, columns, rows)


def _elements_of_masses(path: Path, head: _Head) -> str:
    """A note. Raises FramesError for masses that are no element's, as those of heavy hydrogen or united atoms."""
    place = head.columns.index("mass")
    named = {}
    for text in sorted({row[place] for row in head.rows if len(row) > place}):
        try:
            mass = float(text)
        except ValueError:
            raise FramesError(f"{path}: mass {text!r} is no number") from None
        off = np.abs(atomic_masses - mass)
        off[0] = np.inf  # ASE's X
        z, second = np.argsort(off)[:2]
        united = any(abs(mass - other) < _SAME_MASS for other in _UNITED_ATOMS)
        if united or not off[z] <= max(_MASS_OFF, _MASS_SHARE * mass) or off[z] > _CLEARLY * off[second]:
            raise FramesError(
                f"{path}: a mass of {mass:g} is not clearly that of one element, and the dump names none; write it "
                "with the column element (dump_modify ... element C H O)"
            )
        named[chemical_symbols[z]] = mass
    return "elements are those of the masses: " + ", ".join(f"{name} {mass:g}" for name, mass in named.items())
