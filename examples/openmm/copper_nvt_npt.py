"""A crystal of copper at constant temperature, then at constant pressure, through FramesForce.

Prints temperature and lattice constant. The model knows copper as the effective-medium potential describes it
(models/copper/README.md). In the barostat every atom moves for itself, as it should in a crystal: no bonds are
given."""

from pathlib import Path

import numpy as np
import openmm
from ase.build import bulk
from openmm import app, unit

from frames.openmm import FramesForce

MODEL = Path(__file__).resolve().parents[2] / "models" / "copper" / "copper.pt"
TEMPERATURE, PRESSURE = 300 * unit.kelvin, 1 * unit.bar
CELLS = 3  # along each axis: 108 atoms

atoms = bulk("Cu", cubic=True, a=3.65).repeat(CELLS)
topology = app.Topology()
residue = topology.addResidue("CU", topology.addChain())
for index in range(len(atoms)):
    topology.addAtom(f"CU{index}", app.element.copper, residue)
topology.setPeriodicBoxVectors(np.array(atoms.cell) * 0.1)

system = openmm.System()
system.setDefaultPeriodicBoxVectors(*topology.getPeriodicBoxVectors())
for mass in atoms.get_masses():
    system.addParticle(mass)
force = FramesForce(MODEL, topology)
system.addForce(force)
barostat = openmm.MonteCarloBarostat(PRESSURE, TEMPERATURE, 0)  # frequency 0: the box stays as it is
barostat.setRandomNumberSeed(1)
system.addForce(barostat)

integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, 1 / unit.picosecond, 2 * unit.femtoseconds)
integrator.setRandomNumberSeed(1)
simulation = app.Simulation(topology, system, integrator)
simulation.context.setPositions(atoms.positions * unit.angstrom)
simulation.context.setVelocitiesToTemperature(2 * TEMPERATURE, 1)  # half of it goes into the potential energy


def report(steps: int) -> None:
    """Takes steps and prints averages over them."""
    temperatures, lengths = [], []
    for _ in range(steps // 10):
        simulation.step(10)
        state = simulation.context.getState(energy=True)
        degrees = 3 * len(atoms)
        temperatures.append(2 * state.getKineticEnergy() / (degrees * unit.MOLAR_GAS_CONSTANT_R) / unit.kelvin)
        lengths.append((state.getPeriodicBoxVolume() / unit.angstrom**3) ** (1 / 3) / CELLS)
    time = state.getTime() / unit.picosecond
    print(f"{time:5.1f} ps  {np.mean(temperatures):5.1f} K  lattice constant {np.mean(lengths):.4f} Å")


print(f"NVT, {force.getBackend(simulation.context)}")
for _ in range(4):
    report(500)
print("NPT")
barostat.setFrequency(10)
simulation.context.reinitialize(preserveState=True)
for _ in range(6):
    report(500)
