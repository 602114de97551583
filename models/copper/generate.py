"""Writes frames of face-centred cubic copper at constant pressure, by ASE's effective-medium potential (EMT).

The cell changes with the barostat, so that the frames show the model how the energy depends on volume and shape.
"""

from pathlib import Path

import ase.io
import numpy as np
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.nose_hoover_chain import MTKNPT
from ase.md.velocitydistribution import Stationary, thermalize_momenta

TEMPERATURE = 600.0  # K: twice that of the examples
STEP = 2.0  # fs
EVERY = 5  # steps between two frames
FRAMES, EQUILIBRATION = 2000, 2000  # frames, steps

atoms = bulk("Cu", cubic=True, a=3.6).repeat(2)
atoms.calc = EMT()
thermalize_momenta(atoms, temperature_K=TEMPERATURE, rng=np.random.default_rng(1))
Stationary(atoms)
dynamics = MTKNPT(
    atoms,
    timestep=STEP * units.fs,
    temperature_K=TEMPERATURE,
    pressure_au=0.0,
    tdamp=100 * units.fs,
    pdamp=300 * units.fs,
)
dynamics.run(EQUILIBRATION)
frames = []
for _ in range(FRAMES):
    dynamics.run(EVERY)
    frame = atoms.copy()
    frame.calc = EMT()
    for quantity in (frame.get_potential_energy, frame.get_forces, frame.get_stress):
        quantity()
    frames.append(frame)
# Blocks of time with 500 fs between them. Without their order: between two frames the barostat works on the crystal
# too, so forces and displacements alone do not account for the change of energy.
for role, start, end in (("train", 0, 1400), ("validation", 1450, 1650), ("test", 1700, 2000)):
    shuffled = np.random.default_rng(2).permutation(range(start, end))
    ase.io.write(Path(__file__).with_name(f"copper_{role}.xyz"), [frames[k] for k in shuffled])
volumes = np.array([frame.get_volume() / len(frame) for frame in frames])
print(f"{len(frames)} frames, volume per atom {volumes.mean():.3f} ± {volumes.std():.3f} Å³")
