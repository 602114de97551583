"""The conversion table, against numbers known from elsewhere."""

from __future__ import annotations

import ase.units
import pytest

from frames import FramesError, units
from frames.units import conversion


@pytest.mark.parametrize(
    ("unit_from", "unit_to", "factor"),
    [
        ("kcal/mol", "eV", 0.0433641),
        ("kJ/mol", "eV", 0.01036427),
        ("Hartree", "eV", 27.2113862),
        ("Hartree", "kcal/mol", 627.50947),
        ("Rydberg", "Hartree", 0.5),
        ("nm", "Å", 10.0),
        ("bohr", "angstrom", 0.52917721),
        ("Hartree/bohr", "eV/Å", 51.422067),
        ("kcal/mol/Å", "eV/Å", 0.0433641),
        ("kJ/mol/nm", "eV/Å", 0.001036427),
        ("ps", "fs", 1000.0),
        ("au", "fs", 0.024188843),
    ],
)
def test_known_factors(unit_from: str, unit_to: str, factor: float) -> None:
    assert conversion(unit_from, unit_to) == pytest.approx(factor, rel=2e-7)
    assert conversion(unit_to, unit_from) == pytest.approx(1 / factor, rel=2e-7)


def test_agrees_with_ase() -> None:
    # ASE uses CODATA 2014 unless told otherwise; its unit of time is Å sqrt(amu/eV).
    assert pytest.approx(ase.units.kB, rel=1e-6) == units.BOLTZMANN
    assert pytest.approx(ase.units.fs**-2, rel=1e-6) == units.AMU_ANGSTROM2_PER_FS2


def test_both_angstrom_characters() -> None:
    assert conversion("nm", "\u212b") == conversion("nm", "\u00c5") == 10.0


def test_unknown_unit_lists_the_known_ones() -> None:
    with pytest.raises(FramesError, match=r"unknown unit 'parsec'; known units: eV, .*kcal/mol.*bohr"):
        conversion("parsec", "Å")


def test_different_quantities() -> None:
    with pytest.raises(FramesError, match="'eV' to 'Å': they measure different quantities"):
        conversion("eV", "Å")
    with pytest.raises(FramesError, match="different quantities"):
        conversion("eV/Å", "eV")
