"""Which unit explains a factor that the self-tests found."""

from __future__ import annotations

from frames.units import ENERGY_UNITS, conversion


def energy_or_force(factor: float, tolerance: float = 0.05) -> str:
    """Which unit explains the factor between energies and work within this tolerance, if any does; two if the second
    fits nearly as well."""
    off = {
        f"forces look like {unit} and were read as eV/Å": abs(factor / value - 1)
        for unit, value in force_units().items()
    }
    for unit, value in ENERGY_UNITS.items():
        if unit != "eV":
            off[f"energies look like {unit} and were read as eV"] = abs(factor * value - 1)
    first, second = sorted(off, key=lambda text: off[text])[:2]
    if not off[first] < tolerance:
        return ""
    return f"; {first}, or {second}" if off[second] < min(tolerance, 3 * off[first]) else f"; {first}"


def force_unit(factor: float) -> str | None:
    """The unit of forces whose value in eV/Å is within 5 % of this factor."""
    values = force_units()
    near = [unit for unit, value in values.items() if abs(factor / value - 1) < 0.05]
    return min(near, key=lambda unit: abs(factor / values[unit] - 1), default=None)


def force_units() -> dict[str, float]:
    """Units of forces other than eV/Å, in eV/Å."""
    units = [f"{energy}/{length}" for energy in ENERGY_UNITS for length in ("Å", "bohr", "nm")]
    return {unit: conversion(unit, "eV/Å") for unit in units if unit != "eV/Å"}
