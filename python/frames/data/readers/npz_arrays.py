"""Arrays from NumPy archives, which are untrusted: no pickles, sizes known before memory is taken."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from frames.data.readers.options import check_file, check_size
from frames.errors import FramesError

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError)


def array_names(path: Path) -> set[str]:
    """Names of the arrays in an .npz file. Raises FramesError if it is none."""
    check_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
    except _DAMAGE as error:
        raise FramesError(f"{path}: not a NumPy .npz file, or a truncated one ({error})") from error


def load_arrays(path: Path, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """These arrays of an .npz file, by name.

    Raises FramesError for arrays of Python objects, for sizes that do not fit in memory or do not agree with
    the file, and for damaged data.
    """
    names = list(names)
    sizes = {name: _checked_size(path, name) for name in names}
    # Each array may exist twice for a moment: as stored, and as float64.
    check_size(path, 2 * sum(sizes.values()))
    return {name: _load(path, name) for name in names}


def _load(path: Path, name: str) -> NDArray[Any]:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)
    except _DAMAGE as error:
        raise FramesError(f"{path}: array '{name}' is damaged or truncated ({error})") from error


def load_npy(path: Path) -> NDArray[Any]:
    """The array of one .npy file, with the same checks."""
    check_file(path)
    try:
        with path.open("rb") as stream:
            needed = _size_in_header(stream, f"{path}")
            if path.stat().st_size - stream.tell() < needed:
                raise FramesError(f"{path}: truncated: {needed} bytes of data expected")
            check_size(path, 2 * needed)
            stream.seek(0)
            return np.lib.format.read_array(stream, allow_pickle=False)
    except _DAMAGE as error:
        raise FramesError(f"{path}: not a NumPy array file, or a damaged one ({error})") from error


def _checked_size(path: Path, name: str) -> int:
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{name}.npy")
            with archive.open(member) as stream:
                needed = _size_in_header(stream, f"{path}: array '{name}'")
                if member.file_size - stream.tell() != needed:
                    raise FramesError(f"{path}: array '{name}' is not as long as its header says")
                return needed
    except (*_DAMAGE, KeyError) as error:
        raise FramesError(f"{path}: array '{name}' is damaged or truncated ({error})") from error


def _size_in_header(stream: IO[bytes], what: str) -> int:
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    if dtype.hasobject:
        raise FramesError(
            f"{what} holds Python objects, which are not read from files because they can run code; save plain numbers"
        )
    return math.prod(shape) * dtype.itemsize
