"""Energies, forces and their gradients as one compiled graph.

Training on forces needs second derivatives, which `torch.compile` cannot take through `autograd.grad` by itself. So
the evaluation is first traced, forces included, into one graph of plain operations (`make_fx`), and that graph is
compiled; its backward pass is then an ordinary first derivative. Shapes are fixed: batches are padded with edges as
long as the cutoff, which every smooth backbone weighs with zero.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from frames.nn.potential import Derivatives, Potential, forces_from_edges
from frames.training.batch import Batch

PAD_TO = 64  # edges


class CompiledPotential:
    """A potential compiled for batches of one number of atoms and structures, and up to `edges` edges.

    It computes with the parameters that the potential has at the time of the call. Batches of another shape are
    not taken: see `fits`.
    """

    def __init__(self, potential: Potential, example: Batch, edges: int) -> None:
        self.potential = potential
        self.edges = -(-edges // PAD_TO) * PAD_TO
        self.atoms = len(example.atomic_numbers)
        self.structures = example.structures
        self._names = [name for name, _ in potential.backbone.named_parameters()]
        self._parameters = [parameter for _, parameter in potential.backbone.named_parameters()]
        self._with_forces = self._compile(self._traced(example))
        self._features = self._compile(self._backbone)

    def fits(self, batch: Batch) -> bool:
        return (
            len(batch.atomic_numbers) == self.atoms
            and batch.structures == self.structures
            and batch.edge_vectors.shape[0] <= self.edges
        )

    def evaluate(self, batch: Batch) -> Derivatives:
        """As `frames.nn.potential.evaluate` with create_graph, without virials."""
        species, index, vectors = self._padded(batch)
        energies, forces, scalars, features = self._with_forces(self._parameters, species, index, vectors)
        return Derivatives(self._totals(batch, species, energies), forces, None, scalars, features)

    def features(self, batch: Batch) -> Derivatives:
        """Node features alone: energies and forces are empty."""
        species, index, vectors = self._padded(batch)
        _, scalars, features = self._features(self._parameters, species, index, vectors)
        return Derivatives(vectors.new_zeros(0), vectors.new_zeros(0, 3), None, scalars, features)

    def _totals(self, batch: Batch, species: Tensor, energies: Tensor) -> Tensor:
        potential = self.potential
        atoms = energies.to(torch.float64) * potential.energy_scale + potential.energy_reference[species]
        return atoms.new_zeros(batch.structures).index_add(0, batch.structure, atoms)

    def _padded(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        missing = self.edges - batch.edge_vectors.shape[0]
        vectors = torch.nn.functional.pad(batch.edge_vectors, (0, 0, 0, missing))
        vectors[batch.edge_vectors.shape[0] :, 0] = self.potential.cutoff
        index = torch.nn.functional.pad(batch.edge_index, (0, missing))
        return self.potential.species_of.index_select(0, batch.atomic_numbers), index, vectors

    def _backbone(
        self, parameters: list[Tensor], species: Tensor, index: Tensor, vectors: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        named = dict(zip(self._names, parameters, strict=True))
        found: tuple[Tensor, Tensor, Tensor] = torch.func.functional_call(
            self.potential.backbone, named, (species, index, vectors)
        )
        return found

    def _with_gradient(
        self, parameters: list[Tensor], species: Tensor, index: Tensor, vectors: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        vectors = vectors.detach().requires_grad_(True)
        energies, scalars, features = self._backbone(parameters, species, index, vectors)
        total = energies.to(torch.float64).sum() * self.potential.energy_scale
        gradient = torch.autograd.grad([total], [vectors], create_graph=True)[0]
        return energies, forces_from_edges(gradient, index, len(species)), scalars, features

    def _traced(self, example: Batch) -> Callable[..., Any]:
        from torch.fx.experimental.proxy_tensor import make_fx

        def with_gradient(
            parameters: list[Tensor], species: Tensor, index: Tensor, vectors: Tensor
        ) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # make_fx counts the arguments of a bound method wrongly
            return self._with_gradient(parameters, species, index, vectors)

        stand_ins = [p.detach().requires_grad_(True) for p in self._parameters]
        graph: Callable[..., Any] = make_fx(with_gradient)(stand_ins, *self._padded(example))
        return graph

    @staticmethod
    def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
        # on machines without a GPU it warns of a missing CUDA runtime, which nobody asked for
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        compiled: Callable[..., Any] = torch.compile(function, dynamic=False)
        return compiled


def can_compile(backbone: str, sizes: set[int]) -> bool:
    """Whether training can be compiled: frames of one size, and a backbone of plain operations."""
    return backbone == "cartesian" and len(sizes) == 1
