"""Control of the FRAMES task: reconstruct something of one frame from its own embedding, with no second frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from frames.config import AuxiliarySection
from frames.nn.potential import Derivatives
from frames.nn.radial import envelope
from frames.training.auxiliary.base import (
    AuxiliaryTask,
    Chain,
    Model,
    Need,
    Setting,
    VectorHead,
    norm_loss,
    vector_scale,
)
from frames.training.batch import Batch


def need(section: AuxiliarySection) -> Need:
    """One frame."""
    return Need()


class SingleFrameTask(AuxiliaryTask):
    """mean ‖ĉ − c‖ / σ(element), where c is the centroid of an atom's neighbours as the atom sees it.

    c_i = Σ_j f(r_ij) r_ij / Σ_j f(r_ij), with the envelope f of the cutoff. Positions themselves cannot be the target:
    an embedding does not know the origin.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.cutoff = setting.potential.cutoff
        self.head = VectorHead(*setting.widths, frames=1)
        self.sigma: Tensor
        frames = [chain[0] for chain in setting.chains[:200]]
        target = self.centroids(setting.store.batch(frames, labels=False))
        self.register_buffer("sigma", vector_scale(target, setting.species(frames), setting.kinds))

    def forward(
        self, chains: Sequence[Chain], anchor: Derivatives | None, model: Model, random: np.random.Generator
    ) -> Tensor:
        """See `AuxiliaryTask.forward`."""
        batch = model.store.batch([chain[0] for chain in chains], labels=False)
        species = model.potential.species_of.index_select(0, batch.atomic_numbers)
        target = self.centroids(batch) / self.sigma.index_select(0, species).unsqueeze(1)
        return norm_loss(self.head(anchor or model.features(batch))[0] - target)

    def centroids(self, batch: Batch) -> Tensor:
        """[N,3] Å; zero for an atom without neighbours."""
        weight = envelope(batch.edge_vectors.norm(dim=1), self.cutoff)
        zeros = batch.edge_vectors.new_zeros(len(batch.atomic_numbers), 4)
        edges = torch.cat([batch.edge_vectors * weight.unsqueeze(1), weight.unsqueeze(1)], dim=1)
        total = zeros.index_add(0, batch.edge_index[0], edges)
        return total[:, :3] / total[:, 3:].clamp_min(1e-6)
