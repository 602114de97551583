"""Latent prediction: from two frames, what a slow copy of the encoder will say of the next one.

In the manner of bootstrapped representations (Grill et al., BYOL, NeurIPS 2020), with time as the augmentation. Two
frames give positions and velocities, so the third is determined by the forces: unlike a displacement, which the two
frames that the head sees already contain, it has to be known from the physics.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from frames.config import AuxiliarySection
from frames.nn.potential import Derivatives, Potential
from frames.training.auxiliary.base import AuxiliaryTask, Chain, Model, Need, Setting

DECAY = 0.99  # of the slow copy, per step


def need(section: AuxiliarySection) -> Need:
    """Two frames and the one that follows."""
    return Need((-section.stride, 0, section.stride))


class LatentTask(AuxiliaryTask):
    """mean |ŝ − s| / σ over the scalar features of the slow copy, where s = s(t+1) − 2 s(t) + s(t−1) is their bend.

    What goes on in a straight line is predicted without learning anything; the bend is what the forces do. σ is its
    root mean square in the batch. The slow copy is an exponential moving average; no gradient enters it.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        width = setting.widths[0]
        # parameters alone: modules of e3nn cannot be copied
        self.names, parameters = zip(*setting.potential.backbone.named_parameters(), strict=True)
        self.slow = nn.ParameterList([nn.Parameter(p.detach().clone(), requires_grad=False) for p in parameters])
        self.predict = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(
        self, chains: Sequence[Chain], anchor: Derivatives | None, model: Model, random: np.random.Generator
    ) -> Tensor:
        """See `AuxiliaryTask.forward`."""
        batches = [model.store.batch([chain[k] for chain in chains], labels=False) for k in range(3)]
        species = model.potential.species_of.index_select(0, batches[0].atomic_numbers)
        with torch.no_grad():
            slow = dict(zip(self.names, self.slow, strict=True))
            before, now, after = (
                torch.func.functional_call(
                    model.potential.backbone, slow, (species, batch.edge_index, batch.edge_vectors)
                )[1]
                for batch in batches
            )
            bend = after - 2 * now + before
            sigma = bend.pow(2).mean().sqrt().clamp_min(1e-9)
        first = model.features(batches[0]).scalars
        second = (anchor or model.features(batches[1])).scalars
        # the difference separately: in the sum of two nearly equal frames it would be lost
        return (self.predict(torch.cat([second, second - first], dim=1)) - bend / sigma).abs().mean()

    @torch.no_grad()
    def after_step(self, potential: Potential) -> None:
        """Moves the slow copy towards the potential."""
        torch._foreach_lerp_(
            [p.detach() for p in self.slow], [p.detach() for p in potential.backbone.parameters()], 1 - DECAY
        )
