"""What OpenMM-ML finds under the name 'frames'.

    potential = MLPotential("frames", modelPath="ethanol.pt")

`import openmmml` loads this module for everybody who has both packages installed, so it imports nothing.
"""

from __future__ import annotations

from typing import Any


class FramesPotentialFactory:
    """Makes the implementation that OpenMM-ML asks for. It derives from no class of OpenMM-ML, whose import is
    not finished when it loads this one."""

    def createImpl(self, name: str, modelPath: Any = None, **unknown: Any) -> Any:
        """Called by `MLPotential("frames", modelPath=...)`. Raises FramesError for an unknown keyword or a
        model file that cannot be used."""
        from frames.openmm.mlpotential_impl import FramesPotential

        return FramesPotential(name, modelPath, unknown)
