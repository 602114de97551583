"""What ASE does not look at in XYZ files: whether all of the text is read, and comments as CP2K writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from frames.errors import FramesError

# i =        1, time =        0.500, E =       -17.1646204766
_NUMBER = r"[-+]?[\d.]+(?:[eEdD][-+]?\d+)?"
_CP2K = re.compile(rf"^\s*i\s*=\s*\d+\s*,(?:\s*time\s*=\s*({_NUMBER})\s*,)?(?:.*,)?\s*E\s*=\s*{_NUMBER}")
TIME_DIGITS = 1e-3  # fs, with which CP2K writes times
_NOT_POSITIONS = re.compile(r"-(frc|vel)-\d+\.xyz$")


@dataclass(frozen=True)
class XyzText:
    """Of a whole file.

    Attributes:
        by_cp2k: CP2K wrote the file.
        times: fs, of every frame, if it says them.
        notes: what looks wrong.
    """

    by_cp2k: bool
    times: list[float] | None
    notes: tuple[str, ...]


def scan(path: Path) -> XyzText:
    """Looks through a file.

    Raises FramesError if a frame says that it has more atoms than the file has lines, for which ASE would look until
    the end of days, if ASE would end before the file does, and for forces and velocities of CP2K, which look like
    positions.
    """
    size = path.stat().st_size
    times: list[float] = []
    frames, comments, width, row = 0, 0, 0, b""
    with path.open("rb") as stream:
        while (line := stream.readline()).strip():
            try:
                atoms = int(line)
            except ValueError:
                return XyzText(False, None, ())  # for ASE to say what is wrong
            if atoms > size:
                raise FramesError(f"{path}: a frame of {atoms} atoms in a file of {size} bytes: damaged or truncated")
            comment = stream.readline().decode("utf-8", "replace")
            if (found := _CP2K.match(comment)) is not None:
                comments += 1
                times += [] if found[1] is None else [float(found[1].replace("D", "E").replace("d", "e"))]
            rows = [stream.readline() for _ in range(atoms)]
            width, row = min(map(len, rows[:-1]), default=0), rows[-1] if rows else b""
            frames += 1
        if line and stream.read(1 << 20).strip():
            raise FramesError(
                f"{path}: an empty line after {frames} frames, and more after it, which would not be read; take empty "
                "lines out"
            )
    if comments and _NOT_POSITIONS.search(path.name):
        raise FramesError(
            f"{path}: by its name forces or velocities of CP2K, not positions; name the file of the positions "
            "(-pos-), or one with positions and forces in its columns"
        )
    if 0 < comments < frames:
        raise FramesError(
            f"{path}: {frames - comments} of {frames} frames lack the energy that the others have in their comments, "
            "as CP2K writes them; take those frames out"
        )
    cut = not row.endswith(b"\n") and len(row) + 1 < width
    notes = ("the last row ends without a line break and is shorter than the others: cut off?",) if cut else ()
    return XyzText(comments > 0, times if comments and len(times) == frames else None, notes)
