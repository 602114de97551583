"""What is particular to backbone `cartesian`: its tensors, radial functions, settings, reach and export."""

from __future__ import annotations

import math

import pytest
import torch

from frames.errors import FramesError
from frames.nn.cartesian import PRESETS, CartesianBackbone, CartesianSettings
from frames.nn.radial import RadialBasis, envelope
from frames.nn.tensors import anticommutator, basis_matrices, direction_tensors, part_norms, square

CUTOFF = 4.0


def make(channels: int = 16, layers: int = 2, **settings: float) -> CartesianBackbone:
    torch.manual_seed(0)
    return CartesianBackbone(3, CUTOFF, CartesianSettings(channels, layers, **settings)).double()


def chain(atoms: int, spacing: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Species, edge_index and edge_vectors of atoms in a bent row."""
    k = torch.arange(atoms, dtype=torch.float64)
    positions = torch.stack((k * spacing, 0.3 * torch.cos(k), 0.3 * torch.sin(2 * k)), 1)
    vectors = positions[None] - positions[:, None]
    inside = (vectors.norm(dim=2) < CUTOFF) & ~torch.eye(atoms, dtype=torch.bool)
    return torch.arange(atoms) % 3, inside.nonzero().T.contiguous(), vectors[inside]


def test_basis_of_tensors_is_orthonormal_and_sorted_by_symmetry() -> None:
    basis = basis_matrices()
    gram = torch.einsum("aij,bij->ab", basis, basis)
    torch.testing.assert_close(gram, torch.eye(9, dtype=torch.float64))
    torch.testing.assert_close(basis[1:4], -basis[1:4].mT)
    torch.testing.assert_close(basis[4:], basis[4:].mT)
    assert basis[1:].diagonal(dim1=1, dim2=2).sum(1).abs().max() < 1e-15


def test_anticommutator_is_that_of_matrices() -> None:
    basis = basis_matrices()
    a, b = torch.randn(2, 9, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    full_a, full_b = (torch.einsum("kij,knc->ncij", basis, x) for x in (a, b))
    expected = torch.einsum("kij,ncij->knc", basis, full_a @ full_b + full_b @ full_a)
    torch.testing.assert_close(anticommutator(a, b, basis.view(9, 9)), expected)
    torch.testing.assert_close(2 * square(a, basis.view(9, 9)), anticommutator(a, a, basis.view(9, 9)))


def test_direction_tensors() -> None:
    """[r]x v = r x v, the parts have norm one, and the symmetric one is proportional to rr^T - 1/3."""
    unit = torch.nn.functional.normalize(
        torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)), dim=1
    )
    parts = direction_tensors(unit)
    antisymmetric, symmetric = part_norms(parts.t().unsqueeze(2))
    torch.testing.assert_close(antisymmetric, torch.ones_like(antisymmetric))
    torch.testing.assert_close(symmetric, torch.ones_like(symmetric))
    v = torch.tensor([0.3, -1.0, 0.7], dtype=torch.float64)
    cross = torch.einsum("kij,nk,j->ni", basis_matrices()[1:4], parts[:, 1:4], v) * math.sqrt(2)
    torch.testing.assert_close(cross, torch.linalg.cross(unit, v.expand(6, 3)))
    outer = torch.einsum("kij,nk->nij", basis_matrices()[4:], parts[:, 4:])
    expected = torch.einsum("ni,nj->nij", unit, unit) - torch.eye(3, dtype=torch.float64) / 3
    torch.testing.assert_close(outer, expected * math.sqrt(1.5))


def test_envelope_and_basis_vanish_with_three_derivatives() -> None:
    r = torch.tensor([CUTOFF * (1 - 1e-9)], dtype=torch.float64, requires_grad=True)
    for function in (lambda x: envelope(x, CUTOFF), lambda x: RadialBasis(8, CUTOFF).double()(x)[:, 5]):
        derivative = function(r).sum()
        for order in range(4):
            assert abs(derivative.item()) < 1e-5 * 100**order
            (derivative,) = torch.autograd.grad(derivative, r, create_graph=True)
            derivative = derivative.sum()
        assert abs(derivative.item()) > 1  # the fourth does not, so the test sees what it looks for
    beyond = torch.tensor([CUTOFF, 2 * CUTOFF], dtype=torch.float64)
    assert not envelope(beyond, CUTOFF).any()


@pytest.mark.parametrize("layers", [1, 3])
def test_reach_is_receptive_layers_times_the_cutoff(layers: int) -> None:
    """Neighbours touch, the next ones do not: an atom feels those as many steps away as there are aggregations."""
    backbone = make(layers=layers)
    assert backbone.receptive_layers == layers + 1
    species, index, vectors = chain(8, 0.7 * CUTOFF)
    vectors.requires_grad_(True)
    energy = backbone(species, index, vectors)[0][0]
    (gradient,) = torch.autograd.grad(energy, vectors)
    felt = gradient.abs().sum(1) > 0
    assert index[0][felt].max() == layers
    assert index[1][felt].max() == layers + 1


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_give_energies_and_features_of_order_one(name: str) -> None:
    torch.manual_seed(3)
    settings = CartesianSettings.preset(name, average_neighbours=4.0)
    backbone = CartesianBackbone(3, CUTOFF, settings)
    species, index, vectors = chain(12, 1.2)
    energies, scalars, polar = backbone(species, index, vectors.float())
    assert energies.shape == (12,)
    assert scalars.shape == (12, backbone.scalar_width)
    assert polar.shape == (12, 3, backbone.vector_width)
    assert energies.abs().max() < 10
    assert 0.05 < scalars.std() < 5
    assert polar.std() > 0.01


def test_no_edges_and_one_atom() -> None:
    backbone = make()
    scripted = torch.jit.script(backbone)
    empty = torch.zeros(2, 0, dtype=torch.int64), torch.zeros(0, 3, dtype=torch.float64, requires_grad=True)
    for species in (torch.tensor([1]), torch.tensor([0, 1, 2, 1])):
        for module in (backbone, scripted):
            energies, _scalars, polar = module(species, *empty)
            assert energies.shape == species.shape
            assert torch.isfinite(energies).all()
            assert not polar.any()


def test_derivatives_of_derivatives() -> None:
    backbone = make()
    species, index, vectors = chain(4, 1.3)
    vectors.requires_grad_(True)
    assert torch.autograd.gradgradcheck(lambda v: backbone(species, index, v)[0].sum(), vectors)


def test_energy_and_forces_as_one_graph_for_any_number_of_edges() -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    backbone = make()

    def energy_and_gradient(
        species: torch.Tensor, index: torch.Tensor, vectors: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        vectors = vectors.detach().requires_grad_(True)
        energies = backbone(species, index, vectors)[0]
        return energies, torch.autograd.grad(energies.sum(), vectors)[0]

    traced = make_fx(energy_and_gradient, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*chain(6, 1.3))
    for atoms in (4, 9):
        for found, expected in zip(traced(*chain(atoms, 1.5)), energy_and_gradient(*chain(atoms, 1.5)), strict=True):
            torch.testing.assert_close(found, expected)


def test_settings_that_do_not_fit() -> None:
    for settings, message in (
        ({"channels": 24}, "channels = 24; expected a multiple of 16"),
        ({"layers": 0}, "layers = 0; expected an integer from 1 to 1024"),
        ({"average_neighbours": 0.0}, "average_neighbours = 0.0; expected > 0"),
    ):
        with pytest.raises(FramesError, match=message):
            CartesianSettings(**settings)  # type: ignore[arg-type]
    with pytest.raises(FramesError, match="unknown preset 'huge'; known are small, medium, large"):
        CartesianSettings.preset("huge")
