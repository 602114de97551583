"""3×3 Cartesian tensors per atom and channel, stored by their irreducible parts.

A tensor is kept as nine numbers, channels last: [N, 9, C]. Component 0 is the scalar part, 1–3 the
antisymmetric part (a polar vector: the tensor is the matrix of v ↦ a × v), 4–8 the symmetric traceless part.
The nine basis matrices are orthonormal under tr(AᵀB): the squared Frobenius norm is the sum of nine squares.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def basis_matrices() -> Tensor:
    """[9, 3, 3] float64, orthonormal: tr(B_aᵀ B_b) = δ_ab."""
    basis = torch.zeros(9, 3, 3, dtype=torch.float64)
    basis[0] = torch.eye(3, dtype=torch.float64) / math.sqrt(3.0)
    for a, (i, j) in enumerate(((2, 1), (0, 2), (1, 0))):
        basis[1 + a, i, j], basis[1 + a, j, i] = math.sqrt(0.5), -math.sqrt(0.5)
    for a, (i, j) in enumerate(((0, 1), (1, 2), (0, 2))):
        basis[4 + a, i, j] = basis[4 + a, j, i] = math.sqrt(0.5)
    basis[7] = torch.diag(torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64)) * math.sqrt(0.5)
    basis[8] = torch.diag(torch.tensor([-1.0, -1.0, 2.0], dtype=torch.float64)) / math.sqrt(6.0)
    return basis


def direction_tensors(unit: Tensor) -> Tensor:
    """Components [E, 9] of 1, [r̂]× and r̂r̂ᵀ − 1/3 for unit vectors [E, 3], each part scaled to norm one."""
    x, y, z = unit[:, 0], unit[:, 1], unit[:, 2]
    r3 = math.sqrt(3.0)
    parts = (
        torch.ones_like(x), x, y, z,
        r3 * x * y, r3 * y * z, r3 * x * z, (0.5 * r3) * (x * x - y * y), 1.5 * z * z - 0.5,
    )  # fmt: skip
    return torch.stack(parts, 1)


def anticommutator(left: Tensor, right: Tensor, basis: Tensor) -> Tensor:
    """Components of AB + BA for tensors [N, 9, C]; basis: `basis_matrices` as [9, 9].

    Unlike AB alone it never mixes the parities: the antisymmetric part of the result is a polar vector again.
    """
    n, _, c = left.shape
    a = torch.matmul(basis.t(), left).view(n, 3, 3, 1, c)
    b = torch.matmul(basis.t(), right).view(n, 1, 3, 3, c)
    ab = (a * b).sum(2)
    a2 = a.view(n, 1, 3, 3, c)
    b2 = b.view(n, 3, 3, 1, c)
    both = ab + (b2 * a2).sum(2)
    return torch.matmul(basis, both.view(n, 9, c))


def part_norms(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Squared norms [N, C] of the antisymmetric and of the symmetric traceless part of [N, 9, C]."""
    square = tensor * tensor
    return square[:, 1:4].sum(1), square[:, 4:9].sum(1)


def mix(tensor: Tensor, weights: Tensor) -> Tensor:
    """Mixes channels, each part with its own matrix: [N, 9, K] with weights [3, K, C] → [N, 9, C]."""
    return torch.cat(
        (
            torch.matmul(tensor[:, 0:1], weights[0]),
            torch.matmul(tensor[:, 1:4], weights[1]),
            torch.matmul(tensor[:, 4:9], weights[2]),
        ),
        1,
    )


def scale(tensor: Tensor, factors: Tensor) -> Tensor:
    """Scales each part of [N, 9, C] by its own factor [N, 3, C]."""
    shape = (tensor.shape[0], 3, tensor.shape[2])
    s0, s1, s2 = factors[:, 0:1], factors[:, 1:2], factors[:, 2:3]
    return tensor * torch.cat((s0, s1.expand(shape), s2.expand(shape[0], 5, shape[2])), 1)
