"""What is timed and what is trained on: the same files for every engine.

Training frames: rMD17 ethanol, 950 for training and 50 for validation, every twentieth of the 1,000 (they are in
random order); the 1,000 test frames are a file of their own. Energies are written relative to the isolated atoms, so
that no engine loses digits of them in float32.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from errors import PeerError

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("FRAMES_SHARED_DATA", ROOT.parent / "shared" / "data"))
CACHE = Path(__file__).resolve().parent / ".cache"
ELEMENTS = ("H", "C", "O")
CUTOFF = 5.0  # Å, of every model
TEMPERATURE = 300.0  # K, of the velocities
MOLECULES = 64  # of water
WATER_DENSITY = 0.997  # g/cm³


@dataclass(frozen=True)
class Frames:
    """Paths of the extxyz files of the training task."""

    train: Path
    validation: Path
    test: Path


def training_frames() -> Frames:
    """Writes the three files once. Raises PeerError where the reference data is absent."""
    folder = CACHE / "data"
    frames = Frames(folder / "train.xyz", folder / "validation.xyz", folder / "test.xyz")
    if frames.test.is_file():
        return frames
    source = SHARED / "rmd17"
    if not source.is_dir():
        raise PeerError(f"reference data not found: {source} (set FRAMES_SHARED_DATA to its parent folder)")
    folder.mkdir(parents=True, exist_ok=True)
    isolated = {a.symbols[0]: a.get_potential_energy() for a in ase.io.read(source / "isolated_atoms.xyz", ":")}
    known = [_relative(a, isolated) for a in ase.io.read(source / "ethanol_train.xyz", ":")]
    ase.io.write(frames.train, [a for i, a in enumerate(known) if i % 20 != 10])
    ase.io.write(frames.validation, known[10::20])
    ase.io.write(frames.test, [_relative(a, isolated) for a in ase.io.read(source / "ethanol_test.xyz", ":")])
    return frames


def forces_of(path: Path) -> np.ndarray:
    """Reference forces [S,N,3] in eV/Å."""
    return np.array([a.get_forces() for a in ase.io.read(path, ":")])


def geometry(name: str) -> Path:
    """An extxyz file with positions, velocities and cell of one system. Raises PeerError."""
    path = CACHE / "systems" / f"{name}.xyz"
    if path.is_file():
        return path
    atoms = {"ethanol": _ethanol, "aspirin": _aspirin, "water": water}[name]()
    MaxwellBoltzmannDistribution(atoms, temperature_K=TEMPERATURE, rng=np.random.default_rng(0))
    path.parent.mkdir(parents=True, exist_ok=True)
    ase.io.write(path, atoms, columns=["symbols", "positions", "momenta"])
    return path


SYSTEMS = ("ethanol", "aspirin", "water")


def water(seed: int = 0) -> Atoms:
    """A periodic box of liquid water [192 atoms]: TIP3P molecules on a grid, turned at random, 20 ps at 300 K."""
    import openmm
    from openmm import app, unit

    rng = np.random.default_rng(seed)
    edge = (MOLECULES * 18.01528 / (0.602214076 * WATER_DENSITY)) ** (1 / 3)  # Å
    side = round(MOLECULES ** (1 / 3))
    half = np.radians(104.52 / 2)
    molecule = 0.9572 * np.array([[0, 0, 0], [np.sin(half), np.cos(half), 0], [-np.sin(half), np.cos(half), 0]])
    centres = (np.indices((side,) * 3).reshape(3, -1).T + 0.5) * edge / side
    positions = np.concatenate([centre + molecule @ _rotation(rng).T for centre in centres])

    topology = app.Topology()
    chain = topology.addChain()
    for _ in range(MOLECULES):
        residue = topology.addResidue("HOH", chain)
        oxygen = topology.addAtom("O", app.element.oxygen, residue)
        for label in ("H1", "H2"):
            topology.addBond(oxygen, topology.addAtom(label, app.element.hydrogen, residue))
    topology.setPeriodicBoxVectors(np.eye(3) * edge * 0.1)
    system = app.ForceField("tip3p.xml").createSystem(
        topology, nonbondedMethod=app.PME, nonbondedCutoff=0.6 * unit.nanometer, rigidWater=True
    )
    integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, 1.0, 0.002)
    integrator.setRandomNumberSeed(seed + 1)
    platform = openmm.Platform.getPlatformByName("CPU")
    context = openmm.Context(system, integrator, platform, {"DeterministicForces": "true", "Threads": "1"})
    context.setPositions(positions * 0.1)
    openmm.LocalEnergyMinimizer.minimize(context, maxIterations=200)
    context.setVelocitiesToTemperature(TEMPERATURE, seed + 1)
    integrator.step(10_000)
    state = context.getState(positions=True, enforcePeriodicBox=False)
    found = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
    return Atoms("OHH" * MOLECULES, positions=found, cell=np.eye(3) * edge, pbc=True)


def _ethanol() -> Atoms:
    atoms = ase.io.read(training_frames().test, 0)
    return Atoms(atoms.symbols, positions=atoms.positions)


def _aspirin() -> Atoms:
    path = SHARED / "md17" / "aspirin_test.npz"
    if not path.is_file():
        raise PeerError(f"reference data not found: {path}")
    with np.load(path) as data:
        return Atoms(np.ravel(data["atomic_numbers"])[:21].astype(int), positions=data["pos"][0])


def _relative(atoms: Atoms, isolated: dict[str, float]) -> Atoms:
    """The open molecule, its energy relative to the isolated atoms.

    The cell means nothing but has a volume: `nequip-compile` compares stresses, which are NaN without one.
    """
    result = Atoms(atoms.symbols, positions=atoms.positions, cell=50.0 * np.eye(3), pbc=False)
    energy = atoms.get_potential_energy() - sum(isolated[s] for s in atoms.symbols)
    result.calc = SinglePointCalculator(result, energy=energy, forces=atoms.get_forces())
    return result


def _rotation(rng: np.random.Generator) -> np.ndarray:
    """A random rotation matrix: the orthogonal factor of a Gaussian matrix."""
    matrix, triangular = np.linalg.qr(rng.normal(size=(3, 3)))
    matrix = matrix * np.sign(np.diag(triangular))
    return matrix * np.linalg.det(matrix)


def describe(path: Path) -> dict[str, Any]:
    """Numbers of atoms and directed edges within the cutoff, for the report."""
    from ase.neighborlist import neighbor_list

    atoms = ase.io.read(path)
    return {"atoms": len(atoms), "edges": len(neighbor_list("i", atoms, CUTOFF))}
