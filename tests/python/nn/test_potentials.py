"""Physics of both backbones: symmetries, derivatives, smoothness, limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from frames.data.graph import neighbour_list
from frames.errors import FramesError
from frames.export import script_module
from frames.nn.build import build_potential
from frames.nn.potential import Potential, evaluate

ELEMENTS = [1, 6, 8]
SETTINGS: dict[str, dict[str, Any]] = {
    "cartesian": {"channels": 16, "layers": 2},
    "equiformer": {
        "node_irreps": "8x0e+4x1e+2x2e",
        "head_irreps": "4x0e+2x1e+1x2e",
        "mlp_irreps": "8x0e+4x1e+2x2e",
        "feature_scalars": 8,
        "feature_vectors": 4,
        "heads": 2,
        "layers": 2,
        "radial_functions": 8,
        "radial_width": 8,
    },
}
CUTOFF = 4.0


@pytest.fixture(scope="module", params=["cartesian", "equiformer"])
def potential(request: pytest.FixtureRequest) -> Potential:
    torch.manual_seed(1)
    made = build_potential(request.param, SETTINGS[request.param], ELEMENTS, CUTOFF, torch.float64)
    made.energy_reference.copy_(torch.tensor([-13.0, -1030.0, -2040.0]))
    made.energy_scale.fill_(2.0)
    return made


def structure(atoms: int = 9, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Atoms at least 0.8 Å apart."""
    random = np.random.default_rng(seed)
    positions: list[np.ndarray] = []
    while len(positions) < atoms:
        new = random.uniform(-2, 2, 3)
        if all(np.linalg.norm(new - r) > 0.8 for r in positions):
            positions.append(new)
    return random.choice(ELEMENTS, atoms), np.array(positions)


def answer(
    potential: Potential, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray | None = None
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Energy, forces, virial, vector features."""
    index, shifts = neighbour_list(positions, cell, cell is not None, potential.cutoff)
    vectors = torch.as_tensor(positions[index[1]] + shifts - positions[index[0]])
    found = evaluate(
        potential,
        torch.as_tensor(numbers),
        torch.as_tensor(index),
        vectors,
        torch.zeros(len(numbers), dtype=torch.int64),
        1,
        virial=True,
    )
    assert found.virials is not None
    return (
        found.energies[0].item(),
        found.forces.detach().numpy(),
        found.virials[0].detach().numpy(),
        found.vectors.detach().numpy(),
    )


def rotation(seed: int = 3) -> np.ndarray:
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return turn * np.sign(np.linalg.det(turn))


def test_rotation(potential: Potential) -> None:
    numbers, positions = structure()
    turn = rotation()
    energy, forces, virial, vectors = answer(potential, numbers, positions)
    turned = answer(potential, numbers, positions @ turn.T)
    assert abs(turned[0] - energy) < 1e-11
    np.testing.assert_allclose(turned[1], forces @ turn.T, atol=1e-11)
    np.testing.assert_allclose(turned[2], turn @ virial @ turn.T, atol=1e-11)
    np.testing.assert_allclose(turned[3], np.einsum("ab,nbv->nav", turn, vectors), atol=1e-11)


def test_inversion(potential: Potential) -> None:
    """Energies of `cartesian` are invariant under inversion, its vectors are polar."""
    if type(potential.backbone).__name__ != "CartesianBackbone":
        pytest.skip("Equiformer is not equivariant to inversion")
    numbers, positions = structure()
    energy, forces, _, vectors = answer(potential, numbers, positions)
    mirrored = answer(potential, numbers, -positions)
    assert abs(mirrored[0] - energy) < 1e-11
    np.testing.assert_allclose(mirrored[1], -forces, atol=1e-11)
    np.testing.assert_allclose(mirrored[3], -vectors, atol=1e-11)


def test_permutation_and_translation(potential: Potential) -> None:
    numbers, positions = structure()
    order = np.random.default_rng(0).permutation(len(numbers))
    energy, forces, _, _ = answer(potential, numbers, positions)
    moved = answer(potential, numbers[order], positions[order] + 7.0)
    assert abs(moved[0] - energy) < 1e-11
    np.testing.assert_allclose(moved[1], forces[order], atol=1e-11)


def test_forces_and_virial_are_derivatives(potential: Potential) -> None:
    numbers, positions = structure(6)
    cell = np.array([[3.5, 0, 0], [0.4, 3.8, 0], [-0.3, 0.5, 4.1]])  # smaller than the cutoff
    _, forces, virial, _ = answer(potential, numbers, positions, cell)
    direction = np.random.default_rng(5).normal(size=positions.shape)
    h = 1e-4
    energies = [answer(potential, numbers, positions + k * h * direction, cell)[0] for k in (-2, -1, 1, 2)]
    slope = (8 * (energies[2] - energies[1]) - (energies[3] - energies[0])) / (12 * h)
    assert abs(slope + (forces * direction).sum()) < 1e-6 * max(1.0, abs(slope))
    strain = np.random.default_rng(6).normal(size=(3, 3))
    deformed = [np.eye(3) + k * h * strain for k in (-2, -1, 1, 2)]
    energies = [answer(potential, numbers, positions @ d, cell @ d)[0] for d in deformed]
    slope = (8 * (energies[2] - energies[1]) - (energies[3] - energies[0])) / (12 * h)
    assert abs(slope + (virial * strain).sum()) < 1e-6 * max(1.0, abs(slope))


def test_smooth_at_the_cutoff(potential: Potential) -> None:
    """Energy, force and its slope go to zero as the last neighbour leaves, also when it is the only one."""
    numbers = np.array([8, 1])
    far = answer(potential, numbers, np.array([[0, 0, 0], [CUTOFF + 1e-6, 0, 0]]))
    gaps = np.array([0.08, 0.04, 0.02, 0.01])
    found = [answer(potential, numbers, np.array([[0, 0, 0], [CUTOFF - gap, 0, 0]])) for gap in gaps]
    energies = np.abs([f[0] - far[0] for f in found])
    forces = np.abs([f[1][0, 0] for f in found])
    # a function whose first two derivatives vanish at the cutoff falls by at least 2³ when the gap halves
    assert (energies[:-1] > 7 * energies[1:])[energies[:-1] > 1e-11].all()
    assert (forces[:-1] > 3.5 * forces[1:])[forces[:-1] > 1e-11].all()
    assert energies[0] > 0


def test_isolated_atoms_and_separate_molecules(potential: Potential) -> None:
    numbers, positions = structure(5)
    single = answer(potential, numbers[:1], positions[:1])
    assert np.abs(single[1]).max() == 0
    energy = answer(potential, numbers, positions)[0]
    both = answer(potential, np.tile(numbers, 2), np.concatenate([positions, positions + 30.0]))[0]
    assert abs(both - 2 * energy) < 1e-9


def test_torchscript_gives_the_same(potential: Potential) -> None:
    numbers, positions = structure()
    index, shifts = neighbour_list(positions, None, False, CUTOFF)
    arguments = (
        torch.as_tensor(numbers),
        torch.as_tensor(index),
        torch.as_tensor(positions[index[1]] + shifts - positions[index[0]]),
    )
    expected = potential(*arguments)
    scripted = script_module(potential)
    potential.requires_grad_(True)
    torch.testing.assert_close(scripted(*arguments), expected, rtol=1e-12, atol=1e-12)


def test_second_derivatives_train(potential: Potential) -> None:
    """The gradient of a force loss with respect to a parameter equals its finite difference."""
    numbers, positions = structure(5)
    index, shifts = neighbour_list(positions, None, False, CUTOFF)
    vectors = torch.as_tensor(positions[index[1]] + shifts - positions[index[0]])
    zeros = torch.zeros(5, dtype=torch.int64)
    parameter = max(potential.parameters(), key=lambda p: p.numel())

    def loss() -> torch.Tensor:
        found = evaluate(
            potential, torch.as_tensor(numbers), torch.as_tensor(index), vectors, zeros, 1, create_graph=True
        )
        return found.forces.pow(2).sum()

    gradient = torch.autograd.grad(loss(), parameter)[0]
    direction = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    h = 1e-5
    with torch.no_grad():
        parameter += h * direction
    above = loss().item()
    with torch.no_grad():
        parameter -= 2 * h * direction
    below = loss().item()
    with torch.no_grad():
        parameter += h * direction
    slope = (above - below) / (2 * h)
    assert abs((gradient * direction).sum().item() - slope) < 1e-5 * max(1.0, abs(slope))


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(FramesError, match=r"cartesian: unknown setting 'width'; known are"):
        build_potential("cartesian", {"width": 3}, ELEMENTS, CUTOFF, torch.float32)
    with pytest.raises(FramesError, match=r"equiformer: node_irreps = '8x0o\+2x1e'"):
        build_potential("equiformer", {"node_irreps": "8x0o+2x1e"}, ELEMENTS, CUTOFF, torch.float32)
    with pytest.raises(FramesError, match="unknown backbone 'mace'"):
        build_potential("mace", {}, ELEMENTS, CUTOFF, torch.float32)
