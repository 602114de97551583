"""Force supervision from time alone: F(t) = m r̈(t) at unlabelled frames, r̈ from their neighbours in time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from frames.config import AuxiliarySection
from frames.data.motion import momentum_direction, motion
from frames.data.trajectory import Floats
from frames.errors import FramesError
from frames.nn.potential import Derivatives
from frames.training.auxiliary.base import AuxiliaryTask, Chain, Model, Need, Setting, norm_loss
from frames.training.batch import FrameStore, across


def need(section: AuxiliarySection) -> Need:
    """Consecutive frames, `reach` on each side of the one whose force they give."""
    if section.stride != 1:
        raise FramesError(
            f"auxiliary.stride = {section.stride}: the task newton takes frames as they follow each other, stride = 1"
        )
    return Need(tuple(range(-section.frames_on_each_side, section.frames_on_each_side + 1)))


class NewtonTask(AuxiliaryTask):
    """mean w(element) ‖F̂ − F‖ / scale with F from the motion (frames/data/motion.py): exact for velocity Verlet
    with every step stored, and with more frames, weighed as the labels say, good for some that lie steps apart.

    The part of F̂ − F along the momenta is left out: a thermostat may be in it. The weights come from the test of
    the run's motion, which refuses what has more than that in it.
    It is a force label like any other, so its weight does not decay.
    """

    labelled = False  # those have better forces
    weight = 1.0
    schedule = "constant"
    with_forces = True

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.scale = setting.scale
        self.reach = setting.section.frames_on_each_side
        self.stencil = setting.stencil
        self.weights = setting.motion_weights

    def forward(
        self, chains: Sequence[Chain], anchor: Derivatives | None, model: Model, random: np.random.Generator
    ) -> Tensor:
        """See `AuxiliaryTask.forward`."""
        frames = [chain[self.reach] for chain in chains]
        result = anchor or model.evaluate(model.store.batch(frames, labels=False))
        target, direction = (t.to(result.forces) for t in motion_forces(model.store, chains, self.stencil))
        atoms = torch.tensor([model.store.trajectories[t].atoms for t, _ in frames], device=target.device)
        structure = torch.repeat_interleave(atoms)  # of each atom
        error = across(result.forces - target, direction, structure, len(frames))
        weights = np.concatenate([self.weights[t] for t, _ in frames])
        return norm_loss(error / self.scale, torch.as_tensor(weights).to(result.forces))

    def extent(self, chains: Sequence[Chain], model: Model) -> float:
        """See `AuxiliaryTask.extent`."""
        return float(sum(self.weights[chain[0][0]].sum() for chain in chains))


def motion_forces(store: FrameStore, chains: Sequence[Chain], stencil: Floats | None = None) -> tuple[Tensor, Tensor]:
    """Of the middle frames of chains in a row: forces [N,3] in eV/Å, and the direction of the momenta [N,3]."""
    places: dict[int, list[int]] = {}
    for k, chain in enumerate(chains):
        places.setdefault(chain[0][0], []).append(k)
    found: list[tuple[Floats, Floats] | None] = [None] * len(chains)
    for t, members in places.items():  # all frames of a run at once
        run, frames = store.trajectories[t], np.array([[i for _, i in chains[k]] for k in members])
        forces, velocities = motion(run, frames, stencil)
        for row, k in enumerate(members):
            found[k] = forces[row], momentum_direction(run.atomic_numbers, velocities[row])
    columns = zip(*(part for part in found if part is not None), strict=True)
    targets, directions = (torch.as_tensor(np.concatenate(column), device=store.device) for column in columns)
    return targets, directions
