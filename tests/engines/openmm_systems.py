"""Structures for the parity tests, and how to ask OpenMM for one energy and its forces."""

from __future__ import annotations

import functools
import gc
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from frames.units import conversion

EV = conversion("kJ/mol", "eV")
ANGSTROM = conversion("nm", "Å")


def has_cuda() -> bool:
    """Whether OpenMM has its CUDA platform (pip install 'openmm[cuda12]' or 'openmm[cuda13]') and a GPU for it."""
    try:
        import openmm

        integrator, system = openmm.VerletIntegrator(0.001), openmm.System()
        system.addParticle(1.0)
        openmm.Context(system, integrator, openmm.Platform.getPlatformByName("CUDA"))
    except Exception:  # no OpenMM, no such platform, no driver, no GPU
        return False
    return True


TRY_CUDA = "FRAMES_OPENMM_CUDA" in os.environ
"""FramesForce refuses the CUDA platform, which has ended the process so far, unless this is set."""
DEVICES = ("OpenCL", *(["CUDA"] if TRY_CUDA and has_cuda() else []))
PLATFORMS = ("Reference", "CPU", *DEVICES)
TOLERANCE = {"float32": (1e-5, 1e-4), "float64": (1e-8, 1e-8)}  # eV, eV/Å


@functools.cache
def reason_against_opencl() -> str:
    """Why OpenMM's OpenCL platform cannot be used here, or "". A device on the processor will do: Debian's
    pocl-opencl-icd is one."""
    import openmm

    names = [openmm.Platform.getPlatform(k).getName() for k in range(openmm.Platform.getNumPlatforms())]
    if "OpenCL" not in names:
        return "OpenMM has no OpenCL platform here; it has one where a driver is installed (Debian: pocl-opencl-icd)"
    try:
        _context(system_of(2, None), openmm.VerletIntegrator(0.001), "OpenCL", {})
    except openmm.OpenMMException as error:
        return f"no OpenCL device on this machine: {error}"
    return ""


def new_context(system: Any, integrator: Any, platform: str = "Reference", **properties: str) -> Any:
    """A Context on a platform, in double precision on devices where nothing else is said; skips without one."""
    if platform == "OpenCL" and reason_against_opencl():
        pytest.skip(reason_against_opencl())
    if platform == "OpenCL" and system.getNumParticles() == 1:
        pytest.skip("OpenMM 8.6 with pocl ends the process for a system of one particle, whatever its forces")
    return _context(system, integrator, platform, properties)


def _context(system: Any, integrator: Any, platform: str, properties: dict[str, str]) -> Any:
    import openmm

    if platform in DEVICES:
        properties = {"Precision": "double", **properties}
    return openmm.Context(system, integrator, openmm.Platform.getPlatformByName(platform), properties)


def resident_mib() -> float:
    """Memory of this process that is in use; skips where it cannot be read."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("resident memory is read from /proc")
    gc.collect()
    return int(statm.read_text().split()[1]) * 4096 / 2**20


@dataclass(frozen=True)
class Case:
    """A structure; positions and cell in Å, cell None without periodic boundaries."""

    name: str
    numbers: list[int]
    positions: np.ndarray
    cell: np.ndarray | None

    def atoms(self) -> Atoms:
        """The same for ASE."""
        return Atoms(self.numbers, self.positions, cell=self.cell, pbc=self.cell is not None)


def jittered_lattice(name: str, shape: tuple[int, int, int], cell: list[list[float]], seed: int) -> Case:
    """C, H and O atoms on a lattice with a random displacement, some of them moved to other periodic
    images."""
    rng = np.random.default_rng(seed)
    steps = np.stack(np.meshgrid(*[np.arange(n) / n for n in shape], indexing="ij"), axis=-1).reshape(-1, 3)
    box = np.array(cell, float)
    positions = steps @ box + rng.uniform(-0.15, 0.15, (len(steps), 3))
    positions += rng.integers(-2, 3, (len(steps), 3)) @ box
    numbers = rng.choice([1, 6, 8], len(steps))
    return Case(name, numbers.tolist(), positions, box)


def ethanol() -> Case:
    """Nine atoms without periodic boundaries."""
    atoms = molecule("CH3CH2OH")
    return Case("ethanol", atoms.numbers.tolist(), atoms.positions, None)


def cases() -> list[Case]:
    """Boxes wider than twice the toy model's cutoff of 4 Å, between one and two cutoffs, and narrower than
    it."""
    crystal = jittered_lattice("crystal", (5, 5, 5), [[9, 0, 0], [0, 10, 0], [0, 0, 11]], 1)
    large = jittered_lattice("large", (9, 8, 7), [[18, 0, 0], [0, 16, 0], [0, 0, 14]], 5)
    return [
        ethanol(),
        Case("one atom", [8], np.zeros((1, 3)), None),
        Case("far apart", [8, 1], np.array([[0.0, 0, 0], [0, 0, 7.0]]), None),
        crystal,
        jittered_lattice("triclinic", (5, 5, 5), [[10, 0, 0], [4, 9.5, 0], [-3, 4.5, 9]], 2),
        jittered_lattice("images", (3, 2, 3), [[6, 0, 0], [-2, 5, 0], [2.5, -2, 5.5]], 3),
        jittered_lattice("narrow", (2, 1, 1), [[3.6, 0, 0], [1.0, 2.1, 0], [0.5, -0.9, 2.4]], 4),
        Case("one atom in a box", [6], np.array([[0.3, 0.1, 20.0]]), np.diag([2.0, 2.5, 3.0])),
        large,
        replace(large, name="large, open", cell=None),
        jittered_lattice("large, triclinic", (9, 8, 7), [[18, 0, 0], [7, 16, 0], [-8, 6, 14]], 6),
    ]


def system_of(particles: int, cell: np.ndarray | None, mass: float = 12.0) -> Any:
    """An OpenMM System without forces."""
    import openmm

    system = openmm.System()
    for _ in range(particles):
        system.addParticle(mass)
    if cell is not None:
        system.setDefaultPeriodicBoxVectors(*(cell / ANGSTROM))
    return system


def single_point(
    force: Any, positions: np.ndarray, cell: np.ndarray | None, platform: str = "Reference"
) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces (eV/Å) of a Force at positions in Å."""
    import openmm

    system = system_of(len(positions), cell)
    system.addForce(force)
    context = new_context(system, openmm.VerletIntegrator(0.001), platform)
    context.setPositions(positions / ANGSTROM)
    state = context.getState(energy=True, forces=True)
    unit = openmm.unit
    energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) * EV
    forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer) * (EV / ANGSTROM)
    return energy, forces


def topology_of(case: Case) -> Any:
    """An OpenMM Topology of one chain and residue."""
    from openmm import app

    topology = app.Topology()
    residue = topology.addResidue("MOL", topology.addChain())
    for index, number in enumerate(case.numbers):
        element = app.Element.getByAtomicNumber(number)
        topology.addAtom(f"{element.symbol}{index}", element, residue)
    if case.cell is not None:
        topology.setPeriodicBoxVectors(case.cell / ANGSTROM)
    return topology


def reference(model: Path, case: Case) -> tuple[float, np.ndarray]:
    """Energy in eV and forces in eV/Å by the ASE calculator."""
    from frames.ase import FramesCalculator

    atoms = case.atoms()
    atoms.calc = FramesCalculator(model)
    return atoms.get_potential_energy(), atoms.get_forces()


def assert_same(found: tuple[float, np.ndarray], wanted: tuple[float, np.ndarray], dtype: str = "float64") -> None:
    """Energies of more than twenty atoms may differ by more in proportion."""
    energy, force = TOLERANCE[dtype]
    assert found[0] == pytest.approx(wanted[0], abs=energy * max(1, len(wanted[1]) / 20))
    assert np.abs(found[1] - wanted[1]).max() < force


def context_of(force: Any, case: Case, platform: str = "Reference") -> Any:
    """A Context of the force alone on this structure."""
    import openmm

    system = system_of(len(case.numbers), case.cell)
    system.addForce(force)
    context = new_context(system, openmm.VerletIntegrator(0.001), platform)
    context.setPositions(case.positions / ANGSTROM)
    return context


def energy_of(context: Any) -> float:
    """eV."""
    return float(context.getState(energy=True).getPotentialEnergy()._value * EV)
