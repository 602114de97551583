"""Equiformer (Liao and Smidt, ICLR 2023, arXiv:2206.11990) on e3nn, with its published MD17 settings as defaults.

Faithful in architecture: SE(3)-equivariant features, edge-degree embedding, pre-norm blocks of graph attention with
non-linear messages (depth-wise tensor products, gate activation, MLP attention) and gated feed-forward networks. Three
documented differences:

- `smooth_cutoff` (on by default) multiplies messages by an envelope and carries it in numerator and denominator of the
  attention softmax. Without it, as published, the energy jumps when a neighbour crosses the cutoff.
- The last block yields vectors beside its scalars, for auxiliary heads in training. The energy does not read them.
- Energies are per atom; the published code sums and rescales them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from e3nn import o3
from e3nn.nn import Gate
from torch import Tensor, nn

from frames.nn.equiformer_parts import (
    DepthwiseTensorProduct,
    EquivariantLayerNorm,
    ExponentialBasis,
    RadialProfile,
    SmoothLeakyReLU,
    attention_weights,
    gate_for,
)
from frames.nn.radial import envelope


@dataclass(frozen=True)
class EquiformerSettings:
    """Defaults are those published for MD17 with L = 2. Irreps in e3nn's notation."""

    node_irreps: str = "128x0e+64x1e+32x2e"
    head_irreps: str = "32x0e+16x1e+8x2e"
    mlp_irreps: str = "384x0e+192x1e+96x2e"
    feature_scalars: int = 512
    feature_vectors: int = 64
    heads: int = 4
    layers: int = 6
    radial_functions: int = 32
    radial_width: int = 64
    average_degree: float = 15.57930850982666
    smooth_cutoff: bool = True

    def __post_init__(self) -> None:
        for name in ("node_irreps", "head_irreps", "mlp_irreps"):
            irreps = o3.Irreps(getattr(self, name))
            if not any(ir.l == 0 for _, ir in irreps) or not any(ir.l == 1 for _, ir in irreps):
                raise ValueError(f"{name} = {getattr(self, name)!r} needs scalars (0e) and vectors (1e)")
            if any(ir.p != 1 for _, ir in irreps):
                raise ValueError(f"{name} = {getattr(self, name)!r}: Equiformer uses even irreps only, as 4x0e+2x1e")
        for name in ("feature_scalars", "feature_vectors", "heads", "layers", "radial_functions", "radial_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 1")


class GraphAttention(nn.Module):
    """Multi-head attention over the edges of each centre, with messages from depth-wise tensor products."""

    def __init__(
        self, irreps_in: o3.Irreps, irreps_out: o3.Irreps, sh: o3.Irreps, settings: EquiformerSettings
    ) -> None:
        super().__init__()
        heads = settings.heads
        head_irreps = o3.Irreps(settings.head_irreps)
        self.heads = heads
        self.smooth = settings.smooth_cutoff
        self.alpha_width = head_irreps.count(o3.Irrep("0e"))
        self.merge_neighbour = o3.Linear(irreps_in, irreps_in, biases=True)
        self.merge_centre = o3.Linear(irreps_in, irreps_in)
        self.product = DepthwiseTensorProduct(irreps_in, sh, irreps_in, shared_weights=False)
        self.radial = RadialProfile(settings.radial_functions, settings.radial_width, self.product.weight_numel)
        self.alpha = o3.Linear(self.product.irreps_out, o3.Irreps(f"{self.alpha_width * heads}x0e"), biases=True)
        self.gate: Gate = gate_for(irreps_in)
        self.to_gate = o3.Linear(self.product.irreps_out, self.gate.irreps_in, biases=True)
        all_heads = o3.Irreps([(mul * heads, ir) for mul, ir in head_irreps])
        self.value_product = DepthwiseTensorProduct(irreps_in, sh, all_heads, shared_weights=True)
        self.value = o3.Linear(self.value_product.irreps_out, all_heads, biases=True)
        self.activation = SmoothLeakyReLU(0.2)
        self.alpha_dot = nn.Parameter(torch.randn(heads, self.alpha_width) / self.alpha_width**0.5)
        # to which head each component of the values belongs: [dim] int64
        head_of = [torch.arange(heads).repeat_interleave(mul * ir.dim) for mul, ir in head_irreps]
        self.head_of: Tensor
        self.register_buffer("head_of", torch.cat(head_of), persistent=False)
        self.project = o3.Linear(all_heads, irreps_out, biases=True)

    def forward(self, x: Tensor, edge_index: Tensor, sh: Tensor, basis: Tensor, envelope: Tensor) -> Tensor:
        """x [N,irreps_in] → [N,irreps_out]; sh [E,·], basis [E,K], envelope [E]."""
        centre, neighbour = edge_index[0], edge_index[1]
        message = self.merge_neighbour(x).index_select(0, neighbour) + self.merge_centre(x).index_select(0, centre)
        message = self.product(message, sh, self.radial(basis))
        logits = self.activation(self.alpha(message)).reshape(-1, self.heads, self.alpha_width)
        logits = (logits * self.alpha_dot.unsqueeze(0)).sum(2)
        value = self.gate(self.to_gate(message))
        value = self.value(self.value_product.unweighted(value, sh))
        weights = attention_weights(logits, centre, envelope, x.size(0))
        if self.smooth:
            # also the value: the weight of a single neighbour is 1 however far it is
            value = value * envelope.unsqueeze(1)
        value = value * weights.index_select(1, self.head_of)
        total = value.new_zeros(x.size(0), value.size(1)).index_add(0, centre, value)
        projected: Tensor = self.project(total)
        return projected


class Block(nn.Module):
    """Pre-norm attention and feed-forward, each with a residual connection; a linear shortcut if the width changes."""

    def __init__(
        self, irreps_in: o3.Irreps, irreps_out: o3.Irreps, sh: o3.Irreps, settings: EquiformerSettings
    ) -> None:
        super().__init__()
        self.norm_attention = EquivariantLayerNorm(irreps_in)
        self.attention = GraphAttention(irreps_in, irreps_in, sh, settings)
        self.norm_mlp = EquivariantLayerNorm(irreps_in)
        self.gate: Gate = gate_for(o3.Irreps(settings.mlp_irreps))
        self.mlp_in = o3.Linear(irreps_in, self.gate.irreps_in, biases=True)
        self.mlp_out = o3.Linear(self.gate.irreps_out, irreps_out, biases=True)
        self.shortcut: nn.Module = nn.Identity() if irreps_in == irreps_out else o3.Linear(irreps_in, irreps_out)

    def forward(self, x: Tensor, edge_index: Tensor, sh: Tensor, basis: Tensor, envelope: Tensor) -> Tensor:
        x = x + self.attention(self.norm_attention(x), edge_index, sh, basis, envelope)
        mixed: Tensor = self.shortcut(x) + self.mlp_out(self.gate(self.mlp_in(self.norm_mlp(x))))
        return mixed


class EquiformerBackbone(nn.Module):
    """Energies, scalars and vectors per atom.

    Attributes:
        receptive_layers: neighbour aggregations; the energy of an atom sees as many cutoffs far.
        scalar_width, vector_width: channels of the node features.
        input_vectors: channels of the vectors per atom that `forward` takes.
    """

    def __init__(self, species: int, cutoff: float, settings: EquiformerSettings) -> None:
        super().__init__()
        irreps = o3.Irreps(settings.node_irreps).sort().irreps.simplify()
        l_max = max(ir.l for _, ir in irreps)
        sh = o3.Irreps([(1, (order, 1)) for order in range(l_max + 1)])
        features = o3.Irreps(f"{settings.feature_scalars}x0e+{settings.feature_vectors}x1e")
        self.cutoff = float(cutoff)
        self.smooth = settings.smooth_cutoff
        self.receptive_layers = settings.layers + 1
        self.scalar_width = settings.feature_scalars
        self.vector_width = settings.feature_vectors
        self.input_vectors = irreps.count(o3.Irrep("1e"))
        self.vector_start = irreps.count(o3.Irrep("0e"))  # scalars come first, then the vectors
        self.degree_scale = settings.average_degree**-0.5
        self.embedding = nn.Embedding(species, irreps.count(o3.Irrep("0e")))
        self.embed = o3.Linear(o3.Irreps(f"{irreps.count(o3.Irrep('0e'))}x0e"), irreps, biases=True)
        self.harmonics = o3.SphericalHarmonics(sh, normalize=True, normalization="component")
        self.basis = ExponentialBasis(settings.radial_functions, cutoff)
        self.degree_start = o3.Linear(o3.Irreps("1x0e"), o3.Irreps(f"{irreps.count(o3.Irrep('0e'))}x0e"), biases=True)
        self.degree_product = DepthwiseTensorProduct(self.degree_start.irreps_out, sh, irreps, shared_weights=False)
        self.degree_radial = RadialProfile(
            settings.radial_functions, settings.radial_width, self.degree_product.weight_numel
        )
        self.degree_project = o3.Linear(self.degree_product.irreps_out, irreps, biases=False)
        widths = [irreps] * settings.layers + [features]
        self.blocks = nn.ModuleList([Block(a, b, sh, settings) for a, b in pairwise(widths)])
        self.norm = EquivariantLayerNorm(features)
        self.readout = nn.Sequential(
            nn.Linear(settings.feature_scalars, settings.feature_scalars),
            nn.SiLU(),
            nn.Linear(settings.feature_scalars, 1),
        )

    def forward(
        self, species: Tensor, edge_index: Tensor, edge_vectors: Tensor, atom_vectors: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """species [N], edge_index [2,E], edge_vectors [E,3] Å → energies [N], scalars [N,S], vectors [N,3,V].

        atom_vectors [N,3,input_vectors] are added to the vectors of the embedding; only auxiliary tasks give any.
        Vectors are even under inversion: Equiformer is equivariant to rotations only.
        """
        distance = edge_vectors.pow(2).sum(1).sqrt()
        fade = envelope(distance, self.cutoff) if self.smooth else torch.ones_like(distance)
        basis = self.basis(distance)
        # e3nn orders the components of a vector (y, z, x)
        sh = self.harmonics(edge_vectors.index_select(1, torch.tensor([1, 2, 0], device=edge_vectors.device)))
        x = self.embed(self.embedding(species))
        start = self.degree_start(torch.ones_like(distance).unsqueeze(1))
        degree = self.degree_product(start, sh, self.degree_radial(basis)) * fade.unsqueeze(1)
        total = degree.new_zeros(species.size(0), degree.size(1)).index_add(0, edge_index[0], degree)
        x = x + self.degree_project(total) * self.degree_scale
        if atom_vectors is not None:
            given = atom_vectors.index_select(1, torch.tensor([1, 2, 0], device=x.device)).transpose(1, 2)
            start_v, end_v = self.vector_start, self.vector_start + 3 * self.input_vectors
            added = x[:, start_v:end_v] + given.reshape(x.size(0), -1)
            x = torch.cat((x[:, :start_v], added, x[:, end_v:]), 1)
        for block in self.blocks:
            x = block(x, edge_index, sh, basis, fade)
        x = self.norm(x)
        scalars = x[:, : self.scalar_width]
        vectors = x[:, self.scalar_width :].reshape(-1, self.vector_width, 3)
        vectors = vectors.index_select(2, torch.tensor([2, 0, 1], device=x.device)).transpose(1, 2)
        return self.readout(scalars).squeeze(1), scalars, vectors
