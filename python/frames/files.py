"""Writing files so that a kill or a full disk never leaves half of one in place of a good one."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from frames.errors import FramesError


def without_nan(value: Any) -> Any:
    """The same with None for NaN and infinity, which JSON does not know."""
    if isinstance(value, dict):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def require_folder(path: str | Path | None) -> None:
    """Raises FramesError if a file cannot be written there because there is no such folder: before the work is done."""
    if path is not None and not Path(path).parent.is_dir():
        raise FramesError(f"{path}: cannot be written, since {Path(path).parent} is not a folder")


def write_atomically(path: str | Path, write: Callable[[Path], object]) -> None:
    """Calls `write(temporary)` beside `path`, flushes it to the disk and renames it over `path`.

    Raises FramesError if the file cannot be written (folder missing, no permission, disk full); what was at `path`
    before stays as it was.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(temporary)
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        # torch reports a full disk as a RuntimeError of its archive writer
        raise FramesError(
            f"{path}: cannot be written ({error})"
            + ("; the file that was there before is unchanged" if path.is_file() else "")
        ) from error
    finally:
        with contextlib.suppress(OSError):  # nothing to remove where the folder is no folder
            temporary.unlink(missing_ok=True)
