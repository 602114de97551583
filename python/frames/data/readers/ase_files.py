"""Extended XYZ and every other file that ASE reads."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from frames.data.clock import on_grid
from frames.data.readers import lammps_dump, vasp, xyz_text
from frames.data.readers.frame_list import FrameList
from frames.data.readers.label_keys import Family, Found, choose, labels_by_family, with_free_energies
from frames.data.readers.options import ReadOptions, UnitFactors, check_file, check_size, unit_factors
from frames.data.trajectory import Trajectory
from frames.errors import FramesError

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
    settings: dict[str, Any] = {}
    by_mass = False
    text = xyz_text.scan(path) if format_name in _NO_UNITS else xyz_text.XyzText(False, None, ())
    if format_name in lammps_dump.FORMATS:
        # ASE converts them, given the style
        settings["units"], note, by_mass = lammps_dump.style(path, format_name, options.units)
        factors = UnitFactors(1.0, 1.0, note)
    elif text.by_cp2k:
        factors = unit_factors(options, "Hartree", why="comments as CP2K writes them")
    else:
        why = (
            "nothing in the file says otherwise"
            if format_name in _NO_UNITS
            else f"ASE converts files of format '{format_name}'"
        )
        factors = unit_factors(options, "eV", why=why)
    images = []
    for number, atoms in enumerate(_frames(path, format_name, settings)):
        if format_name in lammps_dump.FORMATS and atoms.calc is not None:
            atoms.calc.results.pop("energy", None)  # which ASE makes up
        if by_mass:
            atoms.numbers[atoms.numbers == 0] = 1  # ASE's nearest one to a mass of 1 is its X
        images.append(_image(path, number, atoms))
    cut_off = vasp.check_whole(path, format_name, len(images))
    times, clock = _times(images, text, options)
    labels, free = with_free_energies([image.labels for image in images])
    families, note = choose(labels)
    with_forces = any("forces" in found.get(families["forces"], {}) for found in labels)
    frames = FrameList(str(path))
    lone = 0
    for image, its, time, new_run in zip(images, labels, times, _starts(images), strict=True):
        values = {what: its[f][what][1] for what, f in families.items() if what in its.get(f, {})}
        forces = values.get("forces")
        if forces is None and with_forces and image.lone and "energy" in values:
            forces, lone = np.zeros((1, 3)), lone + 1
        frames.add(
            image.atomic_numbers,
            image.positions * factors.length,
            cell=None if image.cell is None else image.cell * factors.length,
            pbc=image.pbc,
            new_run=new_run,
            energy=values["energy"] * factors.energy if "energy" in values else None,
            forces=None if forces is None else forces * factors.force,
            virial=values["virial"] * factors.energy if "virial" in values else None,
            velocities=image.velocities,
            time=time,
        )
    notes = [f"{format_name} file; {factors.note}", note, free, clock, *text.notes, cut_off]
    if lone:
        notes.append(f"forces of {lone} lone atoms, which the file leaves out, are zero")
    found = frames.trajectories(tuple(line for line in notes if line))
    if format_name in lammps_dump.FORMATS and options.time_step is not None:
        lammps_dump.require_same_order(path, found)
    if format_name not in _NO_UNITS:
        return found
    return [replace(run, labels_as=families["energy"].energy[0] if run.energies is not None else "") for run in found]


@dataclass(frozen=True)
class _Image:
    """What is taken of an Atoms object, which is larger."""

    atomic_numbers: Any
    positions: Any
    cell: Any | None
    pbc: Any
    velocities: Any | None
    time: float | None
    step: int | None
    labels: Mapping[Family, Found]

    @property
    def lone(self) -> bool:
        return len(self.positions) == 1 and self.cell is None


def _image(path: Path, number: int, atoms: Any) -> _Image:
    try:
        labels = labels_by_family(atoms)
    except (FramesError, ValueError, TypeError) as error:
        raise FramesError(f"{path}: frame {number}: {error}") from None
    return _Image(
        atoms.get_atomic_numbers(),
        atoms.get_positions(),
        np.asarray(atoms.cell) if atoms.pbc.any() else None,
        atoms.pbc,
        velocities(atoms),
        _time(path, number, atoms),
        atoms.info.get("timestep"),  # of LAMMPS
        labels,
    )


def _time(path: Path, number: int, atoms: Any) -> float | None:
    """fs, if the frame says it."""
    key = next((key for key in TIME_KEYS if key in atoms.info), None)
    if key is None:
        return None
    try:
        return float(atoms.info[key])
    except (TypeError, ValueError):
        raise FramesError(f"{path}: frame {number}: {key} = {atoms.info[key]!r} is no time in fs") from None


def _times(
    images: Sequence[_Image], text: xyz_text.XyzText, options: ReadOptions
) -> tuple[Sequence[float | None], str]:
    """fs of every frame, if the file says it, and a note.

    The numbers of steps in a dump become times if the caller says how far stored frames are apart, so that a frame
    which a restart wrote again, or another interval, is not taken for the next one.
    """
    if text.times is not None:
        return on_grid(np.array(text.times), xyz_text.TIME_DIGITS)[0].tolist(), ""
    steps = [image.step for image in images if image.step is not None]
    if options.time_step is None or len(steps) < len(images) or len(steps) < 2:
        return [image.time for image in images], ""
    apart = np.diff(np.array(steps, np.int64))
    if not (apart > 0).any():
        return [image.time for image in images], ""
    values, counts = np.unique(apart[apart > 0], return_counts=True)
    usual = int(values[np.argmax(counts)])
    note = f"times are those of the step numbers: {usual} steps are {options.time_step:g} fs, as the caller says"
    return [step / usual * options.time_step for step in steps], note


def _starts(images: Sequence[_Image]) -> list[bool]:
    """Of every frame of a dump whether its step number is no later than the one before: another simulation, or the
    same one started again."""
    steps = [image.step for image in images]
    return [False] + [a is not None and b is not None and b <= a for a, b in pairwise(steps)]


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


def _frames(path: Path, format_name: str, settings: Mapping[str, Any]) -> Iterator[Any]:
    import ase.io

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # "file@3" is a name, not the fourth frame
            yield from ase.io.iread(str(path), index=":", format=format_name, do_not_split_by_at_sign=True, **settings)
        except FramesError:
            raise
        except Exception as error:  # ASE's readers raise whatever the parsing of a bad line raises
            detail = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise FramesError(f"{path}: ASE cannot read it as '{format_name}' ({detail})") from error


def velocities(atoms: Any) -> Any | None:
    """Å/fs; ASE's unit of time is Å sqrt(amu/eV)."""
    import ase.units

    return atoms.get_velocities() * ase.units.fs if atoms.has("momenta") else None
