"""Resident memory of a run of LAMMPS, read from outside while it prints its thermo lines."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from lammps_run import PATIENT_MPI, PROGRAMS, Floats

PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def resident_by_step(folder: Path, text: str, ranks: int = 1) -> tuple[Floats, Floats]:
    """Runs a deck, which must print a thermo line at every look, and flush it (`thermo_modify flush yes`).

    Returns steps [looks] and MiB [looks, ranks] that the ranks, in no fixed order, had in use then.
    """
    if not Path("/proc/self/statm").exists():
        pytest.skip("resident memory is read from /proc")
    (folder / "in.test").write_text(text)
    launcher = [PROGRAMS / "mpiexec", "-n", str(ranks)] if ranks > 1 else []
    steps: list[int] = []
    resident: list[list[float]] = []
    printed: list[str] = []
    with subprocess.Popen(
        [*launcher, PROGRAMS / "lmp", "-in", "in.test", "-log", "none", "-nocite"],
        cwd=folder,
        env={**os.environ, **PATIENT_MPI, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        reading = False
        for line in process.stdout:
            printed.append(line)
            words = line.split()
            if reading and words and words[0].isdigit():
                found = sorted(_resident(pid) for pid in _programs(process.pid))
                if len(found) == ranks:  # else the run is already over
                    steps.append(int(words[0]))
                    resident.append(found)
            reading = words[:1] == ["Step"] or (reading and not line.startswith("Loop time"))
    assert process.returncode == 0, "".join(printed)
    return np.array(steps, float), np.array(resident)


def _programs(root: int) -> list[int]:
    """Processes below `root` that run LAMMPS itself; `lmp` is a script that starts it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:  # gone
            continue
        children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        waiting += children.get(pid, [])
        try:
            program = Path(f"/proc/{pid}/exe").readlink()
        except OSError:
            continue
        if program.name == "lmp":
            found.append(pid)
    return found


def _resident(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 2**20
    except OSError:
        return float("nan")
