"""One run on any number of ranks and in any decomposition: what is compared, by the tests and by benchmarks/ranks.

Atoms are hot enough to change their owners while the forces are compared: trajectories of many atoms part from each
other exponentially, so that differences of rounding would be visible forces after a few picoseconds whatever the code
does; within some hundred femtoseconds they are not.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from lammps_run import Floats, Run, run_lammps
from lammps_systems import TYPES, ethanol, heated, jittered

TEMPERATURE = 1500.0  # K, of the velocities at the start
SPEED = 1.0  # Å per ASE's unit of time, 0.1 Å/fs: the drift of slab and molecule
EVERY = 10  # steps between two looks at who owns an atom
PRESSURES = ("Pxx", "Pyy", "Pzz", "Pxy", "Pxz", "Pyz")

TILT = np.array([[1.0, 0, 0], [0.3, 1.0, 0], [-0.25, 0.35, 1.0]])


@dataclass(frozen=True)
class System:
    """Atoms, and what happens to them in the middle of the run."""

    name: str
    build: Callable[[bool], Atoms]  # of a triclinic box?
    between: str = ""
    trained: bool = False  # by the model of ethanol, not by an untrained one


@dataclass(frozen=True)
class Variant:
    """How LAMMPS is told to distribute the atoms."""

    name: str
    triclinic: bool = False
    newton: str = "on"
    settings: str = ""


def _crystal(triclinic: bool) -> Atoms:
    """A periodic lattice of C, H and O [180 atoms]."""
    cell = np.diag([11.5, 11.5, 13.8])
    return heated(jittered((5, 6, 6), cell @ TILT if triclinic else cell, 1), TEMPERATURE)


def _slab(triclinic: bool) -> Atoms:
    """A layer on its way through a tall box, most of which is empty [75 atoms]."""
    cell = np.diag([11.5, 11.5, 6.6])
    atoms = heated(jittered((5, 5, 3), cell @ TILT if triclinic else cell, 5), TEMPERATURE)
    # upwards through the borders between two, three, four and eight ranks
    atoms.positions += [0, 0, 14.0]
    atoms.set_velocities(atoms.get_velocities() + np.array([0, 0, SPEED]))
    cell[2, 2] = 60.0
    atoms.set_cell(cell @ (np.diag([1, 1, 0.25]) @ TILT + np.diag([0, 0, 0.75])) if triclinic else cell)
    return atoms


def _molecule(triclinic: bool) -> Atoms:
    """One molecule of ethanol on its way through a large box, across borders between ranks."""
    atoms = heated(ethanol(), 600.0)
    cell = np.diag([24.0, 24.0, 24.0])
    atoms.set_cell(cell @ TILT if triclinic else cell)
    atoms.pbc = True
    atoms.positions += np.full(3, 0.38) @ atoms.cell.array - atoms.positions.mean(axis=0)
    atoms.set_velocities(atoms.get_velocities() + SPEED)
    return atoms


def flying_molecules() -> Atoms:
    """Eight molecules of ethanol, farther from each other than 5 Å, that fly side by side through a periodic box."""
    one = heated(ethanol(), 600.0)
    one.set_velocities(one.get_velocities() + SPEED)
    one.set_cell(np.diag([12.0, 12.0, 12.0]))
    one.pbc = True
    one.center()
    return one.repeat((2, 2, 2))


SYSTEMS = {
    system.name: system
    for system in (
        System("crystal", _crystal),
        System("slab", _slab),
        System("molecule", _molecule, trained=True),
        System("deleted", _crystal, "group gone id 3 7 20:30 100:120\ndelete_atoms group gone compress no\n"),
    )
}
VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("bricks"),
        Variant("newton off", newton="off"),
        Variant("tiled", settings="comm_style tiled\nfix balance all balance 20 1.0 rcb"),
        Variant("triclinic", triclinic=True),
    )
}


def run_system(
    folder: Path, system: System, variant: Variant, model: Path, ranks: int, steps: int, grid: str = ""
) -> Run:
    """Runs `steps` steps of 0.3 fs; with none, one evaluation."""
    atoms = system.build(variant.triclinic)
    half = steps // 2
    moving = f"run {half}\n{system.between}run {steps - half}"
    owners = f"compute owner all property/atom proc\ndump owners all custom {EVERY} owners.dump id c_owner\n"
    return run_lammps(
        folder, atoms, model, TYPES, ranks,
        newton=variant.newton,
        before=grid,
        settings=variant.settings,
        commands=(
            "thermo 1000\nneigh_modify delay 0 every 5\ntimestep 0.0003\nfix nve all nve\n"
            f"{owners if steps else ''}{moving if steps else 'run 0'}"
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class Owners:
    """Who owned the atoms in a run."""

    changes: int  # atoms that had changed their rank from one look to the next, summed over the looks
    atoms: int  # different atoms among them
    fewest: int  # atoms of a rank, at any time


def owners(folder: Path, ranks: int) -> Owners:
    """Reads what `run_system` dumped."""
    frames: list[dict[int, int]] = []  # rank by atom
    reading = False
    for line in (folder / "owners.dump").read_text().splitlines():
        if line.startswith("ITEM:"):
            reading = line.startswith("ITEM: ATOMS")
            if reading:
                frames.append({})
        elif reading:
            atom, rank = line.split()
            frames[-1][int(atom)] = int(rank)
    changed = [
        {atom for atom, rank in after.items() if before[atom] != rank} for before, after in itertools.pairwise(frames)
    ]
    fewest = min(np.bincount(list(frame.values()), minlength=ranks).min() for frame in frames)
    return Owners(sum(map(len, changed)), len(set().union(*changed)), int(fewest))


def digits_lost(run: Run, reference: Run) -> float:
    """Largest relative difference of energy and pressures at step 0; pressures relative to the largest of them."""
    scale = max(abs(reference.thermo[name][0]) for name in PRESSURES)
    energy = abs(run.thermo["PotEng"][0] / reference.thermo["PotEng"][0] - 1.0)
    return float(max([energy, *(abs(run.thermo[n][0] - reference.thermo[n][0]) / scale for n in PRESSURES)]))


def largest(values: Floats) -> float:
    return float(np.abs(values).max())
