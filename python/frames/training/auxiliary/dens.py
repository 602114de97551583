"""DeNS: denoise a non-equilibrium structure, given the forces of the one before the noise.

Liao, Smidt, Shuaibi and Das, "Generalizing Denoising to Non-Equilibrium Structures Improves Equivariant Force Fields",
TMLR 2024 (arXiv:2403.09549). Denoising is ill-posed for a structure that is not at a minimum; with its forces encoded
in the input it is not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from frames.config import AuxiliarySection
from frames.nn.potential import Derivatives
from frames.training.auxiliary.base import AuxiliaryTask, Chain, Model, Need, Setting, VectorHead, norm_loss, normal

NOISE = 0.05  # Å per component, as published for MD17
CORRUPTED = 0.25  # fraction of the atoms, as published for MD17
PROBABILITY = 0.25  # of a step to have the loss at all, as published for MD17; the loss is divided by it


def need(section: AuxiliarySection) -> Need:
    """One labelled frame."""
    return Need()


class DenoisingTask(AuxiliaryTask):
    """mean ‖δ̂ − δ‖ / σ over the atoms with noise + mean ‖F̂ − F‖ / scale over those without.

    A quarter of the atoms are displaced. F of the undisturbed structure is added to the vectors of the embedding, one
    learnt factor per channel, and its size to them as a gate. A head on the features predicts the noise of displaced
    atoms and, as published, the forces of the others. The energy term of the paper is left out: with the energy of the
    undisturbed structure as target, it would teach the energy head that displacements cost nothing.
    """

    unlabelled = False

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        channels = int(getattr(setting.potential.backbone, "input_vectors"))  # noqa: B009 (an nn.Module attribute)
        self.noise = setting.section.noise or NOISE
        self.scale = setting.scale
        self.encode = nn.Sequential(nn.Linear(1, channels), nn.SiLU(), nn.Linear(channels, channels))
        self.denoise = VectorHead(*setting.widths, frames=1)
        self.force = VectorHead(*setting.widths, frames=1)

    def forward(
        self, chains: Sequence[Chain], anchor: Derivatives | None, model: Model, random: np.random.Generator
    ) -> Tensor:
        """See `AuxiliaryTask.forward`."""
        batch = model.store.batch([chain[0] for chain in chains])
        if batch.forces is None or random.random() >= PROBABILITY:
            return batch.edge_vectors.new_zeros((), requires_grad=True)
        target = normal(batch.forces.shape, random, batch.edge_vectors)
        noisy = torch.as_tensor(random.random(len(target)) < CORRUPTED, device=target.device)
        target = target * noisy.unsqueeze(1)
        moved = batch.displaced(self.noise * target)
        forces = batch.forces / self.scale
        encoded = forces.unsqueeze(2) * self.encode(forces.norm(dim=1, keepdim=True)).unsqueeze(1)
        energies, scalars, vectors = model.potential.with_features(
            moved.atomic_numbers, moved.edge_index, moved.edge_vectors, encoded
        )
        features = Derivatives(energies, forces, None, scalars, vectors)
        mask = noisy.to(forces)
        denoised = norm_loss(self.denoise(features)[0] - target, mask)
        return (denoised + norm_loss(self.force(features)[0] - forces, 1 - mask)) / PROBABILITY
