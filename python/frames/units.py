"""Every unit conversion of the package, from one table.

Inside: Å, eV, eV/Å, fs, amu, K. A quantity is converted once, where it enters or leaves.
The constants are CODATA 2022 (https://physics.nist.gov/cuu/Constants/); those that the SI fixes by
definition are exact.
"""

from __future__ import annotations

from collections.abc import Mapping

from frames.errors import FramesError

ELEMENTARY_CHARGE = 1.602176634e-19
"""C, exact; also the eV in joule."""
AVOGADRO = 6.02214076e23
"""1/mol, exact."""
BOLTZMANN = 1.380649e-23 / ELEMENTARY_CHARGE
"""k_B in eV/K, exact."""
HARTREE = 27.211386245981
"""E_h in eV, CODATA 2022."""
RYDBERG = HARTREE / 2
"""Ry in eV."""
BOHR = 0.529177210544
"""a_0 in Å, CODATA 2022."""
ATOMIC_MASS = 1.66053906892e-27
"""amu in kg, CODATA 2022."""

GIGAPASCAL = 1e-21 / ELEMENTARY_CHARGE
"""1 GPa in eV/Å³."""

AMU_ANGSTROM2_PER_FS2 = ATOMIC_MASS * 1e10 / ELEMENTARY_CHARGE
"""1 amu Å²/fs² in eV. Acceleration in Å/fs² = force in eV/Å / (mass in amu * this number)."""

_JOULE = 1.0 / ELEMENTARY_CHARGE
_THERMOCHEMICAL_CALORIE = 4.184

ENERGY_UNITS: Mapping[str, float] = {
    "eV": 1.0,
    "meV": 1e-3,
    "kcal/mol": _THERMOCHEMICAL_CALORIE * 1e3 * _JOULE / AVOGADRO,
    "kJ/mol": 1e3 * _JOULE / AVOGADRO,
    "Hartree": HARTREE,
    "Rydberg": RYDBERG,
}
"""Energy units in eV."""

LENGTH_UNITS: Mapping[str, float] = {
    "Å": 1.0,
    "nm": 10.0,
    "pm": 0.01,
    "bohr": BOHR,
}
"""Length units in Å."""

TIME_UNITS: Mapping[str, float] = {
    "fs": 1.0,
    "ps": 1e3,
    "ns": 1e6,
    "au": HARTREE**-1 * 6.582119569509066e-1,
}
"""Time units in fs. `au` is ħ/E_h, with ħ = 0.6582119569… eV fs (exact)."""

_ALIASES: Mapping[str, str] = {
    "ev": "eV",
    "electronvolt": "eV",
    "mev": "meV",
    "kcal": "kcal/mol",
    "kcal/mol": "kcal/mol",
    "kcal_per_mol": "kcal/mol",
    "kj": "kJ/mol",
    "kj/mol": "kJ/mol",
    "kj_per_mol": "kJ/mol",
    "hartree": "Hartree",
    "ha": "Hartree",
    "eh": "Hartree",
    "rydberg": "Rydberg",
    "ry": "Rydberg",
    "å": "Å",
    "angstrom": "Å",
    "ang": "Å",
    "a": "Å",
    "nm": "nm",
    "nanometer": "nm",
    "pm": "pm",
    "bohr": "bohr",
    "a0": "bohr",
    "fs": "fs",
    "ps": "ps",
    "ns": "ns",
    "au": "au",
}

_TABLES: tuple[Mapping[str, float], ...] = (ENERGY_UNITS, LENGTH_UNITS, TIME_UNITS)


def unit_name(unit: str) -> str:
    """The table's spelling of a unit that is known under several (`"ev"` → `"eV"`, `"angstrom"` → `"Å"`).

    Raises FramesError, with the known units, if there is none.
    """
    # Under lower() the angstrom sign U+212B becomes U+00E5, as the letter does: one entry for both.
    name = _ALIASES.get(unit.strip().lower())
    if name is None:
        known = ", ".join(known for table in _TABLES for known in table)
        raise FramesError(f"unknown unit '{unit}'; known units: {known}")
    return name


def conversion(unit_from: str, unit_to: str) -> float:
    """Factor f with value_in(unit_to) = f * value_in(unit_from).

    Both may be energies, lengths or times, or quotients of those, as forces are ("kcal/mol/Å", "eV/nm").
    Raises FramesError for an unknown unit and for two units of different kinds.
    """
    kind_from, value_from = _evaluate(unit_from)
    kind_to, value_to = _evaluate(unit_to)
    if kind_from != kind_to:
        raise FramesError(f"cannot convert '{unit_from}' to '{unit_to}': they measure different quantities")
    return value_from / value_to


def _evaluate(unit: str) -> tuple[tuple[int, ...], float]:
    """The tables that a unit draws on (its kind), and its value in Å, eV, fs."""
    head, slash, tail = unit.rpartition("/")
    if slash and tail.strip().lower() != "mol" and unit.strip().lower() not in _ALIASES:
        kind_head, value_head = _evaluate(head)
        kind_tail, value_tail = _evaluate(tail)
        return (*kind_head, *kind_tail), value_head / value_tail
    name = unit_name(unit)
    kind = next(index for index, table in enumerate(_TABLES) if name in table)
    return (kind,), _TABLES[kind][name]
