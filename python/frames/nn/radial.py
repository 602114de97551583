"""Radial functions: what a message depends on through the distance alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def envelope(distances: Tensor, cutoff: float) -> Tensor:
    """(1 − (r/rc)⁴)⁴ inside the cutoff, 0 outside.

    One at the origin, and zero at the cutoff with its first three derivatives, so that an energy built on it
    keeps continuous forces, second and third derivatives when a neighbour leaves. Shape of `distances`.
    """
    x = torch.clamp(distances / cutoff, max=1.0)
    x2 = x * x
    u = 1.0 - x2 * x2
    u2 = u * u
    return u2 * u2


class RadialBasis(nn.Module):
    """Bessel functions sin(nπr/rc)/r (Gasteiger et al., ICLR 2020) times the envelope.

    Scaled to be of order one at bonding distances. The frequencies are fixed.
    """

    def __init__(self, functions: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = float(cutoff)
        self.functions = functions
        self.frequencies: Tensor
        n = torch.arange(1, functions + 1, dtype=torch.float64)
        frequencies = (n * (math.pi / cutoff)).to(torch.get_default_dtype())
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, distances: Tensor) -> Tensor:
        """[E] Å → [E, functions]."""
        r = distances.unsqueeze(1)
        return torch.sin(r * self.frequencies) * (2.0 / r) * envelope(r, self.cutoff)


class RadialWeights(nn.Module):
    """Weights of a message from the distance: basis → hidden (SiLU) → outputs, times the envelope."""

    def __init__(self, functions: int, hidden: int, outputs: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = float(cutoff)
        self.hidden = nn.Parameter(torch.randn(functions, hidden) / math.sqrt(functions))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.output = nn.Parameter(torch.randn(hidden, outputs) / math.sqrt(hidden))

    def forward(self, basis: Tensor, distances: Tensor) -> Tensor:
        """basis [E, functions], distances [E] → [E, outputs]."""
        hidden = torch.nn.functional.silu(torch.matmul(basis, self.hidden) + self.hidden_bias)
        return torch.matmul(hidden, self.output) * envelope(distances.unsqueeze(1), self.cutoff)
