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
    """√2 cos(nπu), n = 0, 1, ..., times the envelope, of the stretched distance u = 1.2 r / (r + rc/5).

    u runs from 0 to 1 at the cutoff, half of it below a seventh of the cutoff: energies vary faster at short
    distances. On ethanol this gave a tenth less force error than Bessel functions of the distance itself
    (benchmarks/NOTES.md).
    """

    def __init__(self, functions: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = float(cutoff)
        self.functions = functions
        self.stretch = 0.2  # of the cutoff: where u changes from growing with r to saturating
        self.frequencies: Tensor
        frequencies = torch.arange(functions, dtype=torch.float64) * math.pi
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, distances: Tensor) -> Tensor:
        """[E] Å → [E, functions], in the precision of the distances."""
        r = distances.unsqueeze(1)
        u = (1.0 + self.stretch) * r / (r + self.stretch * self.cutoff)
        return torch.cos(u * self.frequencies.to(r.dtype)) * (math.sqrt(2.0) * envelope(r, self.cutoff))


class RadialWeights(nn.Module):
    """Weights of a message from the distance: basis → hidden (SiLU) → outputs, times the envelope."""

    def __init__(self, functions: int, hidden: int, outputs: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = float(cutoff)
        self.hidden = nn.Parameter(torch.randn(functions, hidden) / math.sqrt(functions))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.output = nn.Parameter(torch.randn(hidden, outputs) / math.sqrt(hidden))

    def forward(self, basis: Tensor, distances: Tensor) -> Tensor:
        """basis [E, functions], distances [E] → [E, outputs], in the precision of the basis."""
        hidden = torch.nn.functional.silu(torch.matmul(basis, self.hidden) + self.hidden_bias)
        return torch.matmul(hidden, self.output) * envelope(distances.unsqueeze(1), self.cutoff).to(basis.dtype)
