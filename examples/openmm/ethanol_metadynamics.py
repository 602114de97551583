"""Rotation of the hydroxyl group of ethanol: well-tempered metadynamics of the torsion C-C-O-H on a FramesForce."""

import math
from pathlib import Path

import numpy as np
import openmm
from openmm import app, unit

from frames.openmm import FramesForce

HERE = Path(__file__).resolve().parent
MODEL = HERE.parents[1] / "models" / "ethanol" / "ethanol.pt"

pdb = app.PDBFile(str(HERE / "ethanol.pdb"))
system = openmm.System()
for atom in pdb.topology.atoms():
    system.addParticle(atom.element.mass)
system.addForce(FramesForce(MODEL, pdb.topology))

torsion = openmm.CustomTorsionForce("theta")
torsion.addTorsion(0, 1, 2, 3)
variable = app.BiasVariable(torsion, -math.pi, math.pi, 0.3, periodic=True, gridWidth=73)
metadynamics = app.Metadynamics(
    system, [variable], 300 * unit.kelvin, biasFactor=6, height=0.5 * unit.kilojoule_per_mole, frequency=50
)

integrator = openmm.LangevinMiddleIntegrator(300 * unit.kelvin, 5 / unit.picosecond, 0.5 * unit.femtosecond)
integrator.setRandomNumberSeed(1)
simulation = app.Simulation(pdb.topology, system, integrator)
simulation.context.setPositions(pdb.positions)
simulation.minimizeEnergy()
metadynamics.step(simulation, 20_000)  # 10 ps; a converged profile takes some ns
profile = metadynamics.getFreeEnergy().value_in_unit(unit.kilojoule_per_mole)
for angle, value in zip(np.linspace(-180, 180, 73)[::12], (profile - profile.min())[::12], strict=True):
    print(f"{angle:6.0f} degrees  {value:6.2f} kJ/mol")
