"""The project's own file: HDF5, each field of a trajectory in a dataset of its own, in the package's units.

Layout: the attributes `format` and `format_version` on the root, and one group per trajectory
(`trajectory_00000`, ...) with a dataset for each array that the trajectory has and the attributes `pbc`,
`source`, `notes` and `metadata` (these two as JSON) and `labels_as`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frames.data.readers.options import ReadOptions, check_file, check_size
from frames.data.trajectory import Trajectory
from frames.errors import FramesError
from frames.files import require_folder, write_atomically

FORMAT = "frames-trajectory"
FORMAT_VERSION = 1
_ARRAYS = (
    "atomic_numbers",
    "positions",
    "cells",
    "energies",
    "forces",
    "virials",
    "velocities",
    "times",
    "runs",
)


def is_ours(path: Path) -> bool:
    """Whether an HDF5 file says that it is in this format. Raises FramesError if it is no HDF5 file."""
    import h5py

    check_file(path)
    try:
        with h5py.File(path, "r") as file:
            return isinstance(name := file.attrs.get("format"), str) and name == FORMAT
    except OSError as error:
        raise FramesError(f"{path}: not an HDF5 file, or a truncated one ({_first_line(error)})") from error


def write(path: Path, trajectories: Sequence[Trajectory], overwrite: bool = False) -> None:
    """Write trajectories to an HDF5 file, all or nothing: its name appears when it is complete.

    Raises FramesError if the file exists and may not be overwritten, or cannot be written.
    """
    import h5py

    path = Path(path)
    require_folder(path)
    if path.exists() and not overwrite:
        raise FramesError(f"{path}: exists already; choose another name or allow overwriting")

    # Made in memory and written by us: HDF5 ends the process with a segmentation fault after a full disk.
    with h5py.File(path.name, "w", driver="core", backing_store=False) as file:
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        for number, trajectory in enumerate(trajectories):
            _write_group(file.create_group(f"trajectory_{number:05d}"), trajectory)
        file.flush()
        image = file.id.get_file_image()
    write_atomically(path, lambda temporary: temporary.write_bytes(image))


def _write_group(group: Any, trajectory: Trajectory) -> None:
    for key in _ARRAYS:
        values = getattr(trajectory, key)
        if values is not None:
            packing = {"compression": "gzip", "compression_opts": 4, "shuffle": True} if values.size else {}
            group.create_dataset(key, data=values, **packing)
    group.attrs["pbc"] = np.array(trajectory.pbc, dtype=np.uint8)
    group.attrs["source"] = trajectory.source
    group.attrs["notes"] = json.dumps(list(trajectory.notes))
    group.attrs["metadata"] = json.dumps(dict(trajectory.metadata))
    group.attrs["labels_as"] = trajectory.labels_as


def read(path: Path, options: ReadOptions) -> list[Trajectory]:
    """All trajectories of a file. Raises FramesError for foreign, newer, damaged and incomplete files."""
    import h5py

    if options.units is not None:
        raise FramesError(f"{path}: this format states its units (eV, Å); leave the units out")
    if not is_ours(path):
        raise FramesError(f"{path}: an HDF5 file, but not in the format '{FORMAT}'")
    try:
        with h5py.File(path, "r") as file:
            version = int(file.attrs.get("format_version", 0))
            if version != FORMAT_VERSION:
                raise FramesError(
                    f"{path}: format version {version}, and this program reads version {FORMAT_VERSION}; "
                    "update frames-md"
                )
            check_size(path, 2 * sum(_bytes(path, group) for group in file.values()))
            return [_read_group(path, group) for group in file.values()]
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise FramesError(f"{path}: damaged or truncated ({_first_line(error)})") from error


def _bytes(path: Path, group: Any) -> int:
    total = 0
    for key in set(_ARRAYS) & set(group):
        if not hasattr(group[key], "dtype"):
            raise FramesError(f"{path}: '{group.name}/{key}' must hold numbers, and is a group")
        if group[key].dtype.kind not in "fiu":
            raise FramesError(f"{path}: '{group.name}/{key}' must hold numbers, got {group[key].dtype}")
        total += int(group[key].size) * 8
    return total


def _read_group(path: Path, group: Any) -> Trajectory:
    missing = {"atomic_numbers", "positions"} - set(group)
    if missing:
        raise FramesError(f"{path}: '{group.name}' lacks {', '.join(sorted(missing))}")
    arrays = {key: group[key][...] for key in _ARRAYS if key in group}
    x, y, z = (bool(flag) for flag in group.attrs["pbc"])
    return Trajectory(
        **arrays,
        pbc=(x, y, z),
        source=str(path),
        notes=tuple(json.loads(group.attrs["notes"])),
        metadata={"original_source": group.attrs["source"], **json.loads(group.attrs["metadata"])},
        labels_as=str(group.attrs.get("labels_as", "")),
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip("'\"").splitlines()[0] if str(error) else type(error).__name__
