"""Energy labels from time alone: in an NVE run, what the potential energy gains the kinetic energy loses.

The difference of energies along a path against −∫F·dr of the model's own forces would teach nothing: forces that are
the gradient of an energy satisfy it whatever the energy. The kinetic energy is knowledge from outside, and positions
hold it: the velocity of velocity Verlet at a stored step is (r(t+1) − r(t−1)) / 2Δt exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ase.data import atomic_masses
from torch import Tensor

from frames.config import AuxiliarySection
from frames.data.motion import NVE_BELOW, require_motion
from frames.data.periodic import displacements
from frames.errors import FramesError
from frames.nn.potential import Derivatives
from frames.training.auxiliary.base import AuxiliaryTask, Chain, Model, Need, Setting
from frames.training.batch import FrameStore
from frames.units import AMU_ANGSTROM2_PER_FS2

APART = 20  # time steps between the two frames, where auxiliary.stride does not say more


def need(section: AuxiliarySection) -> Need:
    """Two frames with both neighbours of each."""
    apart = section.stride if section.stride > 1 else APART
    if apart < 2:
        raise FramesError("auxiliary.stride: the task conservation needs at least 2")
    return Need((-1, 0, 1, apart - 1, apart, apart + 1))


class ConservationTask(AuxiliaryTask):
    """mean |Ê(b) − Ê(a) + K(b) − K(a)| / σ, where σ is the root mean square of K(b) − K(a).

    Needs NVE, and refuses what newton refuses, and thermostats where stored forces show them; in positions alone one
    that scales velocities cannot be seen. It costs no second derivatives.
    """

    schedule = "constant"

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        for t in sorted({chain[0][0] for chain in setting.chains}):
            run = setting.store.trajectories[t]
            test = require_motion(run)
            if test.friction is not None and test.friction > NVE_BELOW:
                raise FramesError(
                    f"{run.source or 'trajectory'}: its energy is not conserved ({test.facts}); the task conservation "
                    "needs constant energy, the task newton does not"
                )
        gained = kinetic_gain(setting.store, setting.chains)
        self.sigma: Tensor
        self.register_buffer("sigma", gained.pow(2).mean().sqrt().clamp_min(1e-9))

    def forward(
        self, chains: Sequence[Chain], anchor: Derivatives | None, model: Model, random: np.random.Generator
    ) -> Tensor:
        """See `AuxiliaryTask.forward`."""
        energies = []
        for place in (1, 4):
            batch = model.store.batch([chain[place] for chain in chains], labels=False)
            atoms = model.potential.with_features(batch.atomic_numbers, batch.edge_index, batch.edge_vectors)[0]
            energies.append(atoms.new_zeros(batch.structures).index_add(0, batch.structure, atoms))
        gained = kinetic_gain(model.store, chains).to(energies[0])
        return ((energies[1] - energies[0] + gained).abs() / self.sigma).mean()


def kinetic_gain(store: FrameStore, chains: Sequence[Chain]) -> Tensor:
    """K(b) − K(a) [len(chains)] in eV, float64, with a and b the second and fifth frame of each chain."""
    gained = []
    for chain in chains:
        run = store.trajectories[chain[0][0]]
        frames = np.array([[chain[0][1], chain[2][1]], [chain[3][1], chain[5][1]]])
        assert run.times is not None
        time = run.times[frames[:, 1]] - run.times[frames[:, 0]]
        velocity = displacements(run, frames) / time[:, None, None]
        mass = atomic_masses[run.atomic_numbers] * AMU_ANGSTROM2_PER_FS2
        kinetic = 0.5 * (mass[:, None] * np.square(velocity)).sum(axis=(1, 2))
        gained.append(kinetic[1] - kinetic[0])
    return torch.as_tensor(np.array(gained), device=store.device)
