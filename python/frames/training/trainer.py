"""One training run: its state, one step of it, validation. No files, no printing."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from frames.config import Config
from frames.errors import FramesError
from frames.export import DTYPES, ModelSpec
from frames.nn.potential import Derivatives, Potential, evaluate
from frames.training.auxiliary.base import Pair, pairs_of
from frames.training.auxiliary.frames import DisplacementTask, displacement_scale
from frames.training.averaging import MovingAverage, learning_rate_factor
from frames.training.batch import Batch, FrameIndex, FrameStore
from frames.training.compiled import CompiledPotential, can_compile
from frames.training.dataset import TrainingData
from frames.training.losses import ErrorSums, energy_loss, force_loss, virial_loss
from frames.training.reference import average_neighbours, energy_reference, force_scale, shortest_distances

LEARNING_RATE = {"cartesian": 3e-3, "equiformer": 5e-4}
COMPILE_FROM = 4000  # steps: from here on the compilation is paid back
NEIGHBOUR_SETTING = {"cartesian": "average_neighbours", "equiformer": "average_degree"}


class Trainer:
    """Potential, auxiliary task, optimizer and moving average of one run.

    Raises FramesError for settings that the backbone does not have, and when a loss is no longer finite.
    """

    def __init__(self, config: Config, data: TrainingData) -> None:
        self.config = config
        self.data = data
        self.device = torch.device(config.training.device)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise FramesError("training.device = 'cuda': PyTorch finds no CUDA device here; use device = 'cpu'")
        dtype = DTYPES[config.training.dtype]
        self.store = FrameStore(data.trajectories, config.model.cutoff, dtype, self.device)
        torch.manual_seed(config.training.seed)
        self.spec = _spec(config, data)
        self.potential = self.spec.build(dtype)
        self.potential.energy_reference.copy_(
            torch.as_tensor(energy_reference(data.trajectories, data.train, self.spec.elements))
        )
        self.scale = force_scale(data.trajectories, data.train)
        self.potential.energy_scale.fill_(self.scale)
        self.potential.to(self.device)
        self.task = self._auxiliary_task()
        self.parameters = list(self.potential.parameters())
        rate = config.training.learning_rate or LEARNING_RATE[config.model.backbone]
        self.optimizer = torch.optim.AdamW(
            [*self.parameters, *(self.task.parameters() if self.task else ())],
            lr=rate,
            weight_decay=config.training.weight_decay,
            amsgrad=True,
        )
        self.rate = rate
        self.average = MovingAverage(self.parameters, config.training.ema)
        self.compiled: CompiledPotential | None = None
        self.step = 0
        self.seconds = 0.0
        self.shortest = shortest_distances(data.trajectories, data.train, config.model.cutoff)

    @property
    def progress(self) -> float:
        """From 0 to 1: by steps, or by time where a limit in minutes is nearer."""
        training = self.config.training
        by_time = self.seconds / (60 * training.minutes) if training.minutes else 0.0
        return min(1.0, max(self.step / training.steps, by_time))

    def advance(self) -> dict[str, float]:
        """One step of the optimizer. Returns the learning rate and the parts of the loss in meV units."""
        training = self.config.training
        rate = self.rate * learning_rate_factor(self.progress, training.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        frames = self._frames_of_step()
        batch = self.store.batch(frames)
        result = self._evaluate(batch)
        force, energy = force_loss(result, batch), energy_loss(result, batch)
        # in units of the typical force, so that weights and learning rate do not depend on the system
        loss = (training.force_weight * force + training.energy_weight * energy) / self.scale
        parts = {"learning_rate": rate, "force_loss": force.item() * 1e3, "energy_loss": energy.item() * 1e3}
        if training.virial_weight > 0:
            virial = virial_loss(result, batch)
            loss = loss + training.virial_weight * virial / self.scale
            parts["virial_loss"] = virial.item() * 1e3
        weight = self._auxiliary_weight()
        if weight > 0:
            auxiliary = self._auxiliary_loss(frames, result)
            loss = loss + weight * auxiliary
            parts["auxiliary_loss"] = auxiliary.item()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._check(loss)
        nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], training.clip_gradient)
        self.optimizer.step()
        self.average.update()
        self.step += 1
        return parts

    @property
    def compiles(self) -> bool:
        """Whether the step is to be compiled: by the configuration, or where it pays and can be done."""
        training = self.config.training
        sizes = {self.data.trajectories[t].atoms for t, _ in self.data.train}
        possible = can_compile(self.config.model.backbone, sizes) and training.virial_weight == 0
        if training.compile and not possible:
            raise FramesError(
                "training.compile = true: needs backbone = 'cartesian', frames of one size, and virial_weight = 0"
            )
        return possible and training.steps >= COMPILE_FROM if training.compile is None else training.compile

    def compile(self) -> None:
        """Compiles the step for batches of this run; takes half a minute or more. Forgets a former compilation."""
        frames = self._frames_of_step()
        used = [*self.data.train, *self.data.partner.values()]
        used += [frame for pair in self.data.unlabelled for frame in (pair.first, pair.second)]
        most = max(self.store.edges(frame) for frame in used)
        compiled = CompiledPotential(self.potential, self.store.batch(frames), most * len(frames))
        batch = self.store.batch(frames)
        compiled.evaluate(batch).forces.sum().backward()
        if self.task is not None:
            compiled.features(batch).scalars.sum().backward()
        self.optimizer.zero_grad(set_to_none=True)
        self.compiled = compiled

    def time_gradient(self) -> float:
        """Seconds that energies, forces and the gradient of a first batch take: best of a few, nothing is changed."""
        batch = self.store.batch(self._frames_of_step())
        spent = []
        for _ in range(6):
            start = time.perf_counter()
            loss = force_loss(_evaluate(self.potential, batch, False, create_graph=True), batch)
            torch.autograd.grad(loss, self.parameters, allow_unused=True)
            spent.append(time.perf_counter() - start)
        return sorted(spent[1:])[1]

    def errors(self, frames: Sequence[FrameIndex]) -> dict[str, float]:
        """Errors of the averaged parameters on labelled frames, in meV and meV/Å."""
        sums = ErrorSums()
        self.average.swap()
        try:
            for batch, result in predictions(self.potential, self.store, frames):
                sums.add(result, batch)
        finally:
            self.average.swap()
        return sums.errors()

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs beside the parameters."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state(),
            "task": self.task.state_dict() if self.task else {},
        }

    def load(self, model: dict[str, Tensor], state: dict[str, Any], step: int, seconds: float) -> None:
        """Goes back to a saved state, so that the next step is the one that would have followed."""
        self.potential.load_state_dict(model)
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load(state["average"]["updates"], state["average"]["average"])
        if self.task:
            self.task.load_state_dict(state["task"])
        self.step, self.seconds = step, seconds

    def averaged_state(self) -> dict[str, Tensor]:
        """State dict of the potential with averaged parameters, on the CPU."""
        self.average.swap()
        try:
            return {k: v.detach().cpu().clone() for k, v in self.potential.state_dict().items()}
        finally:
            self.average.swap()

    def _frames_of_step(self) -> list[FrameIndex]:
        """A batch drawn without replacement within an epoch; a function of seed and step alone."""
        train, size = self.data.train, min(self.config.training.batch_size, len(self.data.train))
        per_epoch = len(train) // size
        epoch, place = divmod(self.step, per_epoch)
        order = np.random.default_rng([self.config.training.seed, epoch]).permutation(len(train))
        return [train[i] for i in order[place * size : (place + 1) * size]]

    def _auxiliary_task(self) -> DisplacementTask | None:
        auxiliary = self.config.auxiliary
        if auxiliary.task == "none" or auxiliary.weight == 0:
            return None
        pairs = [*pairs_of(self.data.train, self.data.partner), *self.data.unlabelled][:2000]
        if not pairs:
            raise FramesError(
                "auxiliary.task = 'frames': there are no pairs of consecutive frames; the training frames are not "
                "ordered in time. Name ordered trajectories in data.unlabelled, or set auxiliary.task = 'none'"
            )
        moved = self.store.displacements([p.first for p in pairs], [p.second for p in pairs])
        numbers = np.concatenate([self.data.trajectories[p.first[0]].atomic_numbers for p in pairs])
        species = self.potential.species_of[torch.as_tensor(numbers, device=self.device)]
        backbone: Any = self.potential.backbone
        task = DisplacementTask(
            backbone.scalar_width, backbone.vector_width, displacement_scale(moved, species, len(self.spec.elements))
        )
        return task.to(self.device, DTYPES[self.config.training.dtype])

    def _auxiliary_weight(self) -> float:
        auxiliary = self.config.auxiliary
        if self.task is None or self.progress >= auxiliary.decay_end:
            return 0.0
        return auxiliary.weight * (1.0 - self.progress / auxiliary.decay_end) ** 2

    def _auxiliary_loss(self, frames: Sequence[FrameIndex], result: Derivatives) -> Tensor:
        """Mean over the pairs of the labelled batch and as many unlabelled pairs as there are frames in it."""
        assert self.task is not None
        losses: list[Tensor] = []
        labelled = pairs_of(frames, self.data.partner)
        if labelled:
            losses.append(self._pair_loss(labelled, _rows(result, self._atoms_with_partner(frames))))
        if self.data.unlabelled:
            pairs = self._unlabelled_of_step(len(frames))
            first = self.store.batch([p.first for p in pairs], labels=False)
            losses.append(self._pair_loss(pairs, self._features(first)))
        return torch.stack(losses).mean() if losses else result.energies.new_zeros(())

    def _pair_loss(self, pairs: Sequence[Pair], first: Derivatives) -> Tensor:
        assert self.task is not None
        second = self.store.batch([p.second for p in pairs], labels=False)
        moved = self.store.displacements([p.first for p in pairs], [p.second for p in pairs])
        species = self.potential.species_of.index_select(0, second.atomic_numbers)
        loss: Tensor = self.task(first, self._features(second), moved, species)
        return loss

    def _evaluate(self, batch: Batch) -> Derivatives:
        if self.compiled is not None and self.compiled.fits(batch):
            return self.compiled.evaluate(batch)
        return _evaluate(self.potential, batch, self.config.training.virial_weight > 0, create_graph=True)

    def _features(self, batch: Batch) -> Derivatives:
        if self.compiled is not None and self.compiled.fits(batch):
            return self.compiled.features(batch)
        return _features(self.potential, batch)

    def _atoms_with_partner(self, frames: Sequence[FrameIndex]) -> Tensor:
        has = [np.full(len(self.data.trajectories[f[0]].atomic_numbers), f in self.data.partner) for f in frames]
        return torch.as_tensor(np.flatnonzero(np.concatenate(has)), device=self.device)

    def _unlabelled_of_step(self, count: int) -> list[Pair]:
        pairs = self.data.unlabelled
        draw = np.random.default_rng([self.config.training.seed, self.step, 1])
        return [pairs[i] for i in draw.choice(len(pairs), min(count, len(pairs)), replace=False)]

    def _check(self, loss: Tensor) -> None:
        if not math.isfinite(loss.item()):
            raise FramesError(
                f"the loss is {loss.item()} at step {self.step}: lower training.learning_rate or look for wrong labels "
                "with `frames data inspect`; the last checkpoint is intact"
            )


def predictions(
    potential: Potential, store: FrameStore, frames: Sequence[FrameIndex], size: int = 32
) -> Iterator[tuple[Batch, Derivatives]]:
    """Batches of labelled frames with what the potential says of them."""
    for start in range(0, len(frames), size):
        batch = store.batch(frames[start : start + size])
        result = _evaluate(potential, batch, batch.virials is not None, create_graph=False)
        yield batch, Derivatives(*(None if t is None else t.detach() for t in result))  # type: ignore[arg-type]


def _evaluate(potential: Potential, batch: Batch, virial: bool, *, create_graph: bool) -> Derivatives:
    return evaluate(
        potential,
        batch.atomic_numbers,
        batch.edge_index,
        batch.edge_vectors,
        batch.structure,
        batch.structures,
        virial=virial,
        create_graph=create_graph,
    )


def _features(potential: Potential, batch: Batch) -> Derivatives:
    """Node features alone; no forces, so no second derivatives."""
    energies, scalars, vectors = potential.with_features(batch.atomic_numbers, batch.edge_index, batch.edge_vectors)
    return Derivatives(energies, vectors.new_zeros(0, 3), None, scalars, vectors)


def _rows(result: Derivatives, atoms: Tensor) -> Derivatives:
    if len(atoms) == len(result.scalars):
        return result
    return result._replace(scalars=result.scalars[atoms], vectors=result.vectors[atoms])


def _spec(config: Config, data: TrainingData) -> ModelSpec:
    """The model of the configuration, its number of neighbours taken from the data where it is not given."""
    model = config.model
    settings = dict(model.settings)
    if model.preset is not None:
        if model.backbone != "cartesian":
            raise FramesError(f"model.preset = {model.preset!r}: only the backbone cartesian has presets")
        from dataclasses import asdict

        from frames.nn.cartesian import CartesianSettings

        settings = {**asdict(CartesianSettings.preset(model.preset)), **settings}
    key = NEIGHBOUR_SETTING[model.backbone]
    if key not in model.settings:
        settings[key] = average_neighbours(data.trajectories, data.train, model.cutoff)
    elements = sorted({int(z) for run in data.trajectories for z in run.atomic_numbers})
    return ModelSpec(model.backbone, settings, tuple(elements), model.cutoff)
