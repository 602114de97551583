"""The native engine by itself: derivatives, invariances, smoothness."""

from __future__ import annotations

import numpy as np
import pytest

from frames.native import NativeModel

from .conftest import CUTOFF, MakeSample, make_graph, native_answer, random_structure


@pytest.fixture(scope="module")
def model(make_sample: MakeSample) -> NativeModel:
    return NativeModel(make_sample("float64").path)


def energy(model: NativeModel, numbers: np.ndarray, positions: np.ndarray) -> float:
    return float(native_answer(model, make_graph(numbers, positions)).energies.sum())


def test_forces_are_finite_differences_of_the_energy(model: NativeModel) -> None:
    numbers, positions = random_structure(20, 1.7, seed=5)
    forces = native_answer(model, make_graph(numbers, positions)).forces
    h = 1e-4
    for atom, axis in [(0, 0), (3, 1), (7, 2), (11, 0), (19, 2)]:
        step = np.zeros_like(positions)
        step[atom, axis] = h
        slope = (energy(model, numbers, positions + step) - energy(model, numbers, positions - step)) / (2 * h)
        assert forces[atom, axis] == pytest.approx(-slope, abs=1e-6 * np.abs(forces).max())


def test_virial_is_the_derivative_by_strain(model: NativeModel) -> None:
    numbers, positions = random_structure(20, 1.7, seed=6)
    virial = native_answer(model, make_graph(numbers, positions)).virial
    h = 1e-5
    for a, b in [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2)]:
        strain = np.zeros((3, 3))
        strain[a, b] += h / 2
        strain[b, a] += h / 2
        up, down = (energy(model, numbers, positions @ (np.eye(3) + s)) for s in (strain, -strain))
        assert virial[a, b] == pytest.approx(-(up - down) / (2 * h), abs=1e-5 * np.abs(virial).max())


def test_rotation_inversion_translation_permutation(model: NativeModel) -> None:
    numbers, positions = random_structure(30, 1.6, seed=7)
    before = native_answer(model, make_graph(numbers, positions))
    random = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
    order = random.permutation(len(numbers))
    for turn in (rotation, -rotation):
        moved = (positions @ turn.T + [3.0, -2.0, 1.0])[order]
        after = native_answer(model, make_graph(numbers[order], moved))
        size = np.abs(before.forces).max()
        np.testing.assert_allclose(after.energies, before.energies[order], rtol=1e-11)
        np.testing.assert_allclose(after.forces, (before.forces @ turn.T)[order], rtol=0, atol=1e-9 * size)
    assert np.abs(before.forces.sum(0)).max() < 1e-11 * np.abs(before.forces).max() * len(numbers)


def test_energy_is_continuous_to_second_order_at_the_cutoff(model: NativeModel) -> None:
    """As an atom leaves, energy, force and the slope of the force vanish: the envelope is of fourth order, so the
    force falls at least with the third power of the distance that is left."""
    numbers, positions = random_structure(6, 1.4, seed=8)
    nearest = positions[np.argmax(positions[:, 0])]

    def force(left: float) -> float:
        outside = nearest + np.array([CUTOFF - left, 0.0, 0.0])
        graph = make_graph(np.append(numbers, 1), np.vstack((positions, outside)))
        return float(np.abs(native_answer(model, graph).forces[-1]).max())

    far, near = force(0.04), force(0.02)
    assert 0 < near < 1.15 * far / 8
    assert force(1e-4) < 1e-7 * far


def test_separated_molecules_do_not_see_each_other(model: NativeModel) -> None:
    numbers, positions = random_structure(8, 1.5, seed=9)
    one = native_answer(model, make_graph(numbers, positions))
    two = native_answer(model, make_graph(np.tile(numbers, 2), np.vstack((positions, positions + 50.0))))
    np.testing.assert_allclose(two.energies, np.tile(one.energies, 2), rtol=1e-12)
    np.testing.assert_allclose(two.forces, np.tile(one.forces, (2, 1)), rtol=0, atol=1e-9)
