"""Whether ASE has read all of a file of VASP: it ends in silence where the file is cut off or has other headers."""

from __future__ import annotations

import os
import re
from pathlib import Path

from frames.errors import FramesError

_HEADER = re.compile(rb"^\s*(direct configuration|konfig)", re.IGNORECASE)
_TAIL = 4096
_COMPRESSED = (".gz", ".bz2", ".xz")


def check_whole(path: Path, format_name: str, frames: int) -> str:
    """A note if a vasprun.xml is cut off, of which whole steps are read. Compressed files are not looked at.

    Raises FramesError if an XDATCAR has more frames than were read.
    """
    if path.suffix in _COMPRESSED:
        return ""
    if format_name == "vasp-xdatcar":
        with path.open("rb") as stream:
            stored = sum(_HEADER.match(line) is not None for line in stream)
        if stored > frames:
            raise FramesError(
                f"{path}: {frames} of {stored} frames could be read: damaged, cut off, or with lines that ASE does not "
                "expect, as empty ones; read vasprun.xml instead"
            )
    if format_name == "vasp-xml":
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _TAIL))
            if b"</modeling>" not in stream.read():
                return f"the file is cut off; {frames} whole steps were read"
    return ""
