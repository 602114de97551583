"""Trains and runs on reference data that others made: `python benchmarks/reference_data/run.py [NAME ...]`.

Needs the data beside the repository (../shared/data). For each configuration: train, export, check, then the same
structure and 500 steps of NVE in ASE, LAMMPS and OpenMM. Writes results.json; a training that is there is kept.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.lammps import convert
from ase.io.lammpsdata import write_lammps_data
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

from frames.ase import FramesCalculator
from frames.config import load_config
from frames.data.readers import hdf5, read
from frames.training.checkpoint import load_checkpoint
from frames.training.dataset import load_training_data
from frames.units import conversion

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
BIN = Path(sys.executable).parent
STEPS, TIME_STEP = 500, 0.5  # fs


def frames(*arguments: str | Path) -> None:
    subprocess.run([BIN / "frames", *map(str, arguments)], check=True)


def main(names: list[str]) -> None:
    if not DATA.is_dir():
        sys.exit(f"reference data not found: {DATA}")
    scored = HERE / "out" / "ethanol_2000random.h5"
    scored.parent.mkdir(exist_ok=True)
    if not scored.exists():
        convert_scored_frames(scored)
    path = HERE / "results.json"
    for name in names or ["ch4", "hc", "md17"]:
        found = run(name)
        results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        results[name] = found
        path.write_text(json.dumps(results, indent=1) + "\n")
        print(json.dumps(results[name], indent=1))


def convert_scored_frames(out: Path) -> None:
    """The 2000 random frames of MD17 ethanol in eV, by the factor that the training frames were converted with.

    Whoever made those took 1 kcal/mol = 0.04336 eV. With the exact factor the total energies, some -4200 eV, would
    be 0.4 eV away from them.
    """
    factor = 0.04336 / conversion("kcal/mol", "eV")
    (found,) = read(DATA / "md17" / "ethanol_2000random_kcal.xyz", units="kcal/mol")
    assert found.energies is not None and found.forces is not None
    hdf5.write(out, [replace(found, energies=found.energies * factor, forces=found.forces * factor)])


def run(name: str) -> dict[str, Any]:
    folder, config = HERE / "out" / name, HERE / f"{name}.toml"
    if not (folder / "best.pt").exists() or "test" not in load_checkpoint(folder / "best.pt").report:
        frames("train", config, *(["--resume"] if (folder / "last.pt").exists() else []))
    model = folder / "model.pt"
    frames("export", folder / "best.pt", "-o", model)
    frames("check", model)
    report = load_checkpoint(folder / "best.pt").report
    atoms = structure(config)
    lammps, openmm = in_lammps(model, atoms, folder), in_openmm(model, atoms)
    atoms.calc = FramesCalculator(model, backend="torchscript")
    return {
        "split": report["split"],
        "train_frames": report["train_frames"],
        "unlabelled_pairs": report["unlabelled_pairs"],
        "test_frames": report["test_frames"],
        "minutes": report["seconds"] / 60,
        **report["test"],
        "energy_difference_ev": {
            "lammps": abs(lammps[0][0] - atoms.get_potential_energy()),
            "openmm_torchforce": abs(openmm[0][0] - atoms.get_potential_energy()),
        },
        "nve_drift_mev_per_atom_per_ps": {
            "lammps": drift(lammps[1], len(atoms)),
            "openmm_torchforce": drift(openmm[1], len(atoms)),
        },
    }


def structure(config: Path) -> Atoms:
    """The first test frame, with velocities of 300 K."""
    data = load_training_data(load_config(config)[0])
    t, i = data.test[0]
    found = data.trajectories[t]
    cell = None if found.cells is None else found.cells[i]
    atoms = Atoms(found.atomic_numbers, found.positions[i], cell=cell, pbc=found.pbc)
    if not atoms.pbc.any():
        atoms.cell = None
        atoms.center(vacuum=15)
    else:  # lower triangular, as LAMMPS and OpenMM want it
        atoms.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)
        atoms.wrap()
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.default_rng(0))
    return atoms


def in_lammps(model: Path, atoms: Atoms, folder: Path) -> tuple[list[float], list[float]]:
    """Potential and total energies in eV, every ten steps."""
    kinds = sorted(set(atoms.get_chemical_symbols()))
    write_lammps_data(
        folder / "start.data", atoms, specorder=kinds, units="metal", velocities=True, masses=True, atom_style="atomic"
    )
    boundary = " ".join("p" if p else "f" for p in atoms.pbc)
    deck = f"""units metal
boundary {boundary}
box tilt large
read_data start.data
pair_style frames
pair_coeff * * model.pt {" ".join(kinds)}
timestep {TIME_STEP * 1e-3}
fix 1 all nve
thermo 10
thermo_style custom step pe etotal
thermo_modify format float "%.12f"
run {STEPS}
"""
    (folder / "in.nve").write_text(deck)
    done = subprocess.run([BIN / "lmp", "-in", "in.nve"], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout[-2000:])
    rows = [line.split() for line in done.stdout.splitlines() if re.fullmatch(r"\s*\d+(\s+-?\d+\.\d+){2}\s*", line)]
    return [float(r[1]) for r in rows], [float(r[2]) for r in rows]


def in_openmm(model: Path, atoms: Atoms) -> tuple[list[float], list[float]]:
    """The same through TorchForce."""
    import openmm
    from openmm import unit

    from frames.openmm import torch_force

    system = openmm.System()
    for mass in atoms.get_masses():
        system.addParticle(mass)
    periodic = bool(atoms.pbc.any())
    if periodic:
        system.setDefaultPeriodicBoxVectors(*openmm.unit.Quantity(reduced(atoms), unit.nanometer))
    system.addForce(torch_force(model, atoms.get_chemical_symbols(), periodic=periodic))
    integrator = openmm.CustomIntegrator(TIME_STEP * unit.femtosecond)  # velocity Verlet
    integrator.addComputePerDof("v", "v+0.5*dt*f/m")
    integrator.addComputePerDof("x", "x+dt*v")
    integrator.addComputePerDof("v", "v+0.5*dt*f/m")
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("CPU"))
    context.setPositions(atoms.positions * conversion("Å", "nm"))
    context.setVelocities(convert(atoms.get_velocities(), "velocity", "ASE", "metal") * 0.1)  # Å/ps → nm/ps
    potential, total = [], []
    for step in range(0, STEPS + 1, 10):
        state = context.getState(energy=True)
        pe, ke = (
            e.value_in_unit(unit.kilojoule_per_mole) for e in (state.getPotentialEnergy(), state.getKineticEnergy())
        )
        potential.append(pe * conversion("kJ/mol", "eV"))
        total.append((pe + ke) * conversion("kJ/mol", "eV"))
        if step < STEPS:
            integrator.step(10)
    return potential, total


def reduced(atoms: Atoms) -> np.ndarray:
    """Lattice vectors in nm in the form that OpenMM wants: each reduced by those before it."""
    a, b, c = (np.array(v) for v in atoms.cell * conversion("Å", "nm"))
    c = c - b * round(c[1] / b[1])
    c = c - a * round(c[0] / a[0])
    b = b - a * round(b[0] / a[0])
    return np.array([a, b, c])


def drift(energies: list[float], count: int) -> float:
    """Slope of the total energy, meV per atom and ps."""
    times = np.arange(len(energies)) * 10 * TIME_STEP * 1e-3
    return float(1e3 * np.polyfit(times, energies, 1)[0] / count)


if __name__ == "__main__":
    main(sys.argv[1:])
