"""Geometry and vibrational wavenumbers of ethanol with the ASE calculator."""

from pathlib import Path

from ase.build import molecule
from ase.optimize import BFGS
from ase.vibrations import Vibrations

from frames.ase import FramesCalculator

MODEL = Path(__file__).resolve().parents[2] / "models" / "ethanol" / "ethanol.pt"

atoms = molecule("CH3CH2OH", calculator=FramesCalculator(MODEL))
BFGS(atoms, logfile=None).run(fmax=0.001)
print(f"energy {atoms.get_potential_energy():.4f} eV, O-H {atoms.get_distance(2, 3):.3f} Å")

vibrations = Vibrations(atoms, name="out")
vibrations.clean()
vibrations.run()
vibrations.summary()
vibrations.clean()
