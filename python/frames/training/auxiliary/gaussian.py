"""Control of the FRAMES task: the second frame is the first with random displacements of the same size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from frames.config import AuxiliarySection
from frames.nn.potential import Derivatives
from frames.training.auxiliary.base import (
    AuxiliaryTask,
    Chain,
    Model,
    Need,
    Setting,
    VectorHead,
    norm_loss,
    normal,
    vector_scale,
)


def need(section: AuxiliarySection) -> Need:
    """The pairs of the FRAMES task, whose displacements set the size; `noise` in Å is another way to set it."""
    return Need() if section.noise is not None else Need((0, section.stride))


class GaussianTask(AuxiliaryTask):
    """mean ‖δ̂ − δ‖ / σ(element) for random displacements δ of every atom, from the embeddings of both structures.

    The variance per element is that of the displacements between frames, or `noise`² per component. The motion of the
    centre of mass is left in: it is small, and there is no reason to expect the head to know it in either task.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.head = VectorHead(*setting.widths)
        self.sigma: Tensor
        if setting.section.noise is not None:
            sigma = torch.full((setting.kinds,), setting.section.noise * 3**0.5)
        else:
            first, second = [chain[0] for chain in setting.chains], [chain[1] for chain in setting.chains]
            sigma = vector_scale(setting.store.displacements(first, second), setting.species(first), setting.kinds)
        self.register_buffer("sigma", sigma)

    def forward(
        self, chains: Sequence[Chain], anchor: Derivatives | None, model: Model, random: np.random.Generator
    ) -> Tensor:
        """See `AuxiliaryTask.forward`."""
        batch = model.store.batch([chain[0] for chain in chains], labels=False)
        species = model.potential.species_of.index_select(0, batch.atomic_numbers)
        sigma = self.sigma.index_select(0, species).unsqueeze(1).to(batch.edge_vectors)
        target = normal((len(species), 3), random, batch.edge_vectors) / 3**0.5
        moved = model.features(batch.displaced(target * sigma))
        return norm_loss(self.head(anchor or model.features(batch), moved)[0] - target)
