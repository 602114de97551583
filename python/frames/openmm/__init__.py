"""Models in OpenMM.

    from frames.openmm import FramesForce
    system.addForce(FramesForce("ethanol.pt", topology))

Importing this package imports neither openmm nor torch; both are imported with what needs them. XML that holds a
FramesForce can be read once `FramesForce` has been imported.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frames.openmm.committee import CommitteeReporter, committee_forces
    from frames.openmm.framesforce import FramesForce
    from frames.openmm.reporter import FramesReporter
    from frames.openmm.torchforce import torch_force, write_torchforce
    from frames.openmm.trajectory import TrajectoryReporter

__all__ = [
    "CommitteeReporter",
    "FramesForce",
    "FramesReporter",
    "TrajectoryReporter",
    "committee_forces",
    "torch_force",
    "write_torchforce",
]

# Imported on demand: openmm-ml imports this package for everybody who has both.
_MODULES = {
    "CommitteeReporter": "committee",
    "committee_forces": "committee",
    "FramesForce": "framesforce",
    "FramesReporter": "reporter",
    "TrajectoryReporter": "trajectory",
    "torch_force": "torchforce",
    "write_torchforce": "torchforce",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
