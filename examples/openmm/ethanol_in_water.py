"""Ethanol by the model in water by TIP3P, through OpenMM-ML; then the change from the force field to the model.

Prints dE/dλ at five values of λ: its mean over longer runs, integrated over λ, is the free energy of the change."""

from pathlib import Path

import openmm
from openmm import app, unit
from openmmml import MLPotential

HERE = Path(__file__).resolve().parent
MODEL = HERE.parents[1] / "models" / "ethanol" / "ethanol.pt"
STEP = 0.5 * unit.femtosecond

pdb = app.PDBFile(str(HERE / "ethanol.pdb"))
forcefield = app.ForceField(str(HERE / "ethanol_water.xml"))
modeller = app.Modeller(pdb.topology, pdb.positions)
modeller.addSolvent(forcefield, boxSize=openmm.Vec3(1.8, 1.8, 1.8) * unit.nanometer)
topology = modeller.topology
ligand = [atom.index for atom in topology.atoms() if atom.residue.name == "EOH"]
classical = forcefield.createSystem(
    topology, nonbondedMethod=app.PME, nonbondedCutoff=0.8 * unit.nanometer, rigidWater=True
)

potential = MLPotential("frames", modelPath=MODEL)
system = potential.createMixedSystem(topology, classical, ligand, interpolate=True)
for force in system.getForces():
    if isinstance(force, openmm.CustomCVForce):
        force.addEnergyParameterDerivative("lambda_interpolate")

integrator = openmm.LangevinMiddleIntegrator(300 * unit.kelvin, 5 / unit.picosecond, STEP)
integrator.setRandomNumberSeed(1)
simulation = app.Simulation(topology, system, integrator)
simulation.context.setPositions(modeller.positions)
simulation.minimizeEnergy(maxIterations=50)
simulation.context.setVelocitiesToTemperature(300 * unit.kelvin, 1)
simulation.step(100)
print(f"{system.getNumParticles()} particles, {len(ligand)} of them by the model")

for scale in (0.0, 0.25, 0.5, 0.75, 1.0):
    simulation.context.setParameter("lambda_interpolate", scale)
    simulation.step(20)
    state = simulation.context.getState(energy=True, parameterDerivatives=True)
    slope = state.getEnergyParameterDerivatives()["lambda_interpolate"]
    print(f"lambda {scale:.2f}  dE/dlambda {slope:.1f} kJ/mol")
