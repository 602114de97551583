"""Ethanol in vacuum at constant energy through FramesForce; prints the total energy every 0.5 ps.

The energies of the atoms go to ethanol_atoms.csv in the current folder."""

from pathlib import Path

import openmm
from openmm import app, unit

from frames.openmm import FramesForce, FramesReporter

HERE = Path(__file__).resolve().parent
MODEL = HERE.parents[1] / "models" / "ethanol" / "ethanol.pt"

pdb = app.PDBFile(str(HERE / "ethanol.pdb"))
system = openmm.System()
for atom in pdb.topology.atoms():
    system.addParticle(atom.element.mass)
force = FramesForce(MODEL, pdb.topology)
system.addForce(force)

integrator = openmm.VerletIntegrator(0.5 * unit.femtosecond)
simulation = app.Simulation(pdb.topology, system, integrator)
simulation.context.setPositions(pdb.positions)
simulation.minimizeEnergy()
simulation.context.setVelocitiesToTemperature(300 * unit.kelvin, 1)
print(force.getBackend(simulation.context))

reporter = FramesReporter("ethanol_atoms.csv", 1000, force)
simulation.reporters.append(reporter)
for _ in range(10):
    simulation.step(1000)
    state = simulation.context.getState(energy=True)
    total = (state.getPotentialEnergy() + state.getKineticEnergy()) / unit.AVOGADRO_CONSTANT_NA
    print(f"{state.getTime() / unit.picosecond:.1f} ps  total energy {total.value_in_unit(unit.ev):.5f} eV")
reporter.close()
