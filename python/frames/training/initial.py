"""The potential that a training starts from: fresh, with reference energies of the data, or a trained one."""

from __future__ import annotations

from dataclasses import asdict

import torch

from frames.config import Config
from frames.errors import FramesError
from frames.export import ModelSpec
from frames.nn.potential import Potential
from frames.training.batch import FrameStore
from frames.training.finetune import adjust_reference, start_of, take_over
from frames.training.reference import average_neighbours, energy_reference
from frames.training.roles import TrainingData

NEIGHBOUR_SETTING = {"cartesian": "average_neighbours", "equiformer": "average_degree"}


def first_potential(config: Config, data: TrainingData, store: FrameStore, scale: float) -> tuple[ModelSpec, Potential]:
    """The model of a configuration and a potential, in the dtype and on the device of the store.

    Args:
        store: of the frames; takes over the cutoff of a trained model.
        scale: energy scale of a fresh potential, eV.
    """
    if config.model.start is None:
        spec = _spec(config, data)
        potential = spec.build(store.dtype)
        reference = energy_reference(data.trajectories, data.train, spec.elements)
        potential.energy_reference.copy_(torch.as_tensor(reference))
        potential.energy_scale.fill_(scale)
        return spec, potential.to(store.device)
    start, spec = start_of(config.model, elements_of(data))
    store.cutoff = spec.cutoff
    potential = spec.build(store.dtype)
    take_over(potential, start)
    potential.to(store.device)
    adjust_reference(potential, store, data.train, start.spec.elements)
    return spec, potential


def _spec(config: Config, data: TrainingData) -> ModelSpec:
    """The model of the configuration, its number of neighbours taken from the data where it is not given."""
    model = config.model
    settings = dict(model.settings)
    if model.preset is not None:
        if model.backbone != "cartesian":
            raise FramesError(f"model.preset = {model.preset!r}: only the backbone cartesian has presets")
        from frames.nn.cartesian import CartesianSettings

        settings = {**asdict(CartesianSettings.preset(model.preset)), **settings}
    key = NEIGHBOUR_SETTING[model.backbone]
    if key not in model.settings:
        settings[key] = average_neighbours(data.trajectories, data.train, model.cutoff)
    return ModelSpec(model.backbone, settings, elements_of(data), model.cutoff)


def elements_of(data: TrainingData) -> tuple[int, ...]:
    """Atomic numbers of the elements in frames that training uses, sorted; nothing teaches others that files hold."""
    return tuple(sorted({int(z) for t in {t for t, _ in data.used} for z in data.trajectories[t].atomic_numbers}))
