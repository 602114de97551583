"""The building blocks of Equiformer (arXiv:2206.11990): norms, radial functions, tensor products, attention weights."""

from __future__ import annotations

import math

import torch
from e3nn import o3
from e3nn.nn import Gate
from torch import Tensor, nn


class ExponentialBasis(nn.Module):
    """exp(−β(exp(−α r) − μ_k)²), k = 1…K, of PhysNet (Unke and Meuwly, JCTC 2019, eq. 7), α = 5/cutoff."""

    def __init__(self, functions: int, cutoff: float) -> None:
        super().__init__()
        start = math.exp(-5.0)
        self.decay = 5.0 / cutoff
        self.beta = (2.0 / functions * (1.0 - start)) ** -2
        self.centres: Tensor
        self.register_buffer("centres", torch.linspace(start, 1.0, functions), persistent=False)

    def forward(self, distance: Tensor) -> Tensor:
        """distance [E] Å → [E,K]."""
        scaled = torch.exp(-self.decay * distance).unsqueeze(1)
        return torch.exp(-self.beta * (scaled - self.centres) ** 2)


class RadialProfile(nn.Module):
    """Weights of a tensor product from the radial basis: two hidden layers with layer norm and SiLU."""

    def __init__(self, functions: int, width: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(functions, width),
            nn.LayerNorm(width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.LayerNorm(width),
            nn.SiLU(),
            nn.Linear(width, outputs),
        )

    def forward(self, basis: Tensor) -> Tensor:
        """[E,K] → [E,outputs]."""
        weights: Tensor = self.layers(basis)
        return weights


class DepthwiseTensorProduct(nn.Module):
    """Each channel of the input times the spherical harmonics of the edge, one weight per channel and path.

    Paths are kept whose result is among the irreps of `wanted`. `irreps_out` is sorted and simplified.
    """

    def __init__(self, irreps_in: o3.Irreps, sh: o3.Irreps, wanted: o3.Irreps, *, shared_weights: bool) -> None:
        super().__init__()
        kinds = {ir for _, ir in wanted}
        outputs: list[tuple[int, o3.Irrep]] = []
        paths: list[tuple[int, int, int]] = []
        for i, (mul, ir_in) in enumerate(irreps_in):
            for j, (_, ir_sh) in enumerate(sh):
                for ir_out in ir_in * ir_sh:
                    if ir_out in kinds:
                        paths.append((i, j, len(outputs)))
                        outputs.append((mul, ir_out))
        ordered = o3.Irreps(outputs).sort()
        instructions = [(i, j, ordered.p[k], "uvu", True) for i, j, k in paths]
        self.irreps_out = ordered.irreps.simplify()
        self.product = o3.TensorProduct(
            irreps_in,
            sh,
            ordered.irreps,
            instructions,
            internal_weights=shared_weights,
            shared_weights=shared_weights,
        )
        self.weight_numel: int = self.product.weight_numel

    def forward(self, x: Tensor, sh: Tensor, weights: Tensor) -> Tensor:
        """x [E,·], sh [E,·], weights [E,weight_numel]."""
        out: Tensor = self.product(x, sh, weights)
        return out

    @torch.jit.export
    def unweighted(self, x: Tensor, sh: Tensor) -> Tensor:
        """The same with the module's own weights, one set for all edges."""
        out: Tensor = self.product(x, sh)
        return out


class EquivariantLayerNorm(nn.Module):
    """Layer norm per degree: scalars as usual, higher degrees by the root mean square of their norms."""

    def __init__(self, irreps: o3.Irreps, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.multiplicities = [mul for mul, _ in irreps]
        self.dimensions = [ir.dim for _, ir in irreps]
        self.weight = nn.Parameter(torch.ones(sum(self.multiplicities)))
        self.bias = nn.Parameter(torch.zeros(sum(mul for mul, ir in irreps if ir.l == 0)))

    def forward(self, x: Tensor) -> Tensor:
        """[N,irreps] → [N,irreps]."""
        parts: list[Tensor] = []
        start, channel = 0, 0
        for mul, dim in zip(self.multiplicities, self.dimensions):  # noqa: B905 (strict= is not TorchScript)
            field = x[:, start : start + mul * dim].reshape(-1, mul, dim)
            weight = self.weight[channel : channel + mul].reshape(1, mul, 1)
            if dim == 1:
                field = field - field.mean(dim=1, keepdim=True)
            square = field.pow(2).mean(dim=2, keepdim=True).mean(dim=1, keepdim=True)
            field = field * (square + self.eps).rsqrt() * weight
            if dim == 1:
                field = field + self.bias.reshape(1, mul, 1)
            parts.append(field.reshape(-1, mul * dim))
            start += mul * dim
            channel += mul
        return torch.cat(parts, dim=1)


class SmoothLeakyReLU(nn.Module):
    """½(1+s)x + ½(1−s)x(2σ(x)−1): smooth, with slope s for negative x and 1 for positive."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * (1.0 + self.slope) * x + 0.5 * (1.0 - self.slope) * x * (2.0 * torch.sigmoid(x) - 1.0)


def gate_for(irreps: o3.Irreps) -> Gate:
    """Gate activation with output `irreps`: SiLU on scalars, sigmoid gates for the rest."""
    scalars = o3.Irreps([(mul, ir) for mul, ir in irreps if ir.l == 0])
    gated = o3.Irreps([(mul, ir) for mul, ir in irreps if ir.l > 0])
    gates = o3.Irreps(f"{gated.num_irreps}x0e")
    return Gate(scalars, [torch.nn.functional.silu] * len(scalars), gates, [torch.sigmoid] * len(gates), gated)


def attention_weights(logits: Tensor, centre: Tensor, envelope: Tensor, atoms: int) -> Tensor:
    """Softmax over the edges of each centre with the envelope f in numerator and denominator.

    w_e = f_e exp(a_e) / Σ_e' f_e' exp(a_e'), over the edges e' of the same centre. logits [E,H], envelope [E] → [E,H].
    An edge at the cutoff has no weight and takes none from the others.
    """
    index = centre.unsqueeze(1).expand(-1, logits.size(1))
    # the shift cancels in the quotient, so no gradient flows through it
    largest = torch.full((atoms, logits.size(1)), -1e30, dtype=logits.dtype, device=logits.device)
    largest = largest.scatter_reduce(0, index, logits.detach(), "amax", include_self=True)
    weights = torch.exp(logits - largest.index_select(0, centre)) * envelope.unsqueeze(1)
    total = weights.new_zeros(atoms, logits.size(1)).index_add(0, centre, weights)
    # below the smallest normal weight only; keeps 0/0 from edges exactly at the cutoff
    return weights / (total + 1e-20).index_select(0, centre)
