"""The directional Hessian between labelled partners: F(t+s) − F(t) along the displacement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from frames.config import AuxiliarySection
from frames.errors import FramesError
from frames.nn.potential import Derivatives
from frames.training.auxiliary.base import AuxiliaryTask, Chain, Model, Need, Setting, norm_loss, vector_scale


def need(section: AuxiliarySection) -> Need:
    """Two frames whose forces are both known."""
    if not section.partner_labels:
        raise FramesError(
            "auxiliary.task = 'force_difference' compares the forces of two labelled frames: set partner_labels = true "
            "(every pair then costs two labels)"
        )
    return Need((0, section.stride))


class ForceDifferenceTask(AuxiliaryTask):
    """mean ‖(F̂(t+s) − F̂(t)) − (F(t+s) − F(t))‖ / σ(element), σ the root mean square of the difference.

    To first order F(t+s) − F(t) = −H Δr: the curvature of the energy along the motion, in which the errors that two
    neighbouring frames share have cancelled.
    """

    unlabelled = False
    schedule = "constant"

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        first, second = (setting.store.batch([chain[k] for chain in setting.chains]) for k in (0, 1))
        if first.forces is None or second.forces is None:
            raise FramesError("auxiliary.task = 'force_difference': the training frames have no forces")
        self.sigma: Tensor
        species = setting.species([chain[0] for chain in setting.chains])
        self.register_buffer("sigma", vector_scale(second.forces - first.forces, species, setting.kinds))

    def forward(
        self, chains: Sequence[Chain], anchor: Derivatives | None, model: Model, random: np.random.Generator
    ) -> Tensor:
        """See `AuxiliaryTask.forward`."""
        first, second = (model.store.batch([chain[k] for chain in chains]) for k in (0, 1))
        assert first.forces is not None and second.forces is not None
        before = anchor or model.evaluate(first)
        change = model.evaluate(second).forces - before.forces
        species = model.potential.species_of.index_select(0, first.atomic_numbers)
        error = (change - (second.forces - first.forces)) / self.sigma.index_select(0, species).unsqueeze(1)
        return norm_loss(error)
