"""Neighbour lists against a search over all images, and the input that must be refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from frames import FramesError
from frames.data.graph import neighbour_list

Floats = NDArray[np.float64]
Pairs = list[tuple[float, ...]]
TRICLINIC = np.array([[3.1, 0.2, -0.1], [1.2, 2.9, 0.3], [-0.7, 0.9, 3.4]])


def all_images(positions: Floats, cell: Floats, pbc: tuple[bool, bool, bool], cutoff: float) -> Pairs:
    """Every (i, j, shift) within the cutoff, by trying every image."""
    reach = [range(-6, 7) if periodic else range(1) for periodic in pbc]
    found = []
    for image in itertools.product(*reach):
        shift = np.array(image) @ cell
        for i, j in itertools.product(range(len(positions)), repeat=2):
            distance = np.linalg.norm(positions[j] + shift - positions[i])
            if distance < cutoff and (i != j or any(image)):
                found.append((float(i), float(j), *np.round(shift, 9).tolist()))
    return sorted(found)


def as_list(edge_index: NDArray[np.int64], shifts: Floats) -> Pairs:
    return sorted((float(i), float(j), *np.round(s, 9)) for (i, j), s in zip(edge_index.T, shifts, strict=True))


@pytest.mark.parametrize("pbc", list(itertools.product([False, True], repeat=3)))
@pytest.mark.parametrize("cutoff", [2.0, 5.0])
def test_every_kind_of_boundary(pbc: tuple[bool, bool, bool], cutoff: float) -> None:
    # The cell is smaller than the cutoff of 5 Å, and some atoms lie outside it.
    positions = np.random.default_rng(1).uniform(-4, 8, (7, 3))
    edge_index, shifts = neighbour_list(positions, TRICLINIC, pbc, cutoff)
    assert edge_index.dtype == np.int64 and shifts.dtype == np.float64
    assert (np.diff(edge_index[0]) >= 0).all()
    assert as_list(edge_index, shifts) == all_images(positions, TRICLINIC, pbc, cutoff)


def test_molecule_without_cell_and_open_directions_with_zero_vectors() -> None:
    positions = np.random.default_rng(2).uniform(0, 4, (6, 3))
    molecule = as_list(*neighbour_list(positions, None, False, 3.0))
    assert molecule == all_images(positions, np.zeros((3, 3)), (False,) * 3, 3.0)
    slab_cell = np.diag([4.0, 5.0, 0.0])
    slab = as_list(*neighbour_list(positions, slab_cell, [True, True, False], 3.0))
    assert slab == all_images(positions, slab_cell, (True, True, False), 3.0)


@pytest.mark.parametrize("distance", [1e3, 1e5, 1e7, 1e12])
@pytest.mark.parametrize("direction", [(0, 0, 1), (0.3, 1, 1), (1, 1, 1)])
@pytest.mark.parametrize("pbc", [(False, False, False), (True, False, False), (True, True, False)])
def test_an_atom_that_left_changes_nothing(
    distance: float, direction: tuple[float, float, float], pbc: tuple[bool, bool, bool]
) -> None:
    near = np.array([[0.0, 0.0, 0.0], [1.0, 0.2, 0.1], [0.3, 1.0, 0.4]])
    away = np.where(pbc, 0.0, np.array(direction)) * distance
    cell = np.eye(3) * 3.0
    expected = as_list(*neighbour_list(near, cell, pbc, 2.5))
    edge_index, shifts = neighbour_list(np.vstack([near, away]), cell, pbc, 2.5)
    among_near = (edge_index < 3).all(axis=0)
    assert as_list(edge_index[:, among_near], shifts[among_near]) == expected
    assert ((edge_index == 3).any(axis=0) == (edge_index == 3).all(axis=0)).all()


@pytest.mark.parametrize("cell", [np.eye(3) * 3.0, TRICLINIC, np.array([[3.0, 3, 3], [-2, 3, 1], [1, -1, 3]])])
@pytest.mark.parametrize("pbc", [p for p in itertools.product([False, True], repeat=3) if any(p)])
def test_atoms_that_drifted_far(pbc: tuple[bool, bool, bool], cell: Floats) -> None:
    """Unwrapped runs; vesin made grids of them that took minutes, or ended the process."""
    random = np.random.default_rng(3)
    positions = random.uniform(0, 3, (5, 3))
    whole = random.integers(-5000, 5000, (5, 3)) * np.array(pbc)
    near, far = (neighbour_list(r, cell, pbc, 3.5) for r in (positions, positions + whole @ cell))
    assert far[0].shape[1] > 10

    def vectors(r: Floats, found: tuple[NDArray[np.int64], Floats]) -> Pairs:
        (i, j), shifts = found
        return sorted((a, b, *v) for a, b, v in zip(i, j, np.round(r[j] + shifts - r[i], 6).tolist(), strict=True))

    np.testing.assert_allclose(vectors(positions + whole @ cell, far), vectors(positions, near), atol=2e-6)


def test_no_atoms() -> None:
    for cell in (None, np.eye(3) * 10):
        edge_index, shifts = neighbour_list(np.empty((0, 3)), cell, cell is not None, 5.0)
        assert edge_index.shape == (2, 0) and shifts.shape == (0, 3)


@pytest.mark.parametrize(
    ("positions", "cell", "pbc", "cutoff", "message"),
    [
        (np.zeros((2, 2)), None, False, 5.0, r"shape \[N,3\], got \[2, 2\]"),
        (np.array([[0.0, 0, 0], [np.nan, 0, 0]]), None, False, 5.0, "atom 1 has the position"),
        (np.zeros((1, 3)), None, True, 5.0, "need a cell"),
        (np.zeros((1, 3)), np.zeros((3, 3)), True, 5.0, "do not span a cell"),
        (np.zeros((1, 3)), np.ones((3, 3)), [True, True, False], 5.0, "do not span a cell"),
        (np.zeros((1, 3)), np.eye(2), True, 5.0, "must be 3x3 finite numbers"),
        (np.zeros((1, 3)), np.diag([1e6, 5, 5]), True, 5.0, "1e\\+06 x 5 x 5 Å is too long and thin"),
        (np.array([[0, 0, 0], [1e9, 0, 0]]), np.eye(3) * 5, True, 5.0, "the simulation has blown up"),
        (np.arange(6e5).reshape(-1, 1) * [1, 0, 0], None, False, 5.0, "too long and thin"),
        (np.zeros((1, 3)), None, False, 0.0, "positive length"),
        (np.zeros((1, 3)), None, False, float("nan"), "positive length"),
    ],
)
def test_bad_input(positions: Floats, cell: Floats | None, pbc: object, cutoff: float, message: str) -> None:
    with pytest.raises(FramesError, match=message):
        neighbour_list(positions, cell, pbc, cutoff)
