"""The potential: a backbone with element table, energy scale and reference energies; and its derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from frames.errors import FramesError


class Potential(nn.Module):
    """Energy per atom, from atomic numbers and edge vectors.

    E_i = energy_scale · backbone_i + energy_reference[element of i]

    The sum is formed in float64 whatever the dtype of the backbone: reference energies of thousands of eV would
    otherwise eat the digits in which a molecular-dynamics run conserves energy.

    Attributes:
        elements: atomic numbers; the index in this list is the species that the backbone sees.
        cutoff: Å.
    """

    def __init__(self, backbone: nn.Module, elements: Sequence[int], cutoff: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.elements = list(elements)
        self.cutoff = float(cutoff)
        species_of = torch.full((119,), -1, dtype=torch.int64)
        species_of[torch.tensor(self.elements)] = torch.arange(len(self.elements))
        self.species_of: Tensor
        self.energy_reference: Tensor
        self.energy_scale: Tensor
        self.register_buffer("species_of", species_of, persistent=False)
        self.register_buffer("energy_reference", torch.zeros(len(self.elements), dtype=torch.float64))
        self.register_buffer("energy_scale", torch.ones((), dtype=torch.float64))

    @torch.jit.unused
    @torch.no_grad()
    def load_trained(self, state: dict[str, Tensor]) -> None:
        """Takes over parameters, reference energies and scale from a state dict of any precision.

        Constants, such as e3nn's coupling coefficients, stay those of this potential's own precision: rounded ones
        would break the rotational symmetry of a float64 model in the eighth digit.
        """
        own = {
            **dict(self.named_parameters()),
            "energy_reference": self.energy_reference,
            "energy_scale": self.energy_scale,
        }
        # one number may be stored with a dimension or without
        wrong = [
            name
            for name, tensor in sorted(own.items())
            if name not in state
            or (tensor.shape != state[name].shape and not tensor.numel() == state[name].numel() == 1)
        ]
        if wrong:
            raise FramesError(
                f"the parameters do not belong to this backbone (missing or of other shape: {', '.join(wrong[:3])})"
            )
        for name, tensor in own.items():
            tensor.copy_(state[name].reshape(tensor.shape))

    def forward(self, atomic_numbers: Tensor, edge_index: Tensor, edge_vectors: Tensor) -> Tensor:
        """Energies [N] in eV, float64.

        Args:
            atomic_numbers: [N] int64, all of them among `elements`.
            edge_index: [2,E] int64, row 0 the centres i, row 1 the neighbours j.
            edge_vectors: [E,3] r_j + shift − r_i in Å, in the dtype of the backbone.
        """
        species = self.species_of.index_select(0, atomic_numbers)
        energies, _scalars, _vectors = self.backbone(species, edge_index, edge_vectors)
        return energies.to(torch.float64) * self.energy_scale + self.energy_reference.index_select(0, species)

    @torch.jit.unused
    def with_features(
        self, atomic_numbers: Tensor, edge_index: Tensor, edge_vectors: Tensor, atom_vectors: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Energies [N] as `forward`, and the node features: scalars [N,S] and vectors [N,3,V] of the last layer.

        atom_vectors: [N,3,input_vectors], what an auxiliary task tells the backbone about each atom.
        """
        species = self.species_of.index_select(0, atomic_numbers)
        given = () if atom_vectors is None else (atom_vectors,)
        energies, scalars, vectors = self.backbone(species, edge_index, edge_vectors, *given)
        energies = energies.to(torch.float64) * self.energy_scale + self.energy_reference.index_select(0, species)
        return energies, scalars, vectors


class Derivatives(NamedTuple):
    """Energies and what follows from dE/d(edge_vectors), for G structures of together N atoms in one batch."""

    energies: Tensor  # [G] eV, float64
    forces: Tensor  # [N,3] eV/Å
    virials: Tensor | None  # [G,3,3] eV
    scalars: Tensor  # [N,S]
    vectors: Tensor  # [N,3,V]


def evaluate(
    potential: Potential,
    atomic_numbers: Tensor,
    edge_index: Tensor,
    edge_vectors: Tensor,
    structure: Tensor,
    structures: int,
    *,
    virial: bool = False,
    create_graph: bool = False,
) -> Derivatives:
    """Energies, forces and virials of a batch.

    With g = dE/d(edge_vector): F_i += g at the centre, F_j −= g at the neighbour, W −= edge_vector ⊗ g.

    Args:
        structure: [N] int64, to which of the `structures` each atom belongs.
        create_graph: keep the graph of the forces, for training on them.
    """
    if not edge_vectors.requires_grad:
        edge_vectors = edge_vectors.detach().requires_grad_(True)
    with torch.enable_grad():
        atom_energies, scalars, vectors = potential.with_features(atomic_numbers, edge_index, edge_vectors)
        total = atom_energies.sum()
        gradient = torch.autograd.grad(
            [total], [edge_vectors], create_graph=create_graph, allow_unused=True, materialize_grads=True
        )[0]
    forces = forces_from_edges(gradient, edge_index, len(atomic_numbers))
    energies = atom_energies.new_zeros(structures).index_add(0, structure, atom_energies)
    virials = None
    if virial:
        outer = edge_vectors.unsqueeze(2) * gradient.unsqueeze(1)
        of_edge = structure.index_select(0, edge_index[0])
        virials = -outer.new_zeros(structures, 3, 3).index_add(0, of_edge, outer)
    return Derivatives(energies, forces, virials, scalars, vectors)


def forces_from_edges(gradient: Tensor, edge_index: Tensor, atoms: int) -> Tensor:
    """Forces [N,3] from g = dE/d(edge_vectors) [E,3]."""
    forces = gradient.new_zeros(atoms, 3)
    return forces.index_add(0, edge_index[0], gradient).index_add(0, edge_index[1], gradient, alpha=-1)


def check_elements(known: Sequence[int], atomic_numbers: Sequence[int]) -> None:
    """Raises FramesError if a structure holds an element that the potential does not know."""
    unknown = sorted(set(map(int, atomic_numbers)) - set(known))
    if unknown:
        raise FramesError(f"element(s) {unknown} are not among the model's elements {list(known)} (atomic numbers)")
