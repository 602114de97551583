"""Two models of ethanol drive one simulation, which stops where they disagree.

At 300 K they agree; then the thermostat heats the molecule out of what they were trained on (500 K). The deviation
goes to committee.csv in the current folder, the trajectory with energies of atoms and deviations to committee.h5 if
MDTraj and PyTables are installed."""

import contextlib
from pathlib import Path

import openmm
from openmm import app, unit

from frames.errors import FramesError
from frames.openmm import CommitteeReporter, TrajectoryReporter, committee_forces

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / "models" / "ethanol"
MODELS = [FOLDER / "ethanol.pt", FOLDER / "member_2.pt"]
THRESHOLD = 400 * unit.kilojoule_per_mole / unit.nanometer  # 0.4 eV/Å; at 300 K it stays below 0.2

pdb = app.PDBFile(str(HERE / "ethanol.pdb"))
system = openmm.System()
for atom in pdb.topology.atoms():
    system.addParticle(atom.element.mass)
forces = committee_forces(MODELS, pdb.topology)
for force in forces:
    system.addForce(force)

integrator = openmm.LangevinMiddleIntegrator(300 * unit.kelvin, 5 / unit.picosecond, 0.5 * unit.femtosecond)
integrator.setRandomNumberSeed(1)
simulation = app.Simulation(pdb.topology, system, integrator)
simulation.context.setPositions(pdb.positions)
simulation.minimizeEnergy()
simulation.context.setVelocitiesToTemperature(300 * unit.kelvin, 1)
with contextlib.suppress(FramesError):  # MDTraj or PyTables is missing
    simulation.reporters.append(TrajectoryReporter("committee.h5", 100, forces))
simulation.reporters.append(CommitteeReporter("committee.csv", 20, forces, threshold=THRESHOLD))

simulation.step(2000)
print(f"{simulation.currentStep} steps at 300 K: the models agree")
integrator.setTemperature(4000 * unit.kelvin)
try:
    simulation.step(100_000)
    print("the models agree at 4000 K as well")
except FramesError as error:
    print(f"stopped: {error}")
for reporter in simulation.reporters:
    reporter.close()
