"""Models in OpenMM.

    from frames.openmm import FramesForce
    system.addForce(FramesForce("ethanol.pt", topology))

Importing this package imports neither openmm nor torch; both are imported with what needs them. XML that holds a
FramesForce can be read once `FramesForce` has been imported.
"""

from typing import TYPE_CHECKING, Any

from frames.openmm.torchforce import torch_force, write_torchforce

if TYPE_CHECKING:
    from frames.openmm.framesforce import FramesForce

__all__ = ["FramesForce", "torch_force", "write_torchforce"]


def __getattr__(name: str) -> Any:
    if name == "FramesForce":
        from frames.openmm.framesforce import FramesForce

        return FramesForce
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
