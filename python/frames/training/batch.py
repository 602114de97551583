"""Frames as tensors: neighbour lists made once per frame, batches put together from them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from ase.data import atomic_masses
from torch import Tensor

from frames.data.graph import neighbour_list
from frames.data.motion import momentum_direction
from frames.data.periodic import displacements
from frames.data.timeline import time_step
from frames.data.trajectory import Trajectory

FrameIndex = tuple[int, int]  # (which trajectory of the list, which frame in it)
MOST_FRAMES = 32  # of a batch outside of training
MOST_EDGES = 20_000  # of such a batch, so that large systems need no more memory than a training step of some frames


@dataclass(frozen=True)
class Batch:
    """G structures with together N atoms and E edges, and their labels."""

    atomic_numbers: Tensor  # [N] int64
    edge_index: Tensor  # [2,E] int64
    edge_vectors: Tensor  # [E,3] Å, dtype of the model
    structure: Tensor  # [N] int64, 0…G−1
    atoms: Tensor  # [G] float64, atoms per structure
    energies: Tensor | None  # [G] float64, eV
    forces: Tensor | None  # [N,3], eV/Å
    virials: Tensor | None  # [V,3,3] float64, eV, of those structures that have one
    with_virial: Tensor | None = None  # [V] int64, which these are
    force_weights: Tensor | None = None  # [N], where forces are not equally good
    unknown: Tensor | None = None  # [N,3], per structure the direction along which they are not known, of norm one

    @property
    def structures(self) -> int:
        return len(self.atoms)

    def known(self, errors: Tensor) -> Tensor:
        """Force errors [N,3] without their part along the unknown direction of each structure."""
        return errors if self.unknown is None else across(errors, self.unknown, self.structure, self.structures)

    def displaced(self, by: Tensor) -> Batch:
        """The batch with every atom moved, without labels: by [N,3] Å, far less than the cutoff.

        Pairs stay the same; one that came within the cutoff would weigh next to nothing.
        """
        centre, neighbour = self.edge_index
        vectors = self.edge_vectors + by.index_select(0, neighbour) - by.index_select(0, centre)
        return replace(self, edge_vectors=vectors, energies=None, forces=None, virials=None, with_virial=None)


def across(vectors: Tensor, direction: Tensor, structure: Tensor, structures: int) -> Tensor:
    """What is left of [N,3] without the part along a direction [N,3] of norm one (or zero) over each structure."""
    along = (vectors * direction).sum(1)
    total = along.new_zeros(structures).index_add(0, structure, along)
    return vectors - total.index_select(0, structure).unsqueeze(1) * direction


@dataclass(frozen=True)
class _Edges:
    index: Tensor  # [2,E] int64
    vectors: Tensor  # [E,3]

    @property
    def bytes(self) -> int:
        return self.index.nbytes + self.vectors.nbytes


class FrameStore:
    """Gives batches of frames of a list of trajectories; keeps the neighbour lists of frames that it has seen."""

    def __init__(
        self,
        trajectories: Sequence[Trajectory],
        cutoff: float,
        dtype: torch.dtype,
        device: torch.device,
        *,
        cache_bytes: int = 2 << 30,
        force_weights: Mapping[int, np.ndarray] | None = None,
    ) -> None:
        self.trajectories = list(trajectories)
        self.cutoff = cutoff
        self.dtype = dtype
        self.device = device
        self._force_weights = force_weights or {}
        self._cache: OrderedDict[FrameIndex, _Edges] = OrderedDict()
        self._cached_bytes = 0
        self._steps: dict[int, float] = {}  # fs, time step of a run
        self._cache_bytes = cache_bytes

    def batch(self, frames: Sequence[FrameIndex], *, labels: bool = True) -> Batch:
        """The frames as one batch. `labels` adds energies, forces and virials where the trajectories have them."""
        parts = [self._edges(frame) for frame in frames]
        runs = [self.trajectories[t] for t, _ in frames]
        atoms = [len(run.atomic_numbers) for run in runs]
        starts = np.concatenate([[0], np.cumsum(atoms)[:-1]]).astype(np.int64)
        energies = forces = virials = with_virial = None
        if labels:
            energies, forces = self._labels(frames)
            virials, with_virial = self._virials(frames)
        return Batch(
            atomic_numbers=self._tensor(np.concatenate([run.atomic_numbers for run in runs]).astype(np.int64)),
            edge_index=torch.cat([p.index + int(s) for p, s in zip(parts, starts, strict=True)], dim=1).to(self.device),
            edge_vectors=torch.cat([p.vectors for p in parts]).to(self.device),
            structure=self._tensor(np.repeat(np.arange(len(frames)), atoms)),
            atoms=self._tensor(np.array(atoms, np.float64)),
            energies=energies,
            forces=forces,
            virials=virials,
            with_virial=with_virial,
            force_weights=self._weights(frames) if forces is not None else None,
            unknown=self._unknown(frames) if forces is not None else None,
        )

    def _weights(self, frames: Sequence[FrameIndex]) -> Tensor | None:
        if not any(t in self._force_weights for t, _ in frames):
            return None
        ones = [self._force_weights.get(t, np.ones(self.trajectories[t].atoms)) for t, _ in frames]
        return self._tensor(np.concatenate(ones)).to(self.dtype)

    def _unknown(self, frames: Sequence[FrameIndex]) -> Tensor | None:
        if not any(t in self._force_weights for t, _ in frames):
            return None
        found = []
        for t, i in frames:
            run = self.trajectories[t]
            if t in self._force_weights and run.velocities is not None:
                found.append(momentum_direction(run.atomic_numbers, run.velocities[i]))
            else:
                found.append(np.zeros((run.atoms, 3)))
        return self._tensor(np.concatenate(found)).to(self.dtype)

    def edges(self, frame: FrameIndex) -> int:
        """Number of edges of a frame."""
        return self._edges(frame).index.shape[1]

    def displacements(self, first: Sequence[FrameIndex], second: Sequence[FrameIndex]) -> Tensor:
        """Displacement of each atom from one frame to another of the same run, without the drift of the centre of mass.

        [N,3] Å in the dtype of the model; to the nearest image across cell borders.
        """
        moved = []
        for (t, a), (_, b) in zip(first, second, strict=True):
            run = self.trajectories[t]
            delta = displacements(run, np.array([[a, b]]))[0]
            masses = atomic_masses[run.atomic_numbers]
            moved.append(delta - (masses[:, None] * delta).sum(0) / masses.sum())
        return self._tensor(np.concatenate(moved)).to(self.dtype)

    def steps_between(self, pairs: Sequence[tuple[FrameIndex, ...]]) -> Tensor:
        """[N,1] time between the first two frames of each, in time steps of their runs, for every atom."""
        found = []
        for (t, a), (_, b), *_ in pairs:
            run = self.trajectories[t]
            assert run.times is not None
            if t not in self._steps:
                self._steps[t] = time_step(run) or 1.0
            found.append(np.full((run.atoms, 1), (run.times[b] - run.times[a]) / self._steps[t]))
        return self._tensor(np.concatenate(found))

    def in_batches(self, frames: Sequence[FrameIndex]) -> Iterator[list[FrameIndex]]:
        """The frames in their order, as many at once as memory has room for, at least one.

        For evaluations of their own: batches of training have the size that the configuration says.
        """
        batch: list[FrameIndex] = []
        edges = 0
        for frame in frames:
            more = self.edges(frame)
            if batch and (len(batch) == MOST_FRAMES or edges + more > MOST_EDGES):
                yield batch
                batch, edges = [], 0
            batch.append(frame)
            edges += more
        if batch:
            yield batch

    def _labels(self, frames: Sequence[FrameIndex]) -> tuple[Tensor | None, Tensor | None]:
        runs = [self.trajectories[t] for t, _ in frames]
        energies = [run.energies[i] for run, (_, i) in zip(runs, frames, strict=True) if run.energies is not None]
        forces = [run.forces[i] for run, (_, i) in zip(runs, frames, strict=True) if run.forces is not None]
        n = len(frames)
        return (
            self._tensor(np.array(energies, np.float64)) if len(energies) == n else None,
            self._tensor(np.concatenate(forces)).to(self.dtype) if len(forces) == n else None,
        )

    def _virials(self, frames: Sequence[FrameIndex]) -> tuple[Tensor | None, Tensor | None]:
        """Those that there are, and which structures have them: molecules beside crystals have none."""
        found = [
            (k, virials[i]) for k, (t, i) in enumerate(frames) if (virials := self.trajectories[t].virials) is not None
        ]
        if not found:
            return None, None
        structures, values = zip(*found, strict=True)
        return self._tensor(np.array(values, np.float64)), self._tensor(np.array(structures, np.int64))

    def _edges(self, frame: FrameIndex) -> _Edges:
        found = self._cache.get(frame)
        if found is not None:
            return found
        run, i = self.trajectories[frame[0]], frame[1]
        cell = None if run.cells is None else run.cells[i]
        index, shifts = neighbour_list(run.positions[i], cell, run.pbc, self.cutoff)
        vectors = run.positions[i][index[1]] + shifts - run.positions[i][index[0]]
        edges = _Edges(torch.as_tensor(np.ascontiguousarray(index)), torch.as_tensor(vectors).to(self.dtype))
        self._cache[frame] = edges
        self._cached_bytes += edges.bytes
        while self._cached_bytes > self._cache_bytes and len(self._cache) > 1:
            self._cached_bytes -= self._cache.popitem(last=False)[1].bytes
        return edges

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array)).to(self.device)
