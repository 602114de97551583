"""The loss on energies and forces, and the error measures of reports."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from frames.nn.potential import Derivatives
from frames.training.batch import Batch


def energy_loss(result: Derivatives, batch: Batch) -> Tensor:
    """mean |ΔE| / N over structures, eV per atom."""
    assert batch.energies is not None
    return ((result.energies - batch.energies).abs() / batch.atoms).mean()


def force_loss(result: Derivatives, batch: Batch) -> Tensor:
    """mean ‖ΔF‖ over atoms, eV/Å: the L2 norm of each atom's force error, not its square (as Equiformer trains)."""
    assert batch.forces is not None
    error = (batch.known(result.forces - batch.forces).pow(2).sum(1) + 1e-12).sqrt()
    if batch.force_weights is None:
        return error.mean()
    return (batch.force_weights * error).sum() / batch.force_weights.sum().clamp_min(1e-12)


def virial_loss(result: Derivatives, batch: Batch) -> Tensor:
    """mean |ΔW| / N over components and the structures that have a virial, eV per atom."""
    return virial_errors(result, batch).mean()


def virial_errors(result: Derivatives, batch: Batch) -> Tensor:
    """[V] |ΔW| / N, the mean over components, eV per atom, of each structure that has a virial."""
    assert batch.virials is not None and batch.with_virial is not None and result.virials is not None
    off = (result.virials.index_select(0, batch.with_virial) - batch.virials).abs().mean(dim=(1, 2))
    return off / batch.atoms.index_select(0, batch.with_virial)


@dataclass
class ErrorSums:
    """Running sums of errors over batches."""

    energy: float = 0.0
    energy_per_atom: float = 0.0
    force: float = 0.0
    force_square: float = 0.0
    structures: int = 0
    virial_per_atom: float = 0.0
    with_virials: int = 0  # structures
    components: int = 0

    def add(self, result: Derivatives, batch: Batch) -> None:
        with torch.no_grad():
            if batch.energies is not None:
                error = (result.energies - batch.energies).abs()
                self.energy += float(error.sum())
                self.energy_per_atom += float((error / batch.atoms).sum())
                self.structures += batch.structures
            if batch.virials is not None and result.virials is not None:
                off = virial_errors(result, batch)
                self.virial_per_atom += float(off.sum())
                self.with_virials += len(off)
            if batch.forces is not None:
                delta = batch.known(result.forces - batch.forces).double()
                self.force += float(delta.abs().sum())
                self.force_square += float(delta.pow(2).sum())
                self.components += delta.numel()

    def errors(self) -> dict[str, float]:
        """MAE and RMSE in meV and meV/Å; force errors are over components, and what the frames have not is absent."""
        m = max(self.components, 1)
        energies = {
            "energy_mae_mev": 1e3 * self.energy / max(self.structures, 1),
            "energy_mae_mev_per_atom": 1e3 * self.energy_per_atom / max(self.structures, 1),
        }
        virials = {"virial_mae_mev_per_atom": 1e3 * self.virial_per_atom / max(self.with_virials, 1)}
        return {
            **(energies if self.structures else {}),
            "force_mae_mev_per_angstrom": 1e3 * self.force / m,
            "force_rmse_mev_per_angstrom": 1e3 * (self.force_square / m) ** 0.5,
            **(virials if self.with_virials else {}),
        }
