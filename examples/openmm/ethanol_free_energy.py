"""From a force field to the model by an alchemical parameter: free energy by thermodynamic integration.

E(λ) = (1 − λ) E(force field) + λ E(model) for ethanol in vacuum. FramesForce scales its energy by the global
parameter, a CustomCVForce does the same for the force field, and OpenMM adds up both derivatives. Prints dE/dλ of one
structure beside a finite difference, then its mean at five values of λ and the integral. Energies of the model are
counted from that of its minimum, or the atoms' own energies would hide everything else."""

from pathlib import Path

import numpy as np
import openmm
from openmm import app, unit

from frames.openmm import FramesForce

HERE = Path(__file__).resolve().parent
MODEL = HERE.parents[1] / "models" / "ethanol" / "ethanol.pt"
STEPS = 2000  # at each λ: 1 ps; for a result take some ns
KJ = unit.kilojoule_per_mole

pdb = app.PDBFile(str(HERE / "ethanol.pdb"))
system = app.ForceField(str(HERE / "ethanol_water.xml")).createSystem(pdb.topology, nonbondedMethod=app.NoCutoff)
classical = [openmm.XmlSerializer.clone(force) for force in system.getForces() if force.getName() != "CMMotionRemover"]
while system.getNumForces():
    system.removeForce(0)

model = FramesForce(MODEL, pdb.topology, scale_parameter="lambda", scale_default=1.0)
model.addEnergyParameterDerivative("lambda")
forcefield = openmm.CustomCVForce("(1 - lambda)*(" + " + ".join(f"E{k}" for k in range(len(classical))) + ")")
forcefield.addGlobalParameter("lambda", 1.0)
forcefield.addEnergyParameterDerivative("lambda")
for k, force in enumerate(classical):
    forcefield.addCollectiveVariable(f"E{k}", force)
system.addForce(model)
system.addForce(forcefield)

integrator = openmm.LangevinMiddleIntegrator(300 * unit.kelvin, 5 / unit.picosecond, 0.5 * unit.femtosecond)
integrator.setRandomNumberSeed(1)
simulation = app.Simulation(pdb.topology, system, integrator)
context = simulation.context
context.setPositions(pdb.positions)
simulation.minimizeEnergy()
zero = context.getState(energy=True).getPotentialEnergy().value_in_unit(KJ)  # at λ = 1: of the model alone


def energy(scale: float) -> float:
    """kJ/mol at the present positions."""
    context.setParameter("lambda", scale)
    return context.getState(energy=True).getPotentialEnergy().value_in_unit(KJ) - scale * zero


def slope(scale: float) -> float:
    """dE/dλ in kJ/mol at the present positions."""
    context.setParameter("lambda", scale)
    return context.getState(parameterDerivatives=True).getEnergyParameterDerivatives()["lambda"] - zero


difference = (energy(0.51) - energy(0.49)) / 0.02
print(f"dE/dlambda at 0.5: {slope(0.5):.4f} kJ/mol, from energies {difference:.4f} kJ/mol")

context.setVelocitiesToTemperature(300 * unit.kelvin, 1)
points, means = np.linspace(0, 1, 5), []
for scale in points:
    context.setParameter("lambda", scale)
    simulation.step(STEPS // 4)
    samples = []
    for _ in range(STEPS // 20):
        simulation.step(20)
        samples.append(slope(scale))
    means.append(np.mean(samples))
    print(f"lambda {scale:.2f}  <dE/dlambda> {means[-1]:8.2f} ± {np.std(samples) / len(samples) ** 0.5:.2f} kJ/mol")
weights = np.full(len(points), points[1])
weights[[0, -1]] /= 2
print(f"free energy of the change {weights @ means:.2f} kJ/mol")
