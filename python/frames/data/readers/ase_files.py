"""Extended XYZ and every other file that ASE reads."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from frames.data.readers.frame_list import FrameList
from frames.data.readers.options import ReadOptions, check_file, check_size, unit_factors
from frames.data.trajectory import Trajectory
from frames.errors import FramesError

ENERGY_KEYS = ("energy", "Energy", "E", "total_energy", "TotEnergy", "REF_energy", "dft_energy", "DFT_energy")
FORCE_KEYS = ("forces", "force", "Forces", "F", "REF_forces", "dft_forces", "DFT_forces", "atomic_forces")
VIRIAL_KEYS = ("virial", "virials", "REF_virial", "dft_virial")
TIME_KEYS = ("t_fs", "time_fs")

# Databases have a reader of their own. A file in the old format of .traj holds pickles, which can run code.
_REFUSED = ("db", "mysql", "postgresql")
_NO_UNITS = ("extxyz", "xyz")


def read(path: Path, options: ReadOptions) -> list[Trajectory]:
    """One trajectory for each composition in the file. Raises FramesError for what ASE cannot read."""
    check_file(path)
    # Text takes about 10 characters per number, an Atoms object and our copy about 4 numbers for each.
    check_size(path, 4 * path.stat().st_size)
    format_name = _format(path)
    why = (
        "nothing in the file says otherwise"
        if format_name in _NO_UNITS
        else f"ASE converts files of format '{format_name}'"
    )
    factors = unit_factors(options, "eV", why=why)
    frames = FrameList(str(path))
    for atoms in _frames(path, format_name):
        energy = _energy(atoms)
        forces = _forces(atoms)
        virial = _virial(atoms)
        frames.add(
            atoms.get_atomic_numbers(),
            atoms.get_positions() * factors.length,
            cell=np.asarray(atoms.cell) * factors.length if atoms.pbc.any() else None,
            pbc=atoms.pbc,
            energy=None if energy is None else energy * factors.energy,
            forces=None if forces is None else forces * factors.force,
            virial=None if virial is None else virial * factors.energy,
            velocities=_velocities(atoms),
            time=next((float(atoms.info[key]) for key in TIME_KEYS if key in atoms.info), None),
        )
    return frames.trajectories((f"{format_name} file; {factors.note}",))


def _format(path: Path) -> str:
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    try:
        name = str(filetype(str(path)))
    except (UnknownFileTypeError, OSError, ValueError) as error:
        raise FramesError(f"{path}: not a file of a known format ({error})") from error
    if name not in ioformats or not ioformats[name].can_read:
        # What ASE answers for content that it does not recognise is the suffix.
        raise FramesError(f"{path}: not a file of a known format")
    if name in _REFUSED:
        raise FramesError(f"{path}: databases are read from files with the suffix .db")
    if name == "traj":
        with path.open("rb") as stream:
            if not stream.read(8).startswith(b"- of Ulm"):
                raise FramesError(f"{path}: a .traj file of before 2016, or none; convert it with ASE")
    return name


def _frames(path: Path, format_name: str) -> Iterator[Any]:
    import ase.io

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield from ase.io.iread(str(path), index=":", format=format_name)
        except FramesError:
            raise
        except Exception as error:  # ASE's readers raise whatever the parsing of a bad line raises
            detail = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise FramesError(f"{path}: ASE cannot read it as '{format_name}' ({detail})") from error


def _results(atoms: Any) -> dict[str, Any]:
    return dict(atoms.calc.results) if atoms.calc is not None else {}


def _energy(atoms: Any) -> float | None:
    if "energy" in _results(atoms):
        return float(_results(atoms)["energy"])
    return next((float(atoms.info[key]) for key in ENERGY_KEYS if key in atoms.info), None)


def _forces(atoms: Any) -> Any | None:
    if "forces" in _results(atoms):
        return np.asarray(_results(atoms)["forces"])
    return next((np.asarray(atoms.arrays[key]) for key in FORCE_KEYS if key in atoms.arrays), None)


def _virial(atoms: Any) -> Any | None:
    """The virial, or minus the stress times the volume (stress = -W/V in ASE's sign)."""
    for key in VIRIAL_KEYS:
        if key in atoms.info:
            return np.asarray(atoms.info[key], dtype=np.float64).reshape(3, 3)
    if "stress" in _results(atoms) and atoms.pbc.all():
        return -np.asarray(atoms.get_stress(voigt=False)) * atoms.get_volume()
    return None


def _velocities(atoms: Any) -> Any | None:
    """Å/fs; ASE's unit of time is Å sqrt(amu/eV)."""
    import ase.units

    return atoms.get_velocities() * ase.units.fs if atoms.has("momenta") else None
