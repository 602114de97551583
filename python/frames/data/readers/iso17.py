"""ASE databases (SQLite): ISO17, and the layout of SchNetPack.

ISO17 (http://quantum-machine.org/datasets) keeps `total_energy` in eV as a key and `atomic_forces` in eV/Å as data of
each row; SchNetPack keeps both as data, and their units in the metadata; ASE keeps what a calculator left.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress

from frames.data.readers.ase_files import velocities
from frames.data.readers.frame_list import FrameList
from frames.data.readers.options import ReadOptions, UnitFactors, check_file, check_size, unit_factors
from frames.data.trajectory import Trajectory
from frames.errors import FramesError
from frames.units import conversion

_ENERGY = ("total_energy", "energy")
_FORCES = ("atomic_forces", "forces")


def read(path: Path, options: ReadOptions) -> list[Trajectory]:
    """One trajectory for each order of elements, in the order of the rows.

    Raises FramesError for files that are no ASE database, and for damaged rows.
    """
    check_file(path)
    _check_sqlite(path)
    check_size(path, 2 * path.stat().st_size)
    import ase.db

    connect: Any = ase.db.connect
    frames = FrameList(str(path))
    try:
        with connect(str(path), type="db", use_lock_file=False) as database:
            factors, force, note = _units(path, dict(database.metadata), options)
            for row in database.select(sort="id"):
                atoms = row.toatoms()
                energy = _value(row, _ENERGY)
                forces = _value(row, _FORCES)
                frames.add(
                    atoms.get_atomic_numbers(),
                    atoms.get_positions() * factors.length,
                    pbc=atoms.pbc,
                    cell=np.asarray(atoms.cell) * factors.length if atoms.pbc.any() else None,
                    energy=None if energy is None else float(np.asarray(energy).reshape(())) * factors.energy,
                    forces=None if forces is None else np.asarray(forces) * force,
                    virial=_virial(row, atoms, factors.energy),
                    velocities=velocities(atoms),
                )
    except FramesError:
        raise
    except Exception as error:  # ase.db raises whatever sqlite, JSON and array decoding raise on a damaged row
        raise FramesError(f"{path}: a damaged ASE database ({error})") from error
    return frames.trajectories((f"ASE database; {note}",))


def _check_sqlite(path: Path) -> None:
    with path.open("rb") as stream:
        if not stream.read(16).startswith(b"SQLite format 3"):
            raise FramesError(f"{path}: not an SQLite database, as ISO17 files are")
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            tables = {row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")}
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise FramesError(f"{path}: a damaged or truncated database ({error})") from error
    if "systems" not in tables:
        raise FramesError(f"{path}: a database, but not one of ASE: it has no table 'systems'")


def _units(path: Path, metadata: dict[str, Any], options: ReadOptions) -> tuple[UnitFactors, float, str]:
    """Factors, that of the forces, and the note on them: as the caller says, as the database says, or eV and Å.

    Raises FramesError if the database states units, and none for its energies: they would be guessed.
    """
    units = {str(key): str(unit) for key, unit in metadata.get("_property_unit_dict", {}).items()}
    if options.units is not None or not units:
        factors = unit_factors(options, "eV", why="databases of ASE and ISO17 are in eV")
        return factors, factors.force, factors.note
    named = next((units[key] for key in _ENERGY if key in units), None)
    if named is None:
        raise FramesError(
            f"{path}: the database states units for {', '.join(sorted(units))}, and none of these is an energy by the "
            f"name of {' or '.join(_ENERGY)}; rename the property"
        )
    factors = unit_factors(options, named, str(metadata.get("_distance_unit", "Å")), "as the database says")
    stated = next((units[key] for key in _FORCES if key in units), None)
    if stated is None:
        return factors, factors.force, factors.note
    return factors, conversion(stated, "eV/Å"), f"units taken as {named} and {stated}: as the database says"


def _virial(row: Any, atoms: Any, energy: float) -> Any | None:
    """[3,3] eV, minus the stress that a calculator left times the volume; other stresses have no settled unit."""
    stress = row.get("stress")
    if stress is None or not atoms.pbc.all():
        return None
    tensor: Any = voigt_6_to_full_3x3_stress(np.asarray(stress, dtype=np.float64))  # type: ignore[no-untyped-call]
    return -tensor * atoms.get_volume() * energy


def _value(row: Any, keys: tuple[str, ...]) -> Any | None:
    """The first of these keys that the row has, as a key-value pair or in its data, else what a calculator left."""
    for key in keys:
        if key in row.key_value_pairs:
            return row.key_value_pairs[key]
        if key in row.data:
            return row.data[key]
    return row.get(keys[-1])
