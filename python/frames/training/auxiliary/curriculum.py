"""The FRAMES task on pairs that lie further apart as training goes on."""

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

STRIDES = (1, 2, 4, 8)  # time steps, times auxiliary.stride


def need(section: AuxiliarySection) -> Need:
    """A frame and one at every stride."""
    return Need((0, *(section.stride * stride for stride in STRIDES)))


class CurriculumTask(AuxiliaryTask):
    """mean ‖Δr̂ − Δr‖ / σ(element) for the displacement over 1, 2, 4, at last 8 steps, a quarter of the training each.

    Over one step atoms fly straight; the longer the time, the more of the displacement is what forces did to it. Each
    stride has its own σ; the head is one, since what it starts from is close to what it has to learn next.
    """

    schedule = "constant"  # the last stride would hardly weigh anything else

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.head = VectorHead(*setting.widths)
        species = setting.species([chain[0] for chain in setting.chains])
        scales = [
            vector_scale(self.target(setting.chains, setting.store, place), species, setting.kinds)
            for place in range(1, len(STRIDES) + 1)
        ]
        self.sigma: Tensor
        self.register_buffer("sigma", torch.stack(scales))

    def forward(
        self, chains: Sequence[Chain], anchor: Derivatives | None, model: Model, random: np.random.Generator
    ) -> Tensor:
        """See `AuxiliaryTask.forward`."""
        place = 1 + min(int(model.progress * len(STRIDES)), len(STRIDES) - 1)
        first, second = (model.store.batch([chain[k] for chain in chains], labels=False) for k in (0, place))
        species = model.potential.species_of.index_select(0, first.atomic_numbers)
        target = self.target(chains, model.store, place)
        target = target / self.sigma[place - 1].index_select(0, species).unsqueeze(1)
        return norm_loss(self.head(anchor or model.features(first), model.features(second))[0] - target)

    @staticmethod
    def target(chains: Sequence[Chain], store: FrameStore, place: int) -> Tensor:
        """[N,3] displacements in Å from the first frame to the one at a place of the chain."""
        return store.displacements([chain[0] for chain in chains], [chain[place] for chain in chains])
