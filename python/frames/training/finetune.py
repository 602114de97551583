"""Starting from a trained model: other data, other level of theory, or elements that it does not know yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from frames.artifact import read_model
from frames.config import ModelSection
from frames.data.trajectory import Floats
from frames.errors import FramesError
from frames.export import ModelSpec
from frames.nn.potential import Potential
from frames.training.batch import FrameIndex, FrameStore
from frames.training.checkpoint import is_torchscript, load_checkpoint

SAMPLE = 64  # frames that the reference energies are adjusted to
_EASE = 1e6  # how much easier the reference energy of a new element is to shift than a known one


@dataclass(frozen=True)
class Start:
    """A trained model: what it is, and its parameters, scale and reference energies by name, on the CPU."""

    spec: ModelSpec
    parameters: dict[str, Tensor]


def read_start(path: str | Path) -> Start:
    """A checkpoint of `frames train`, of which the averaged parameters count, or a model file of `frames export`.

    Raises FramesError if it is neither, or damaged.
    """
    if not is_torchscript(Path(path)):
        checkpoint = load_checkpoint(path)
        return Start(checkpoint.spec, checkpoint.averaged)
    file = read_model(path)
    about = file.metadata
    spec = ModelSpec(about.backbone, about.backbone_settings, tuple(about.elements), about.cutoff)
    return Start(spec, {name: torch.as_tensor(array) for name, array in file.weights.items()})


def start_of(model: ModelSection, elements: Sequence[int]) -> tuple[Start, ModelSpec]:
    """The model to start from, and the one to train: the same, with these elements added to those that it knows.

    Raises FramesError if it cannot be read, or the configuration asks for another model than the one in it.
    """
    assert model.start is not None
    start = read_start(model.start)
    spec = start.spec
    for key in ("preset", "settings", "backbone", "cutoff"):
        if key in model.model_fields_set and getattr(model, key) != getattr(spec, key, None):
            raise FramesError(
                f"model.{key} = {getattr(model, key)!r}: the model is that of model.start, {Path(model.start).name} "
                f"({spec.backbone}, {spec.settings}, cutoff {spec.cutoff} Å); leave the key out"
            )
    known = tuple(sorted({*spec.elements, *elements}))
    return start, ModelSpec(spec.backbone, spec.settings, known, spec.cutoff)


@torch.no_grad()
def take_over(potential: Potential, start: Start) -> None:
    """Copies parameters, scale and reference energies; what belongs to new elements stays as it was drawn."""
    old, new = list(start.spec.elements), list(potential.elements)
    places = torch.tensor([new.index(z) for z in old])
    given = start.parameters
    for name, parameter in potential.named_parameters():
        if name not in given:
            raise FramesError(f"model.start: there is no parameter {name} in it; it was written by another version")
        _copy(parameter, given[name], places, len(old), len(new), name)
    potential.energy_scale.fill_(given["energy_scale"].item())
    potential.energy_reference.zero_()
    potential.energy_reference[places] = given["energy_reference"].to(potential.energy_reference)


def _copy(target: Tensor, given: Tensor, places: Tensor, old: int, new: int, name: str) -> None:
    """Parameters per species are laid out as [..., species × k, ...] in one dimension."""
    if target.shape == given.shape and old == new:
        target.copy_(given)
        return
    differing = [d for d in range(target.dim()) if target.shape[d] != given.shape[d]]
    if not differing:
        target.copy_(given)
        return
    d = differing[0]
    each = given.shape[d] // old
    if len(differing) > 1 or given.shape[d] != each * old or target.shape[d] != each * new:
        raise FramesError(f"model.start: parameter {name} has shape {list(given.shape)}, expected {list(target.shape)}")
    rows = (places[:, None] * each + torch.arange(each)).reshape(-1).to(target.device)
    target.index_copy_(d, rows, given.to(target))


@torch.no_grad()
def adjust_reference(
    potential: Potential, store: FrameStore, frames: Sequence[FrameIndex], known: Sequence[int]
) -> None:
    """Shifts the reference energies of the elements, as little as possible, to where the labels are on average.

    Another method counts energies from another zero, and a new element has none yet. Least squares over a sample of
    the frames that has all compositions; where these leave it open, new elements take all of the shift and the `known`
    ones none, so that what the model knew of other molecules stays, or else it is of smallest norm.
    """
    counts: list[Floats] = []
    missing: list[Floats] = []
    for part in store.in_batches(_of_all_compositions(store, frames)):
        batch = store.batch(part)
        if batch.energies is None:
            return
        atoms = potential(batch.atomic_numbers, batch.edge_index, batch.edge_vectors)
        found = atoms.new_zeros(batch.structures).index_add(0, batch.structure, atoms)
        species = potential.species_of.index_select(0, batch.atomic_numbers)
        count = found.new_zeros(batch.structures, len(potential.elements))
        count.index_put_((batch.structure, species), count.new_ones(len(species)), accumulate=True)
        counts.append(count.double().cpu().numpy())
        missing.append((batch.energies - found).double().cpu().numpy())
    # the smallest norm of shifts in other units, in which those of new elements are small
    ease = np.where(np.isin(potential.elements, known), 1.0, _EASE)
    shift = ease * np.linalg.lstsq(np.concatenate(counts) * ease, np.concatenate(missing), rcond=None)[0]
    potential.energy_reference += torch.as_tensor(shift).to(potential.energy_reference)


def _of_all_compositions(store: FrameStore, frames: Sequence[FrameIndex]) -> list[FrameIndex]:
    """About `SAMPLE` of the frames, evenly spread over those of each composition, and at least one of each."""
    groups: dict[bytes, list[FrameIndex]] = {}
    for t, i in frames:
        groups.setdefault(np.sort(store.trajectories[t].atomic_numbers).tobytes(), []).append((t, i))
    each = -(-SAMPLE // len(groups))
    return [g[i] for g in groups.values() for i in np.unique(np.linspace(0, len(g) - 1, min(each, len(g))).astype(int))]
