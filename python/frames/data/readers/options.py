"""What the caller of `read` may say about a file, and the checks that all readers share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from frames.errors import FramesError
from frames.units import conversion


@dataclass(frozen=True)
class ReadOptions:
    """Statements about a file that override what its format implies."""

    units: str | None = None
    """Energy unit, or "energy,length": "kcal/mol", "Hartree,bohr"."""
    topology: Path | None = None
    """File with the elements, for trajectories that have positions only."""
    time_step: float | None = None
    """fs between stored frames."""


@dataclass(frozen=True)
class UnitFactors:
    """Factors from the units of a file to eV, Å and eV/Å, and the sentence that reports them."""

    energy: float
    length: float
    note: str

    @property
    def force(self) -> float:
        """Factor of the forces."""
        return self.energy / self.length


def unit_factors(options: ReadOptions, energy: str, length: str = "Å", why: str = "") -> UnitFactors:
    """Units that the caller states, else `energy` and `length`, which the format implies (`why`)."""
    if options.units is None:
        note = f"units taken as {energy} and {energy}/{length}: {why}"
        return UnitFactors(conversion(energy, "eV"), conversion(length, "Å"), note)
    stated, _, stated_length = options.units.partition(",")
    length = stated_length.strip() or length
    note = f"units {stated.strip()} and {stated.strip()}/{length}, as stated by the caller"
    return UnitFactors(conversion(stated, "eV"), conversion(length, "Å"), note)


def memory_limit() -> int:
    """Bytes that one data set may take: three quarters of the memory that is free now."""
    try:
        text = Path("/proc/meminfo").read_text()
        line = next(line for line in text.splitlines() if line.startswith("MemAvailable"))
        return int(line.split()[1]) * 1024 * 3 // 4
    except (OSError, StopIteration):
        # Not Linux: what the machine has altogether.
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4


def check_size(path: Path, needed: int) -> None:
    """Raise FramesError if a file would take more memory than there is, before any of it is taken."""
    limit = memory_limit()
    if needed > limit:
        raise FramesError(
            f"{path}: needs {needed / 2**30:.1f} GiB of memory and {limit / 2**30:.1f} GiB may be used; "
            "read a part of it"
        )


def check_file(path: Path) -> None:
    """Raise FramesError unless `path` is a readable file that is not empty."""
    if not path.exists():
        raise FramesError(f"{path}: no such file")
    if not path.is_file():
        raise FramesError(f"{path}: not a file")
    if path.stat().st_size == 0:
        raise FramesError(f"{path}: the file is empty")
