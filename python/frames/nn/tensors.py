"""3×3 Cartesian tensors per atom and channel, stored by their irreducible parts.

A tensor is kept as nine numbers, components first, channels last: [9, N, C]. Component 0 is the scalar part, 1–3
the antisymmetric part (a polar vector: the tensor is the matrix of v ↦ a × v), 4–8 the symmetric traceless part.
Every part is then one block of memory, and a product with a matrix of channels or components is one matrix product.
Parts are taken by `split` and `unbind`, whose gradient is one concatenation; that of a slice is a tensor of zeros.
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
    x, y, z = torch.unbind(unit, 1)
    r3 = math.sqrt(3.0)
    parts = (
        torch.ones_like(x), x, y, z,
        r3 * x * y, r3 * y * z, r3 * x * z, (0.5 * r3) * (x * x - y * y), 1.5 * z * z - 0.5,
    )  # fmt: skip
    return torch.stack(parts, 1)


def anticommutator(left: Tensor, right: Tensor, basis: Tensor) -> Tensor:
    """Components of AB + BA for tensors [9, N, C]; basis: `basis_matrices` as [9, 9].

    Unlike AB alone it never mixes the parities: the antisymmetric part of the result is a polar vector again.
    """
    a, b = _matrices(left, basis), _matrices(right, basis)
    both = (a.unsqueeze(2) * b.unsqueeze(0)).sum(1) + (b.unsqueeze(2) * a.unsqueeze(0)).sum(1)
    return torch.matmul(basis, both.view(9, -1)).view_as(left)


def square(tensor: Tensor, basis: Tensor) -> Tensor:
    """Components of AA, half of the anticommutator of a tensor with itself."""
    a = _matrices(tensor, basis)
    return torch.matmul(basis, (a.unsqueeze(2) * a.unsqueeze(0)).sum(1).view(9, -1)).view_as(tensor)


def _matrices(tensor: Tensor, basis: Tensor) -> Tensor:
    """[3, 3, N C] from components [9, N, C]."""
    return torch.matmul(basis.t(), tensor.reshape(9, -1)).view(3, 3, -1)


def part_norms(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Squared norms [N, C] of the antisymmetric and of the symmetric traceless part of [9, N, C]."""
    _, antisymmetric, symmetric = torch.split(tensor * tensor, [1, 3, 5])
    return antisymmetric.sum(0), symmetric.sum(0)


def mix(tensor: Tensor, weights: Tensor) -> Tensor:
    """Mixes channels, each part with its own matrix: [9, N, K] with weights [3, K, C] → [9, N, C]."""
    scalar, antisymmetric, symmetric = torch.split(tensor, [1, 3, 5])
    w0, w1, w2 = torch.unbind(weights)
    return torch.cat((torch.matmul(scalar, w0), torch.matmul(antisymmetric, w1), torch.matmul(symmetric, w2)))


def scale(tensor: Tensor, factors: Tensor) -> Tensor:
    """Scales each part of [9, N, C] by its own factor [N, 3, C]."""
    n, c = tensor.shape[1], tensor.shape[2]
    s0, s1, s2 = torch.unbind(factors, 1)
    return tensor * torch.cat((s0.unsqueeze(0), s1.expand(3, n, c), s2.expand(5, n, c)))
