"""The FRAMES task (arXiv:2604.19806): predict the displacement of every atom between consecutive frames."""

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
    vector_scale,
)
from frames.training.batch import FrameStore


def need(section: AuxiliarySection) -> Need:
    """T + 1 frames, `stride` steps apart, or two at whatever time apart."""
    if section.longest is not None:
        return Need((0, 1), longest=section.longest)
    return Need(tuple(section.stride * k for k in range(section.length + 1)))


class DisplacementTask(AuxiliaryTask):
    """mean ‖Δr̂ − Δr‖ / σ(element), with Δr̂ from the embeddings of all T + 1 frames through the shared backbone.

    T = 1 is the pair. Longer ones predict T displacements at once: of successive frames ("adjacent"), or of every
    later frame from the first ("first"), the non-adjacent ones of the paper.

    σ is the root-mean-square displacement of an element over the pairs of the training set, so that light and heavy
    atoms weigh alike whatever the time step. Pairs of uneven times are scaled to one time step: over these few fs
    atoms fly straight.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        section = setting.section
        self.length = 1 if section.longest is not None else section.length
        self.adjacent = section.targets == "adjacent"
        self.uneven = section.longest is not None
        self.head = VectorHead(*setting.widths, frames=self.length + 1, outputs=self.length)
        self.sigma: Tensor
        targets = self.targets(setting.chains, setting.store)
        species = setting.species([chain[0] for chain in setting.chains])
        self.register_buffer("sigma", torch.stack([vector_scale(t, species, setting.kinds) for t in targets]))

    def forward(
        self, chains: Sequence[Chain], anchor: Derivatives | None, model: Model, random: np.random.Generator
    ) -> Tensor:
        """See `AuxiliaryTask.forward`."""
        store = model.store
        batches = [store.batch([chain[k] for chain in chains], labels=False) for k in range(self.length + 1)]
        features = [anchor or model.features(batches[0]), *(model.features(batch) for batch in batches[1:])]
        species = model.potential.species_of.index_select(0, batches[0].atomic_numbers)
        target = self.targets(chains, store) / self.sigma.index_select(1, species).unsqueeze(2)
        return norm_loss(self.head(*features) - target)

    def targets(self, chains: Sequence[Chain], store: FrameStore) -> Tensor:
        """[T,N,3] displacements in Å, per time step where the times are uneven."""
        moved = []
        for k in range(self.length):
            first = [chain[k if self.adjacent else 0] for chain in chains]
            moved.append(store.displacements(first, [chain[k + 1] for chain in chains]))
        found = torch.stack(moved)
        return found / store.steps_between(chains).to(found) if self.uneven else found
