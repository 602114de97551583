"""What ASE leaves open about text dumps of LAMMPS: their units, and whether they name their elements."""

from __future__ import annotations

from pathlib import Path

from frames.errors import FramesError
from frames.units import unit_name

FORMATS = ("lammps-dump-text", "lammps-dump-binary")
_STYLE_OF = {"eV": "metal", "kcal/mol": "real"}
_FIRST_LINES = 100


def style(path: Path, format_name: str, units: str | None) -> tuple[str, str]:
    """Unit style of a dump, and the note on it: as the caller says, else as the file says, else metal.

    Args:
        units: energy unit that the caller states, of those that styles have with Å: eV (metal) or kcal/mol (real).

    Raises FramesError for other units, and for a dump without elements: its types are mere numbers.
    """
    if format_name != FORMATS[0]:
        raise FramesError(f"{path}: binary dumps name no elements; write a text dump with the column element")
    stated, columns = _header(path)
    if not {"element", "mass"} & set(columns):
        raise FramesError(
            f"{path}: the dump names no elements, and types are mere numbers; write it with the column element "
            "(dump_modify ... element C H O)"
        )
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


def _header(path: Path) -> tuple[str | None, list[str]]:
    """Unit style of the first frame, if it is there, and the columns of its atoms."""
    stated = None
    with path.open(encoding="utf-8", errors="replace") as stream:
        for _ in range(_FIRST_LINES):
            line = stream.readline()
            if line.startswith("ITEM: UNITS"):
                stated = stream.readline().strip()
            if line.startswith("ITEM: ATOMS"):
                return stated, line.split()[2:]
    return stated, []
