"""Steps of LAMMPS: the same deck for every pair style, from the geometry and velocities that ASE's workers get.

The time step is a thousandth of a femtosecond, so that forces of a model that has never seen the system cannot change
its geometry; the neighbour list (skin 1 Å) is rebuilt every tenth step, about as often as real dynamics at 300 K needs.
"""

from __future__ import annotations

import re
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms, units
from ase.data import atomic_masses, atomic_numbers
from engine import call
from errors import PeerError
from systems import ELEMENTS, geometry

REBUILD_EVERY = 10  # steps
MARGIN = 10.0  # Å around open molecules
_LOOP = re.compile(r"Loop time of (\S+) on \d+ procs for (\d+) steps")


class LammpsSession:
    """Every call starts `lmp` anew, takes some steps untimed and then the blocks that were asked for."""

    def __init__(
        self, python: Path, pair: str, system: str, folder: Path, threads: int, ranks: int, **environment: str
    ) -> None:
        """`pair` holds the pair_style and pair_coeff lines; python lies beside the `lmp` that is to be used."""
        folder.mkdir(parents=True, exist_ok=True)
        self._programs = python.parent
        self._threads, self._ranks, self._environment = threads, ranks, environment
        self._folder = folder
        self._pair = pair
        self._atoms = ase.io.read(geometry(system))
        write_data(folder / "system.data", self._atoms)

    def blocks(self, steps: int, repeats: int) -> list[float]:
        steps = max(REBUILD_EVERY, steps // REBUILD_EVERY * REBUILD_EVERY)
        runs = [f"run {max(REBUILD_EVERY, steps // 5)}"] + [f"run {steps}"] * repeats
        (self._folder / "in.steps").write_text(deck(self._atoms, self._pair, runs))
        launcher = [self._programs / "mpiexec", "-n", self._ranks] if self._ranks > 1 else []
        lmp = [self._programs / "lmp", "-in", "in.steps", "-log", "none", "-nocite"]
        output = call([*launcher, *lmp], self._folder / "lmp.log", self._threads, **self._environment)
        times = [1e3 * float(seconds) / int(count) for seconds, count in _LOOP.findall(output)]
        if len(times) != repeats + 1:
            raise PeerError(f"lmp printed {len(times)} loop times, expected {repeats + 1}")
        return times[1:]

    def graph(self, count: int) -> float | None:
        return None

    def close(self) -> None: ...


def deck(atoms: Atoms, pair: str, runs: list[str]) -> str:
    """An input deck in metal units."""
    boundary = "p p p" if atoms.pbc.all() else "f f f"
    return "\n".join(
        [
            "units metal",
            "atom_style atomic",
            f"boundary {boundary}",
            "read_data system.data",
            pair,
            "neighbor 1.0 bin",
            f"neigh_modify every {REBUILD_EVERY} delay 0 check no",
            "timestep 1.0e-6",
            "fix integrate all nve",
            "thermo 0",
            *runs,
            "",
        ]
    )


def write_data(path: Path, atoms: Atoms) -> None:
    """A data file; atom types are ELEMENTS in their order. The cell must be orthogonal."""
    low, high = np.zeros(3), np.diag(atoms.cell.array)
    if not atoms.pbc.any():
        low, high = atoms.positions.min(0) - MARGIN, atoms.positions.max(0) + MARGIN
    else:
        atoms = atoms.copy()
        atoms.wrap()
    lines = ["system of the benchmark", "", f"{len(atoms)} atoms", f"{len(ELEMENTS)} atom types", ""]
    lines += [f"{low[k]:.10f} {high[k]:.10f} {axis}lo {axis}hi" for k, axis in enumerate("xyz")]
    lines += ["", "Masses", ""]
    lines += [f"{t} {atomic_masses[atomic_numbers[s]]:.6f}" for t, s in enumerate(ELEMENTS, 1)]
    rows = zip(atoms.symbols, atoms.positions, strict=True)
    lines += ["", "Atoms # atomic", ""]
    lines += [f"{i} {ELEMENTS.index(s) + 1} {x:.10f} {y:.10f} {z:.10f}" for i, (s, (x, y, z)) in enumerate(rows, 1)]
    velocities = atoms.get_velocities() * 1000 * units.fs  # Å/ps
    lines += ["", "Velocities", ""]
    lines += [f"{i} {x:.10f} {y:.10f} {z:.10f}" for i, (x, y, z) in enumerate(velocities, 1)]
    path.write_text("\n".join(lines) + "\n")
