"""Ethanol in vacuum at 300 K: Langevin dynamics in OpenMM through TorchForce."""

from pathlib import Path

import openmm
from ase.build import molecule
from openmm import unit

from frames.openmm import torch_force

MODEL = Path(__file__).resolve().parents[2] / "models" / "ethanol" / "ethanol.pt"

atoms = molecule("CH3CH2OH")
system = openmm.System()
for mass in atoms.get_masses():
    system.addParticle(mass)
system.addForce(torch_force(MODEL, atoms.get_chemical_symbols(), periodic=False))

integrator = openmm.LangevinMiddleIntegrator(300 * unit.kelvin, 1 / unit.picosecond, 0.5 * unit.femtosecond)
integrator.setRandomNumberSeed(1)
context = openmm.Context(system, integrator)
context.setPositions(atoms.positions * unit.angstrom)
context.setVelocitiesToTemperature(300 * unit.kelvin, 1)

for _ in range(5):
    integrator.step(200)
    state = context.getState(energy=True)
    print(f"{state.getTime().value_in_unit(unit.picosecond):.2f} ps  potential energy {state.getPotentialEnergy()}")
