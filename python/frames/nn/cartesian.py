"""The `cartesian` backbone: message passing on 3×3 Cartesian tensors, made to be cheap at inference.

In the manner of TensorNet (Simeon and De Fabritiis, NeurIPS 2023). What differs follows from one rule: an
edge costs nothing but radial scalings of nine components per channel, everything else is done once per atom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from frames.errors import FramesError
from frames.nn.radial import RadialBasis, RadialWeights
from frames.nn.tensors import anticommutator, basis_matrices, direction_tensors, mix, part_norms, scale, square


@dataclass(frozen=True)
class CartesianSettings:
    """Size of the backbone.

    Attributes:
        channels: tensors per atom.
        layers: interactions after the embedding; each is one more aggregation over the neighbours.
        radial_functions: cosines of the stretched distance (nn/radial.py).
        radial_hidden: width of the network from them to the weights of a message.
        average_neighbours: of the training data; sums over neighbours are divided by its square root.
    """

    channels: int = 64
    layers: int = 2
    radial_functions: int = 8
    radial_hidden: int = 32
    average_neighbours: float = 16.0

    def __post_init__(self) -> None:
        where = "backbone cartesian:"
        for name in ("channels", "layers", "radial_functions", "radial_hidden"):
            value = getattr(self, name)
            # what the native engine tabulates to its accuracy, in double precision too
            most = 32 if name == "radial_functions" else 1024
            if not isinstance(value, int) or not 1 <= value <= most:
                raise FramesError(f"{where} {name} = {value!r}; expected an integer from 1 to {most}")
        if self.channels % 16:
            raise FramesError(f"{where} channels = {self.channels}; expected a multiple of 16")
        if not self.average_neighbours > 0:
            raise FramesError(f"{where} average_neighbours = {self.average_neighbours!r}; expected > 0")

    @staticmethod
    def preset(name: str, **changes: Any) -> CartesianSettings:
        """`small` (fast MD of molecules), `medium` or `large`, with single settings changed."""
        if name not in PRESETS:
            raise FramesError(f"backbone cartesian: unknown preset {name!r}; known are {', '.join(PRESETS)}")
        return replace(PRESETS[name], **changes)


# benchmarks/tradeoff has the measurements: on one molecule, which a cutoff spans, one interaction is as good as two.
PRESETS = {
    "small": CartesianSettings(channels=32, layers=1),
    "medium": CartesianSettings(channels=64, layers=2),
    "large": CartesianSettings(channels=128, layers=3),
}


def _matrices(inputs: int, outputs: int) -> nn.Parameter:
    """One matrix per part (scalar, antisymmetric, symmetric traceless)."""
    return nn.Parameter(torch.randn(3, inputs, outputs) / math.sqrt(inputs))


class Embedding(nn.Module):
    """The first aggregation: a tensor per atom from the directions and distances to its neighbours.

    The sums over neighbours are taken per species and radial function, with no channels yet; the map to
    channels is linear and follows once per atom, so an edge costs 9 × radial_functions multiply-adds. A
    network on the invariants then scales the three parts of each channel.
    """

    def __init__(self, species: int, settings: CartesianSettings) -> None:
        super().__init__()
        c = settings.channels
        self.species = species
        self.mix = _matrices(species * settings.radial_functions, c)
        self.centre_scale = nn.Parameter(1.0 + 0.5 * torch.randn(species, 3, c))
        self.centre_bias = nn.Parameter(torch.randn(species, c))
        self.gate = Gate(c)

    def forward(self, species: Tensor, edge_index: Tensor, basis: Tensor, directions: Tensor, norm: Tensor) -> Tensor:
        """basis [E,K] and directions [E,9], whose precision the sums have, norm [1] → features [9,N,C]."""
        n, s, k = species.shape[0], self.species, basis.shape[1]
        target = edge_index[0] * s + species.index_select(0, edge_index[1])
        products = directions.unsqueeze(2) * basis.unsqueeze(1)
        sums = basis.new_zeros(n * s, 9, k).index_add(0, target, products).to(norm.dtype) * norm
        sums = sums.view(n, s, 9, k).permute(2, 0, 1, 3).reshape(9, n, s * k)
        x = scale(mix(sums, self.mix), self.centre_scale.index_select(0, species))
        scalar, rest = torch.split(x, [1, 8])
        x = torch.cat((scalar + self.centre_bias.index_select(0, species), rest))
        return scale(x, self.gate(x))


class Gate(nn.Module):
    """Factors [N, 3, C] for the three parts, from the invariants of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Linear(3 * channels, channels)
        self.second = nn.Linear(channels, 3 * channels)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.nn.functional.silu(self.first(invariants(x)))
        return 1.0 + self.second(hidden).view(x.shape[1], 3, x.shape[2])


class Interaction(nn.Module):
    """One exchange with the neighbours: X ← X + D + D².

    D is mixed from Y(Y + M) + (Y + M)Y + M, where M is the sum of the neighbours' Y, each part scaled by a
    function of the distance, and Y is mixed from X.
    """

    def __init__(self, settings: CartesianSettings, cutoff: float) -> None:
        super().__init__()
        c = settings.channels
        self.radial = RadialWeights(settings.radial_functions, settings.radial_hidden, 3 * c, cutoff)
        self.before = _matrices(c, c)
        self.after = _matrices(c, c)
        self.gate = Gate(c)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        basis: Tensor,
        distances: Tensor,
        norm: Tensor,
        matrices: Tensor,
    ) -> Tensor:
        c = x.shape[2]
        y = mix(saturate(x), self.before)
        weights = self.radial(basis, distances).view(-1, 3, c)
        messages = scale(y.index_select(1, edge_index[1]), weights)
        m = torch.zeros_like(y).index_add(1, edge_index[0], messages) * norm
        p = saturate(anticommutator(y, y + m, matrices) + m)
        d = mix(scale(p, self.gate(p)), self.after)
        return x + d + square(d, matrices)


def saturate(x: Tensor) -> Tensor:
    """X / (1 + ‖X‖²), per channel."""
    return x / (1.0 + (x * x).sum(0, keepdim=True))


def invariants(x: Tensor) -> Tensor:
    """[N, 3C]: the scalar part and the squared norms of the other two."""
    antisymmetric, symmetric = part_norms(x)
    return torch.cat((x[0], antisymmetric, symmetric), 1)


class CartesianBackbone(nn.Module):
    """Energies and equivariant features of atoms from their neighbours within the cutoff.

    Attributes:
        receptive_layers: aggregations over neighbours, the embedding included.
        scalar_width, vector_width: of the node features that `forward` returns.
        input_vectors: channels of the vectors per atom that `forward` takes.
    """

    def __init__(self, species: int, cutoff: float, settings: CartesianSettings) -> None:
        super().__init__()
        c = settings.channels
        self.receptive_layers = 1 + settings.layers
        self.scalar_width = 3 * c
        self.vector_width = c
        self.input_vectors = c
        self.basis = RadialBasis(settings.radial_functions, cutoff)
        self.embedding = Embedding(species, settings)
        self.interactions = nn.ModuleList(Interaction(settings, cutoff) for _ in range(settings.layers))
        self.hidden = nn.Linear(3 * c, c)
        self.energy = nn.Linear(c, 1)
        self.matrices: Tensor
        self.neighbour_norm: Tensor
        self.register_buffer("neighbour_norm", torch.tensor([1.0 / math.sqrt(settings.average_neighbours)]))
        self.register_buffer("matrices", basis_matrices().view(9, 9).to(torch.get_default_dtype()), persistent=False)

    def forward(
        self, species: Tensor, edge_index: Tensor, edge_vectors: Tensor, atom_vectors: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Dimensionless energies [N], scalars [N, scalar_width] and polar vectors [N, 3, vector_width].

        Args:
            species: [N] int64, index into the table of elements.
            edge_index: [2, E] int64, row 0 the centres, row 1 the neighbours; both directions are present.
            edge_vectors: [E, 3] from the centre to the neighbour, Å.
            atom_vectors: [N, 3, input_vectors] added to the vectors of the embedding; only auxiliary tasks give any.
        """
        # Where the model is a program, lengths, radial functions and their sums over neighbours are in double
        # precision: in single precision the frequencies nπ are rounded, which shifts all atoms of a crystal the same
        # way (benchmarks/engine/rounding.py). Training, which learns with rounded ones, takes no notice.
        program = torch.jit.is_scripting()  # type: ignore[attr-defined]
        vectors = edge_vectors.to(torch.float64) if program else edge_vectors
        distances = torch.sqrt((vectors * vectors).sum(1))
        directions = direction_tensors(vectors / distances.unsqueeze(1))
        basis = self.basis(distances)
        norm = self.neighbour_norm
        x = self.embedding(species, edge_index, basis, directions, norm)
        basis = basis.to(x.dtype)
        if atom_vectors is not None:
            x = torch.cat((x[0:1], x[1:4] + atom_vectors.transpose(0, 1), x[4:9]))
        for interaction in self.interactions:
            x = interaction(x, edge_index, basis, distances, norm, self.matrices)
        x = saturate(x)
        scalars = invariants(x)
        energies = self.energy(torch.nn.functional.silu(self.hidden(scalars))).squeeze(1)
        return energies, scalars, x[1:4].transpose(0, 1)
