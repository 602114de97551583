"""Models in OpenMM.

    from frames.openmm import torch_force
    system.addForce(torch_force("ethanol.pt", topology))

Importing this package imports neither openmm nor torch.
"""

from frames.openmm.torchforce import torch_force, write_torchforce

__all__ = ["torch_force", "write_torchforce"]
