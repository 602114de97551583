"""The same structures through every engine: ASE, LAMMPS, and OpenMM by TorchForce, FramesForce and MLPotential.

`python benchmarks/openmm/parity.py [--count N]` takes 40 structures of each of five kinds, with the trained models of
this repository in single precision, as they are, and exported in double precision. It writes the largest differences
from ASE to parity.json beside this file, prints them, and exits with status 1 if one exceeds what is allowed. About
five minutes.

Kinds: a molecule; a crystal in a box wider than twice the cutoff; the same sheared; its unit cell, narrower than the
cutoff; and one molecule of the model among particles that it does not describe.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch  # before openmm, which then finds the plug-in of TorchForce
import typer
from ase import Atoms
from ase.build import bulk, molecule

from frames.ase import FramesCalculator
from frames.units import conversion

HERE = Path(__file__).resolve().parent
MODELS = HERE.parents[1] / "models"
EV, ANGSTROM = conversion("kJ/mol", "eV"), conversion("nm", "Å")
LIMITS = {"float32": (1e-5, 1e-4), "float64": (1e-8, 1e-8)}  # eV, eV/Å

Answers = list[tuple[float, np.ndarray]]  # energy in eV and forces [N,3] in eV/Å of each structure


@dataclass(frozen=True)
class Kind:
    """Structures of the same atoms. `described` are the indices of the model's, None for all."""

    name: str
    model: str
    structures: list[Atoms]
    described: list[int] | None = None

    def part(self, atoms: Atoms) -> Atoms:
        """What the model sees of a structure."""
        return atoms if self.described is None else atoms[self.described]


def kinds(count: int, seed: int = 1) -> list[Kind]:
    """The five kinds, `count` structures of each."""
    rng = np.random.default_rng(seed)
    return [
        Kind("molecule", "ethanol", [_shaken(molecule("CH3CH2OH"), 0.05, rng) for _ in range(count)]),
        Kind("crystal", "copper", [_crystal(3, 0.0, rng) for _ in range(count)]),
        Kind("triclinic crystal", "copper", [_crystal(3, 0.15, rng) for _ in range(count)]),
        Kind("small box", "copper", [_crystal(1, 0.15, rng) for _ in range(count)]),
        _ethanol_among_others(count, rng),
    ]


def _shaken(atoms: Atoms, distance: float, rng: np.random.Generator) -> Atoms:
    """Displaced at random; periodic atoms also by whole lattice vectors."""
    atoms.positions += rng.normal(0, distance, atoms.positions.shape)
    if atoms.pbc.all():
        atoms.positions += rng.integers(-2, 3, atoms.positions.shape) @ atoms.cell.array
    return atoms


def _crystal(cells: int, shear: float, rng: np.random.Generator) -> Atoms:
    """Copper, stretched by a few per cent and sheared; the cell is lower triangular, as LAMMPS and OpenMM want it."""
    atoms = bulk("Cu", cubic=True, a=3.62).repeat(cells)
    strain = np.diag(rng.uniform(0.99, 1.03, 3))
    strain[[1, 2, 2], [0, 0, 1]] = rng.uniform(-shear, shear, 3)
    atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    return _shaken(atoms, 0.06, rng)


def _ethanol_among_others(count: int, rng: np.random.Generator) -> Kind:
    """Ethanol across the faces of a box, its atoms in any order among 60 of argon, which the model does not know."""
    order = rng.permutation(69)
    structures = []
    for _ in range(count):
        ethanol = _shaken(molecule("CH3CH2OH"), 0.05, rng)
        ethanol.positions += rng.uniform(0, 12, 3)
        others = Atoms("Ar60", rng.uniform(0, 12, (60, 3)))
        atoms = (ethanol + others)[order]
        atoms.set_cell([12.0, 12.5, 13.0])
        atoms.pbc = True
        structures.append(atoms)
    return Kind("subset of a larger system", "ethanol", structures, np.flatnonzero(order < 9).tolist())


def through_ase(kind: Kind, model: Path) -> Answers:
    calculator = FramesCalculator(model)
    answers = []
    for atoms in kind.structures:
        part = kind.part(atoms).copy()
        part.calc = calculator
        forces = np.zeros((len(atoms), 3))
        forces[kind.described if kind.described is not None else slice(None)] = part.get_forces()
        answers.append((part.get_potential_energy(), forces))
    return answers


def through_lammps(kind: Kind, model: Path) -> Answers:
    """All structures in one run of `lmp`; atoms that the model does not describe are of a type of their own."""
    elements = sorted(set(kind.part(kind.structures[0]).symbols))
    described = set(range(len(kind.structures[0])) if kind.described is None else kind.described)
    strangers = len(described) < len(kind.structures[0])
    pair = f"pair_style frames\npair_coeff * * {model} {' '.join(elements)}"
    if strangers:
        last = len(elements) + 1
        pair = (
            f"pair_style hybrid frames zero 5.0\npair_coeff * * frames {model} {' '.join(elements)} NULL\n"
            f"pair_coeff * {last} zero"
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        deck = []
        for k, atoms in enumerate(kind.structures):
            types = [elements.index(a.symbol) + 1 if a.index in described else len(elements) + 1 for a in atoms]
            _write_data(folder / f"{k}.data", atoms, types, len(elements) + strangers)
            boundary = "p p p" if atoms.pbc.all() else "f f f"
            deck.append(
                f"clear\nunits metal\natom_style atomic\nboundary {boundary}\nread_data {k}.data\n{pair}\n"
                f"neighbor 1.0 bin\nthermo_modify norm no\nrun 0 post no\n"
                f'print "$(pe:%.17g)" append energies screen no\n'
                f'write_dump all custom {k}.dump id fx fy fz modify sort id format float "%.17g"\n'
            )
        (folder / "in.parity").write_text("".join(deck))
        command = [Path(sys.executable).with_name("lmp"), "-in", "in.parity", "-log", "none", "-nocite"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise RuntimeError(f"LAMMPS failed: {done.stdout[-2000:]}{done.stderr[-500:]}")
        energies = [float(line) for line in (folder / "energies").read_text().split()]
        return [
            (energy, np.loadtxt(folder / f"{k}.dump", skiprows=9, usecols=(1, 2, 3), ndmin=2))
            for k, energy in enumerate(energies)
        ]


def _write_data(path: Path, atoms: Atoms, types: list[int], number: int) -> None:
    cell, origin = atoms.cell.array, np.zeros(3)
    if not atoms.pbc.any():
        origin = atoms.positions.min(axis=0) - 5.0
        cell = np.diag(atoms.positions.max(axis=0) + 5.0 - origin)
    lines = ["a structure", "", f"{len(atoms)} atoms", f"{number} atom types", ""]
    lines += [f"{origin[k]:.17g} {origin[k] + cell[k, k]:.17g} {axis}lo {axis}hi" for k, axis in enumerate("xyz")]
    if np.abs(cell - np.diag(np.diag(cell))).max() > 0:
        lines.append(f"{cell[1, 0]:.17g} {cell[2, 0]:.17g} {cell[2, 1]:.17g} xy xz yz")
    lines += ["", "Masses", "", *(f"{k + 1} 1.0" for k in range(number)), "", "Atoms # atomic", ""]
    for k, (kind, (x, y, z)) in enumerate(zip(types, atoms.positions, strict=True)):
        lines.append(f"{k + 1} {kind} {x:.17g} {y:.17g} {z:.17g}")
    path.write_text("\n".join(lines) + "\n")


def through_torchforce(kind: Kind, model: Path) -> Answers:
    from frames.openmm import torch_force

    return _in_openmm(kind, _with(torch_force(model, _topology(kind), atoms=kind.described), kind))


def through_framesforce(kind: Kind, model: Path) -> Answers:
    from frames.openmm import FramesForce

    return _in_openmm(kind, _with(FramesForce(model, _topology(kind), atoms=kind.described), kind))


def through_mlpotential(kind: Kind, model: Path) -> Answers:
    """Particles that the model does not describe are those of a classical system, here one without forces."""
    from openmmml import MLPotential

    potential, topology = MLPotential("frames", modelPath=model), _topology(kind)
    if kind.described is None:
        return _in_openmm(kind, potential.createSystem(topology, removeCMMotion=False))
    return _in_openmm(kind, potential.createMixedSystem(topology, _with(None, kind), kind.described))


ENGINES: dict[str, Callable[[Kind, Path], Answers]] = {
    "ASE": through_ase,
    "LAMMPS": through_lammps,
    "TorchForce": through_torchforce,
    "FramesForce": through_framesforce,
    "MLPotential": through_mlpotential,
}


def _topology(kind: Kind) -> Any:
    from openmm import app

    atoms = kind.structures[0]
    topology = app.Topology()
    residue = topology.addResidue("MOL", topology.addChain())
    for atom in atoms:
        topology.addAtom(f"{atom.symbol}{atom.index}", app.Element.getBySymbol(atom.symbol), residue)
    if atoms.pbc.all():
        topology.setPeriodicBoxVectors(atoms.cell.array / ANGSTROM)
    return topology


def _with(force: Any, kind: Kind) -> Any:
    """A System of these particles with one force, or none."""
    import openmm

    system = openmm.System()
    for mass in kind.structures[0].get_masses():
        system.addParticle(mass)
    if kind.structures[0].pbc.all():
        system.setDefaultPeriodicBoxVectors(*(kind.structures[0].cell.array / ANGSTROM))
    if force is not None:
        system.addForce(force)
    return system


def _in_openmm(kind: Kind, system: Any) -> Answers:
    """One Context for all structures: the neighbour list has to follow them."""
    import openmm

    # Reference holds positions and forces in double precision, as a comparison to 1e-8 demands
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
    answers = []
    for atoms in kind.structures:
        if atoms.pbc.all():
            context.setPeriodicBoxVectors(*(atoms.cell.array / ANGSTROM))
        context.setPositions(atoms.positions / ANGSTROM)
        state = context.getState(energy=True, forces=True)
        energy = state.getPotentialEnergy()._value * EV
        answers.append((energy, state.getForces(asNumpy=True)._value * (EV / ANGSTROM)))
    return answers


def models_in_double(folder: Path, names: Sequence[str] = ("ethanol", "copper")) -> dict[str, Path]:
    """The trained models, exported again in double precision."""
    from frames.artifact import read_model
    from frames.export import ModelSpec, Structure, export

    found = {}
    for name in names:
        file = read_model(MODELS / name / f"{name}.pt")
        meta, frame = file.metadata, file.test_frame
        spec = ModelSpec(meta.backbone, meta.backbone_settings, tuple(meta.elements), meta.cutoff)
        potential = spec.build(torch.float64)
        shapes = {key: value.shape for key, value in potential.state_dict().items()}  # numbers are stored as [1]
        potential.load_trained({key: torch.from_numpy(file.weights[key]).reshape(shapes[key]) for key in shapes})
        found[name] = folder / f"{name}.pt"
        structure = Structure(frame.atomic_numbers, frame.positions, frame.cell, frame.pbc)
        export(potential, spec, found[name], structure, dtype="float64")
    return found


def differences(kind: Kind, model: Path) -> dict[str, dict[str, float]]:
    """By engine: the largest difference from ASE of an energy (eV) and of a component of a force (eV/Å)."""
    answers = {name: engine(kind, model) for name, engine in ENGINES.items()}
    reference = answers.pop("ASE")
    found = {}
    for name, given in answers.items():
        energy = max(abs(a[0] - b[0]) for a, b in zip(given, reference, strict=True))
        force = max(float(np.abs(a[1] - b[1]).max()) for a, b in zip(given, reference, strict=True))
        found[name] = {"energy_ev": energy, "force_ev_per_angstrom": force}
    return found


def main(
    count: Annotated[int, typer.Option(help="Structures of each kind.")] = 40,
    output: Annotated[Path, typer.Option(help="File for the results.")] = HERE / "parity.json",
) -> None:
    """Compares all engines and writes the results."""
    results: dict[str, Any] = {
        "structures_of_each_kind": count,
        "limits": LIMITS,
        "largest_difference_from_ase": {},
    }
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        models = {
            "float32": {name: MODELS / name / f"{name}.pt" for name in ("ethanol", "copper")},
            "float64": models_in_double(Path(folder)),
        }
        for precision, paths in models.items():
            table = results["largest_difference_from_ase"][precision] = {}
            for kind in kinds(count):
                table[kind.name] = {"atoms": len(kind.structures[0]), **differences(kind, paths[kind.model])}
                for engine in list(ENGINES)[1:]:
                    energy, force = table[kind.name][engine].values()
                    allowed = LIMITS[precision]
                    failed = energy > allowed[0] or force > allowed[1]
                    failures += failed
                    verdict = "  TOO MUCH" if failed else ""
                    print(
                        f"{precision} {kind.name:26s} {engine:12s} {energy:.1e} eV {force:.1e} eV/Å{verdict}",
                        flush=True,
                    )
    output.write_text(json.dumps(results, indent=1) + "\n")
    raise typer.Exit(1 if failures else 0)


if __name__ == "__main__":
    typer.run(main)
