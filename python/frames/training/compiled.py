"""Energies, forces and their gradients as one compiled graph.

Training on forces needs second derivatives, which `torch.compile` cannot take through `autograd.grad` by itself. So
the evaluation is first traced, forces included, into one graph of plain operations (`make_fx`), and that graph is
compiled; its backward pass is then an ordinary first derivative. Shapes are fixed, so batches are padded to one of a
few (frames/training/buckets.py): with edges as long as the cutoff, which every smooth backbone weighs with zero, and
with atoms that have no neighbours, whose rows are cut off again.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from frames.nn.potential import Derivatives, Potential, forces_from_edges
from frames.training.batch import Batch
from frames.training.buckets import Shape


class CompiledPotential:
    """A potential compiled for batches of a few shapes, each of them when it is first used.

    It computes with the parameters that the potential has at the time of the call. Batches that no shape holds are
    not taken: see `fits`.
    """

    def __init__(self, potential: Potential, shapes: Sequence[Shape], *, virial: bool = False) -> None:
        self.potential = potential
        self.shapes = sorted(shapes, key=lambda shape: shape.work)
        self.virial = virial
        self._names = [name for name, _ in potential.backbone.named_parameters()]
        self._parameters = [parameter for _, parameter in potential.backbone.named_parameters()]
        self._with_forces: dict[Shape, Callable[..., Any]] = {}
        self._features = self._compile(self._backbone)

    def fits(self, batch: Batch) -> bool:
        """Whether one of the shapes holds the batch."""
        return any(shape.holds(_shape_of(batch)) for shape in self.shapes)

    def shape_for(self, batch: Batch) -> Shape:
        """The shape with the least work that holds a batch which fits."""
        return next(shape for shape in self.shapes if shape.holds(_shape_of(batch)))

    def evaluate(self, batch: Batch) -> Derivatives:
        """As `frames.nn.potential.evaluate` with create_graph; virials if they were asked for."""
        shape, arguments = self._padded(batch)
        if shape not in self._with_forces:
            self._with_forces[shape] = self._compile(self._traced(arguments))
        energies, gradient, forces, scalars, vectors = self._with_forces[shape](self._parameters, *arguments)
        n, e = _shape_of(batch)
        virials = None
        if self.virial:
            outer = batch.edge_vectors.unsqueeze(2) * gradient[:e].unsqueeze(1)
            of_edge = batch.structure.index_select(0, batch.edge_index[0])
            virials = -outer.new_zeros(batch.structures, 3, 3).index_add(0, of_edge, outer)
        totals = self._totals(batch, arguments[0][:n], energies[:n])
        return Derivatives(totals, forces[:n], virials, scalars[:n], vectors[:n])

    def features(self, batch: Batch) -> Derivatives:
        """Node features alone: energies and forces are empty."""
        _, arguments = self._padded(batch)
        _, scalars, vectors = self._features(self._parameters, *arguments)
        n = len(batch.atomic_numbers)
        return Derivatives(vectors.new_zeros(0), vectors.new_zeros(0, 3), None, scalars[:n], vectors[:n])

    def _totals(self, batch: Batch, species: Tensor, energies: Tensor) -> Tensor:
        potential = self.potential
        atoms = energies.to(torch.float64) * potential.energy_scale + potential.energy_reference[species]
        return atoms.new_zeros(batch.structures).index_add(0, batch.structure, atoms)

    def _padded(self, batch: Batch) -> tuple[Shape, tuple[Tensor, Tensor, Tensor]]:
        """The shape for a batch; species, edge index and edge vectors of that shape."""
        shape = self.shape_for(batch)
        species = self.potential.species_of.index_select(0, batch.atomic_numbers)
        index, vectors = batch.edge_index, batch.edge_vectors
        if (atoms := shape.atoms - len(species)) > 0:
            species = torch.cat([species, species.new_zeros(atoms)])
        if (edges := shape.edges - len(vectors)) > 0:
            index = torch.cat([index, index.new_zeros(2, edges)], dim=1)
            along_x = vectors.new_tensor([self.potential.cutoff, 0.0, 0.0]).expand(edges, 3)
            vectors = torch.cat([vectors, along_x])
        return shape, (species, index, vectors)

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
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor]:
        vectors = vectors.detach().requires_grad_(True)
        energies, scalars, features = self._backbone(parameters, species, index, vectors)
        total = energies.to(torch.float64).sum() * self.potential.energy_scale
        gradient = torch.autograd.grad([total], [vectors], create_graph=True)[0]
        forces = forces_from_edges(gradient, index, len(species))
        # an output that nobody uses would still be derived
        return energies, gradient if self.virial else None, forces, scalars, features

    def _traced(self, arguments: tuple[Tensor, Tensor, Tensor]) -> Callable[..., Any]:
        from torch.fx.experimental.proxy_tensor import make_fx

        def with_gradient(
            parameters: list[Tensor], species: Tensor, index: Tensor, vectors: Tensor
        ) -> tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor]:  # make_fx counts arguments of a bound method wrongly
            return self._with_gradient(parameters, species, index, vectors)

        stand_ins = [p.detach().requires_grad_(True) for p in self._parameters]
        graph: Callable[..., Any] = make_fx(with_gradient)(stand_ins, *arguments)
        return graph

    @staticmethod
    def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
        # on machines without a GPU it warns of a missing CUDA runtime, which nobody asked for
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        # TF32, which a GPU would have, keeps ten bits of what it multiplies, too few for forces
        warnings.filterwarnings("ignore", "TensorFloat32 tensor cores", UserWarning)
        # the number of threads is in the code that is kept for the next time, but by itself not in its name
        options: dict[str, Any] = {"cpp.threads": torch.get_num_threads()}
        compiled: Callable[..., Any] = torch.compile(function, dynamic=False, options=options)
        return compiled


def _shape_of(batch: Batch) -> Shape:
    return Shape(len(batch.atomic_numbers), len(batch.edge_vectors))


def can_compile(backbone: str) -> bool:
    """Whether training can be compiled: a backbone of plain operations."""
    return backbone == "cartesian"
