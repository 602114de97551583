"""FRAMES: force fields that learn from molecular-dynamics trajectories and run in LAMMPS, OpenMM and ASE.

Importing this package imports neither torch nor ase: the MD engines find their plug-ins through it.
"""

from frames.errors import FramesError

__version__ = "0.1.0"

__all__ = ["FramesError", "__version__"]
