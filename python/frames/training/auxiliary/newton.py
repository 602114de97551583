"""Force supervision from time alone: F(t) = m (r(t+1) − 2 r(t) + r(t−1)) / Δt² at unlabelled frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from frames.config import AuxiliarySection
from frames.data.motion import atom_weights, forces_from_motion
from frames.errors import FramesError
from frames.nn.potential import Derivatives
from frames.training.auxiliary.base import AuxiliaryTask, Chain, Model, Need, Setting, norm_loss
from frames.training.batch import FrameStore


def need(section: AuxiliarySection) -> Need:
    """Three consecutive frames; the force is that of the middle one."""
    if section.stride != 1:
        raise FramesError(f"auxiliary.stride = {section.stride}: the task newton needs every step, stride = 1")
    return Need((-1, 0, 1))


class NewtonTask(AuxiliaryTask):
    """mean w(element) ‖F̂ − F‖ / scale with F from the motion, exact for velocity Verlet (frames/data/motion.py).

    The weights come from the trajectory's own test of its motion, which refuses what was not NVE at every step.
    It is a force label like any other, so its weight does not decay.
    """

    labelled = False  # those have better forces
    weight = 1.0
    schedule = "constant"

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.scale = setting.scale
        runs = sorted({chain[0][0] for chain in setting.chains})
        self.weights = {t: atom_weights(setting.store.trajectories[t]) for t in runs}

    def forward(
        self, chains: Sequence[Chain], anchor: Derivatives | None, model: Model, random: np.random.Generator
    ) -> Tensor:
        """See `AuxiliaryTask.forward`."""
        frames = [chain[1] for chain in chains]
        result = model.evaluate(model.store.batch(frames, labels=False))
        target = motion_forces(model.store, chains).to(result.forces)
        for t in {t for t, _ in frames} - set(self.weights):  # a run too short to be in the sample
            self.weights[t] = atom_weights(model.store.trajectories[t])
        weights = torch.as_tensor(np.concatenate([self.weights[t] for t, _ in frames])).to(result.forces)
        return norm_loss((result.forces - target) / self.scale, weights)


def motion_forces(store: FrameStore, chains: Sequence[Chain]) -> Tensor:
    """[N,3] eV/Å, the forces of the middle frames of triples in a row."""
    found = [
        forces_from_motion(store.trajectories[chain[0][0]], np.array([[i for _, i in chain]]))[0] for chain in chains
    ]
    return torch.as_tensor(np.concatenate(found), device=store.device)
