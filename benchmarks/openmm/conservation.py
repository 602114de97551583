"""What only long runs show of FramesForce: conservation of energy, constant memory, restarts to the last bit.

`python benchmarks/openmm/conservation.py` writes conservation.json beside this file, prints it, and exits with status 1
if something is not as it should be. CPU platform, one thread, about five minutes.

- drift: ethanol at 300 K in vacuum, single precision, 200,000 steps of 0.5 fs (100 ps);
- memory: resident memory of the process during 100,000 steps, after 2,000 that fill what is kept: ethanol, copper at
  constant pressure, whose box and neighbour list change all the time, and ethanol through TorchForce;
- restart: hot copper, continued from a checkpoint in a new Context that finds its neighbours anew, against the run that
  went on; neighbour lists are rebuilt at other steps in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import openmm
import torch
import typer
from ase import Atoms
from ase.build import bulk, molecule
from rich.progress import track

from frames.openmm import FramesForce, torch_force
from frames.units import conversion

HERE = Path(__file__).resolve().parent
MODELS = HERE.parents[1] / "models"
ETHANOL, COPPER = MODELS / "ethanol" / "ethanol.pt", MODELS / "copper" / "copper.pt"
EV, ANGSTROM = conversion("kJ/mol", "eV"), conversion("nm", "Å")
FEMTOSECOND = 0.001  # ps
LIMITS = {"drift_mev_per_atom_per_ps": 0.05, "growth_mib": 4.0}


def context_of(force: Any, atoms: Atoms, integrator: Any, *others: Any) -> Any:
    system = openmm.System()
    for mass in atoms.get_masses():
        system.addParticle(mass)
    if atoms.pbc.all():
        system.setDefaultPeriodicBoxVectors(*(atoms.cell.array / ANGSTROM))
    for each in (force, *others):
        system.addForce(each)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("CPU"), {"Threads": "1"})
    context.setPositions(atoms.positions / ANGSTROM)
    return context


def ethanol() -> Atoms:
    return molecule("CH3CH2OH")


def copper(cells: int = 2) -> Atoms:
    return bulk("Cu", cubic=True, a=3.63).repeat(cells)


def drift(steps: int) -> dict[str, float]:
    """Slope of the total energy with its standard error, from energies every 200 steps."""
    atoms, every, step = ethanol(), 200, 0.5
    force = FramesForce(ETHANOL, atoms.numbers, periodic=False, precision="single")
    context = context_of(force, atoms, openmm.VerletIntegrator(step * FEMTOSECOND))
    openmm.LocalEnergyMinimizer.minimize(context, 1.0)
    context.setVelocitiesToTemperature(600, 1)  # half of it goes into the potential energy
    context.getIntegrator().step(2000)
    energies, temperatures = [], []
    for _ in track(range(steps // every), "energy of ethanol"):
        context.getIntegrator().step(every)
        state = context.getState(energy=True)
        kinetic = state.getKineticEnergy()._value
        energies.append(1e3 * EV * (state.getPotentialEnergy()._value + kinetic) / len(atoms))
        temperatures.append(2 * kinetic / (3 * len(atoms) * 0.00831446261815324))
    times = np.arange(len(energies)) * every * step * FEMTOSECOND
    (slope, _), covariance = np.polyfit(times, energies, 1, cov=True)
    return {
        "ps": steps * step * FEMTOSECOND,
        "drift_mev_per_atom_per_ps": float(slope),
        "standard_error": float(np.sqrt(covariance[0, 0])),
        "fluctuation_mev_per_atom": float(np.std(energies)),
        "mean_temperature": float(np.mean(temperatures)),
    }


def resident_mib() -> float:
    """Memory of this process that is in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def framesforce_run() -> Any:
    force = FramesForce(ETHANOL, ethanol().numbers, periodic=False)
    return context_of(force, ethanol(), openmm.LangevinMiddleIntegrator(300, 1.0, 0.5 * FEMTOSECOND))


def barostat_run() -> Any:
    force = FramesForce(COPPER, copper().numbers, periodic=True)
    integrator = openmm.LangevinMiddleIntegrator(300, 1.0, 2 * FEMTOSECOND)
    return context_of(force, copper(), integrator, openmm.MonteCarloAnisotropicBarostat((1.0,) * 3, 300))


def torchforce_run() -> Any:
    force = torch_force(ETHANOL, ethanol().numbers, periodic=False)
    return context_of(force, ethanol(), openmm.LangevinMiddleIntegrator(300, 1.0, 0.5 * FEMTOSECOND))


RUNS: dict[str, Callable[[], Any]] = {
    "FramesForce, ethanol": framesforce_run,
    "FramesForce, copper, constant pressure": barostat_run,
    "TorchForce, ethanol": torchforce_run,
}


def memory(name: str, steps: int) -> dict[str, Any]:
    """Resident memory at eleven moments of a run."""
    context = RUNS[name]()
    context.getIntegrator().step(2000)
    samples = [resident_mib()]
    for _ in track(range(10), name):
        context.getIntegrator().step(steps // 10)
        context.getState(energy=True, forces=True, positions=True)
        samples.append(resident_mib())
    return {
        "steps": steps,
        "resident_mib": [round(sample, 2) for sample in samples],
        "growth_mib": samples[-1] - samples[0],
    }


def restart(steps: int) -> dict[str, Any]:
    """Whether positions, velocities, forces and energy are the same to the last bit."""
    atoms = copper(3)

    def new_run() -> tuple[FramesForce, Any]:
        force = FramesForce(COPPER, atoms.numbers, periodic=True)
        integrator = openmm.LangevinMiddleIntegrator(1200, 1.0, 2 * FEMTOSECOND)
        integrator.setRandomNumberSeed(11)
        return force, context_of(force, atoms, integrator)

    force, context = new_run()
    context.setVelocitiesToTemperature(1200, 5)
    context.getIntegrator().step(1003)
    checkpoint, before = context.createCheckpoint(), force.getNeighbourListBuilds(context)
    context.getIntegrator().step(steps)
    again, restarted = new_run()
    restarted.loadCheckpoint(checkpoint)
    restarted.getIntegrator().step(steps)
    ends = [_numbers(each) for each in (context, restarted)]
    return {
        "steps_after_the_checkpoint": steps,
        "neighbour_list_builds": [
            force.getNeighbourListBuilds(context) - before,
            again.getNeighbourListBuilds(restarted),
        ],
        "identical": bool(np.array_equal(*ends)),
    }


def _numbers(context: Any) -> np.ndarray:
    state = context.getState(positions=True, velocities=True, forces=True, energy=True)
    arrays = (state.getPositions(asNumpy=True), state.getVelocities(asNumpy=True), state.getForces(asNumpy=True))
    return np.vstack([*(array._value for array in arrays), np.full((1, 3), state.getPotentialEnergy()._value)])


def main(
    shorter: Annotated[int, typer.Option(help="Divides the numbers of steps, for a first look.")] = 1,
    output: Annotated[Path, typer.Option(help="File for the results.")] = HERE / "conservation.json",
) -> None:
    """Runs, judges and writes the results."""
    torch.set_num_threads(1)
    results: dict[str, Any] = {
        "openmm": openmm.Platform.getOpenMMVersion(),
        "limits": LIMITS,
        "restart": restart(3000 // shorter),
        "memory": {name: memory(name, 100_000 // shorter) for name in RUNS},
        "nve": drift(200_000 // shorter),
    }
    output.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))
    good = (
        results["restart"]["identical"]
        and min(results["restart"]["neighbour_list_builds"]) > 1
        and abs(results["nve"]["drift_mev_per_atom_per_ps"]) <= LIMITS["drift_mev_per_atom_per_ps"]
        and all(run["growth_mib"] <= LIMITS["growth_mib"] for run in results["memory"].values())
    )
    raise typer.Exit(0 if good else 1)


if __name__ == "__main__":
    typer.run(main)
