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
from frames.export import DTYPES
from frames.nn.potential import Derivatives, Potential, evaluate
from frames.training.auxiliary.base import AuxiliaryTask, Chain, Setting
from frames.training.auxiliary.tasks import task_of, weight_at
from frames.training.averaging import MovingAverage, learning_rate_factor
from frames.training.batch import Batch, FrameIndex, FrameStore
from frames.training.buckets import Shape, choose_buckets
from frames.training.compiled import CompiledPotential, can_compile
from frames.training.initial import first_potential
from frames.training.losses import ErrorSums, energy_loss, force_loss, virial_loss
from frames.training.optimizer import LEARNING_RATE, make_optimizer
from frames.training.parallel import Workers
from frames.training.reference import (
    energy_spread,
    force_scale,
    shortest_distances,
    virial_spread,
)
from frames.training.roles import TrainingData

CHAIN_SAMPLE = 2000  # chains whose displacements set the scale of the auxiliary loss
COMPILE_FROM = 4000  # steps: from here on the compilation is paid back
UNLABELLED_SHARE = 0.8  # of a batch, at most, where auxiliary.share does not say otherwise
SHAPE_SAMPLE = 200  # steps whose batches the compiled shapes are chosen for


class Trainer:
    """Potential, auxiliary task, optimizer and moving average of one run.

    Raises FramesError for settings that the backbone does not have, and when a loss is no longer finite.
    """

    def __init__(self, config: Config, data: TrainingData, workers: Workers | None = None) -> None:
        self.config = config
        self.data = data
        self.workers = workers or Workers()
        self.device = torch.device(config.training.device)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise FramesError("training.device = 'cuda': PyTorch finds no CUDA device here; use device = 'cpu'")
        if min(config.training.batch_size, len(data.train)) < self.workers.size:
            raise FramesError(
                f"training.batch_size = {config.training.batch_size}: {self.workers.size} processes share a batch, so "
                "it needs at least as many frames"
            )
        dtype = DTYPES[config.training.dtype]
        self.store = FrameStore(
            data.trajectories, config.model.cutoff, dtype, self.device, force_weights=data.force_weights
        )
        torch.manual_seed(config.training.seed)
        self.scale = force_scale(data.trajectories, data.train)
        self.spec, self.potential = first_potential(config, data, self.store, self.scale)
        self.scales = self._loss_scales()
        self.task = self._auxiliary_task()
        self.parameters = list(self.potential.parameters())
        rate = config.training.learning_rate or LEARNING_RATE[self.spec.backbone]
        trained = [*self.parameters, *(p for p in (self.task.parameters() if self.task else ()) if p.requires_grad)]
        self.optimizer = make_optimizer(config.training, self.spec.backbone, trained, rate)
        self.rate = rate
        self.average = MovingAverage(self.parameters, config.training.ema)
        self.compiled: CompiledPotential | None = None
        self.step = 0
        self.seconds = 0.0
        self.shortest = shortest_distances(data.trajectories, data.train, self.spec.cutoff)

    def _loss_scales(self) -> dict[str, float]:
        """What each loss is divided by: the typical force, so that weights and learning rate do not depend on the
        system; or with training.balance the spread of the labels."""
        data, training = self.data, self.config.training
        scales = dict.fromkeys(("force", "energy", "virial"), self.scale)
        if training.balance:
            reference = self.potential.energy_reference.cpu().numpy()
            scales["energy"] = energy_spread(data.trajectories, data.train, self.spec.elements, reference)
            scales["virial"] = virial_spread(data.trajectories, data.train)
        return scales

    @property
    def batch_size(self) -> int:
        """Labelled frames of a step, over all processes.

        Unlabelled frames that give forces are as good, and as dear, as labelled ones: they share the batch. Those of
        other tasks come beside it.
        """
        size = self.config.training.batch_size
        if self._shares:
            size = max(self.workers.size, size - self.unlabelled_size)
        return min(size, len(self.data.train))

    @property
    def unlabelled_size(self) -> int:
        """Unlabelled chains of a step, over all processes."""
        size = self.config.training.batch_size
        size = max(self.workers.size, round(size * self._share)) if self._shares else min(size, len(self.data.train))
        return min(size, len(self.data.unlabelled))

    @property
    def frames_per_step(self) -> int:
        """Frames whose forces a step learns: the labelled ones, and unlabelled ones that give forces."""
        return self.batch_size + self.unlabelled_size if self._shares else self.batch_size

    @property
    def _share(self) -> float:
        """Of the frames of a batch, those without labels: every frame is seen as often as another, or a little less."""
        if self.data.auxiliary.share is not None:
            return self.data.auxiliary.share
        return min(UNLABELLED_SHARE, len(self.data.unlabelled) / (len(self.data.unlabelled) + len(self.data.train)))

    @property
    def _shares(self) -> bool:
        return self.task is not None and self.task.with_forces and bool(self.data.unlabelled)

    @property
    def progress(self) -> float:
        """From 0 to 1: by steps, or by time where a limit in minutes is nearer."""
        training = self.config.training
        by_time = self.seconds / (60 * training.minutes) if training.minutes else 0.0
        return min(1.0, max(self.step / training.most_steps, by_time))

    def advance(self) -> dict[str, float]:
        """One step of the optimizer. Returns the learning rate and the parts of the loss in meV units."""
        training = self.config.training
        rate = self.rate * learning_rate_factor(self.progress, training.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, parts = self._loss(self.step)
        parts = {"learning_rate": rate, **{name: self.workers.total(value) for name, value in parts.items()}}
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._check(sum(value for name, value in parts.items() if name != "learning_rate"))
        self.workers.add_gradients(p for group in self.optimizer.param_groups for p in group["params"])
        nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], training.clip_gradient)
        self.optimizer.step()
        self.average.update()
        self.step += 1
        return parts

    def _loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of a step, as far as this process has its frames, and its parts."""
        training = self.config.training
        whole = self._frames_of_step(step)
        frames = self.workers.share(whole)
        batch = self.store.batch(frames)
        result, beside = self._evaluate_jointly(step, frames, batch)
        # means over the share of this process; weighed by it, their sum over the processes is the mean over the batch
        by_weight, by_frames = self._force_weight(frames) / self._force_weight(whole), len(frames) / len(whole)
        losses = {"force": force_loss(result, batch) * by_weight}
        # of one frame as much as of another, labelled or not
        force_weight = training.force_weight * len(whole) / self.frames_per_step
        weights = {"force": force_weight, "energy": training.energy_weight, "virial": training.virial_weight}
        if batch.energies is not None:
            losses["energy"] = energy_loss(result, batch) * by_frames
        if training.virial_weight > 0 and (stressed := self._with_virial(whole)):
            share = self._with_virial(frames) / stressed
            losses["virial"] = virial_loss(result, batch) * share if share else result.forces.new_zeros(())
        loss = torch.stack([weights[name] * value / self.scales[name] for name, value in losses.items()]).sum()
        parts = {f"{name}_loss": value.item() * 1e3 for name, value in losses.items()}
        weight = weight_at(self.data.auxiliary, self.progress)
        if self._shares:
            weight *= self.unlabelled_size / self.frames_per_step
        if weight > 0 and self.task is not None:
            auxiliary = self._auxiliary_loss(step, whole, frames, result, beside)
            loss = loss + weight * auxiliary
            parts["auxiliary_loss"] = auxiliary.item()
        return loss, parts

    @property
    def compiles(self) -> bool:
        """Whether the step is to be compiled: by the configuration, or where it pays and can be done."""
        training = self.config.training
        possible = can_compile(self.spec.backbone)
        if training.compile and not possible:
            raise FramesError("training.compile = true: needs backbone = 'cartesian'")
        return possible and training.most_steps >= COMPILE_FROM if training.compile is None else training.compile

    def compile(self) -> None:
        """Compiles the step for batches of this run, which takes half a minute or more for every shape.

        Forgets a former compilation. Raises RuntimeError where it fails, and the plain step stays.
        """
        # of the first steps also where a training goes on: other shapes would round otherwise
        needed = {step: self._shapes_of_step(step) for step in range(SHAPE_SAMPLE)}
        shapes = choose_buckets(shape for found in needed.values() for shape in found)
        self.compiled = CompiledPotential(self.potential, shapes, virial=self.config.training.virial_weight > 0)
        missing = set(shapes)
        try:
            for step, found in needed.items():
                used = {next(s for s in shapes if s.holds(shape)) for shape in found}
                if used & missing:  # a shape is compiled when it is first used
                    self._loss(step)[0].backward()
                    missing -= used
        except RuntimeError:
            self.compiled = None
            raise
        self.optimizer.zero_grad(set_to_none=True)

    def _shapes_of_step(self, step: int) -> list[Shape]:
        """Of the batches that a step evaluates, or takes features of."""
        whole = self._frames_of_step(step)
        batches = [self.workers.share(whole) + self._beside(step)]
        if self.task is not None and not self.task.with_forces:
            for chains in (
                [self.data.chains[frame] for frame in batches[0] if frame in self.data.chains],
                self.workers.share(self._unlabelled_of_step(step)),
            ):
                batches += [list(frames) for frames in zip(*chains, strict=True)]
        return [Shape(self._atoms(frames), sum(map(self.store.edges, frames))) for frames in batches]

    def time_gradient(self) -> float:
        """Seconds that energies, forces and the gradient of a first batch take: best of a few, nothing is changed."""
        batch = self.store.batch(self._frames_of_step(self.step))
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

    def _frames_of_step(self, step: int) -> list[FrameIndex]:
        """A batch drawn without replacement within an epoch; a function of seed and step alone."""
        train, size = self.data.train, self.batch_size
        per_epoch = len(train) // size
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng([self.config.training.seed, epoch]).permutation(len(train))
        return [train[i] for i in order[place * size : (place + 1) * size]]

    def _auxiliary_task(self) -> AuxiliaryTask | None:
        auxiliary = self.data.auxiliary
        if auxiliary.task == "none" or auxiliary.weight == 0:
            return None
        chains = [*self.data.chains.values(), *self.data.unlabelled]
        if not chains:
            # a training set whose labels are its motion needs nothing beside
            if auxiliary.task == "newton" and self.data.force_weights:
                return None
            raise FramesError(
                f"auxiliary.task = {auxiliary.task!r}: there are no frames that it could use: no consecutive ones, as "
                "the training frames are not ordered in time, or none of these times. Name ordered trajectories in "
                "data.unlabelled, or set auxiliary.task = 'none'"
            )
        sample = [chains[i] for i in np.unique(np.linspace(0, len(chains) - 1, CHAIN_SAMPLE).astype(int))]
        stencil, weights = self.data.stencil, self.data.motion_weights
        task = task_of(Setting(self.potential, self.store, auxiliary, sample, self.scale, stencil, weights))
        return task.to(self.device, DTYPES[self.config.training.dtype])

    def _evaluate_jointly(
        self, step: int, frames: Sequence[FrameIndex], batch: Batch
    ) -> tuple[Derivatives, Derivatives | None]:
        """The labelled frames of this process, and the unlabelled ones whose forces the task wants, in one go."""
        extra = self._beside(step)
        if not extra:
            return self.evaluate(batch), None
        both = self.evaluate(self.store.batch([*frames, *extra], labels=False))
        parts = []
        for atoms, structures in (
            (slice(0, len(batch.atomic_numbers)), slice(0, batch.structures)),
            (slice(len(batch.atomic_numbers), None), slice(batch.structures, None)),
        ):
            virials = None if both.virials is None else both.virials[structures]
            fields = (both.forces[atoms], virials, both.scalars[atoms], both.vectors[atoms])
            parts.append(Derivatives(both.energies[structures], *fields))
        return parts[0], parts[1]

    def _beside(self, step: int) -> list[FrameIndex]:
        """The unlabelled frames of a step and this process whose forces the task wants."""
        if not self._shares:
            return []
        anchor = self.data.anchor
        return [chain[anchor] for chain in self.workers.share(self._unlabelled_of_step(step))]

    def _auxiliary_loss(
        self,
        step: int,
        whole: Sequence[FrameIndex],
        mine: Sequence[FrameIndex],
        result: Derivatives,
        beside: Derivatives | None = None,
    ) -> Tensor:
        """Mean over the chains of the labelled batch and over the unlabelled ones of this step.

        Of the whole batch, this process computes what starts at its own frames; `result` is of those, `beside` of the
        unlabelled ones, if the task wanted their forces.
        """
        assert self.task is not None
        losses: list[Tensor] = []
        workers, kinds = self.workers, 0
        random = np.random.default_rng([self.config.training.seed, step, 2 + workers.rank])
        labelled = [frame for frame in whole if frame in self.data.chains] if self.task.labelled else []
        if labelled:
            kinds += 1
            own = [frame for frame in mine if frame in self.data.chains]
            if own:
                loss = self.task(
                    [self.data.chains[f] for f in own], _rows(result, self._atoms_with_chain(mine)), self, random
                )
                losses.append(loss * (self._atoms(own) / self._atoms(labelled)))
        if self.data.unlabelled:
            kinds += 1
            chains = self._unlabelled_of_step(step)
            if own_chains := workers.share(chains):
                share = self.task.extent(own_chains, self) / max(self.task.extent(chains, self), 1e-12)
                losses.append(self.task(own_chains, beside, self, random) * share)
        return torch.stack(losses).sum() / kinds if losses else result.forces.new_zeros(())

    def _force_weight(self, frames: Sequence[FrameIndex]) -> float:
        """What the mean of the force loss is over: atoms, or their weights where forces are those of the motion."""
        known = self.data.force_weights
        total = sum(float(known[t].sum()) if t in known else self.data.trajectories[t].atoms for t, _ in frames)
        return max(total, 1e-12)

    def _with_virial(self, frames: Sequence[FrameIndex]) -> int:
        """How many of the frames have a virial."""
        return sum(self.data.trajectories[t].virials is not None for t, _ in frames)

    def _atoms(self, frames: Sequence[FrameIndex]) -> int:
        return sum(self.data.trajectories[t].atoms for t, _ in frames)

    def evaluate(self, batch: Batch) -> Derivatives:
        """Energies, forces and features with gradients; virials where the loss needs them."""
        if self.compiled is not None and self.compiled.fits(batch):
            return self.compiled.evaluate(batch)
        return _evaluate(self.potential, batch, self.config.training.virial_weight > 0, create_graph=True)

    def features(self, batch: Batch) -> Derivatives:
        """Features alone; energies and forces are empty."""
        if self.compiled is not None and self.compiled.fits(batch):
            return self.compiled.features(batch)
        return _features(self.potential, batch)

    def _atoms_with_chain(self, frames: Sequence[FrameIndex]) -> Tensor:
        has = [np.full(len(self.data.trajectories[f[0]].atomic_numbers), f in self.data.chains) for f in frames]
        return torch.as_tensor(np.flatnonzero(np.concatenate(has)), device=self.device)

    def _unlabelled_of_step(self, step: int) -> list[Chain]:
        chains = self.data.unlabelled
        if not chains:
            return []
        draw = np.random.default_rng([self.config.training.seed, step, 1])
        return [chains[i] for i in draw.choice(len(chains), self.unlabelled_size, replace=False)]

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise FramesError(
                f"the loss is {loss} at step {self.step}: lower training.learning_rate or look for wrong labels "
                "with `frames data inspect`; a checkpoint that was written before is intact"
            )


def predictions(
    potential: Potential, store: FrameStore, frames: Sequence[FrameIndex]
) -> Iterator[tuple[Batch, Derivatives]]:
    """Batches of labelled frames with what the potential says of them."""
    for part in store.in_batches(frames):
        batch = store.batch(part)
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
    picked = {name: getattr(result, name)[atoms] for name in ("forces", "scalars", "vectors")}
    return result._replace(**picked)
