"""The native engine gives what the PyTorch module gives."""

from __future__ import annotations

import numpy as np
import pytest

from frames.native import NativeModel, instruction_sets

from .conftest import CUTOFF, ELEMENTS, Answer, Graph, MakeSample, Sample, make_graph, native_answer, random_structure

RELATIVE = {"float32": 1e-5, "float64": 1e-6}


def assert_same(sample: Sample, graph: Graph, found: Answer, tolerance: float) -> None:
    expected = sample.expected(graph)
    species = [ELEMENTS.index(z) for z in graph.atomic_numbers]
    binding = np.abs(expected.energies - sample.reference[species]).max()
    np.testing.assert_allclose(found.energies, expected.energies, rtol=0, atol=tolerance * binding)
    np.testing.assert_allclose(found.forces, expected.forces, rtol=0, atol=tolerance * np.abs(expected.forces).max())
    np.testing.assert_allclose(found.virial, expected.virial, rtol=0, atol=tolerance * np.abs(expected.virial).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("atoms", "spacing"),
    [(1, 1.5), (2, 1.5), (5, 1.1), (9, 1.5), (17, 2.0), (60, 1.6), (150, 1.3), (200, 2.5), (500, 2.2)],
)
def test_random_structures(make_sample: MakeSample, dtype: str, atoms: int, spacing: float) -> None:
    sample = make_sample(dtype)
    graph = make_graph(*random_structure(atoms, spacing, seed=atoms))
    assert_same(sample, graph, native_answer(NativeModel(sample.path), graph), RELATIVE[dtype])


@pytest.mark.parametrize(
    "settings",
    [
        {"channels": 16, "layers": 1},
        {"channels": 48, "layers": 3},
        {"channels": 64, "layers": 2},
        {"radial_functions": 5, "radial_hidden": 7},
        {"radial_functions": 12},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_other_sizes_of_the_model(make_sample: MakeSample, dtype: str, settings: dict[str, int]) -> None:
    sample = make_sample(dtype, **settings)
    graph = make_graph(*random_structure(40, 1.7, seed=1))
    assert_same(sample, graph, native_answer(NativeModel(sample.path), graph), RELATIVE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_instruction_set(make_sample: MakeSample, dtype: str) -> None:
    sample = make_sample(dtype)
    graph = make_graph(*random_structure(40, 1.7, seed=2))
    for name in instruction_sets():
        model = NativeModel(sample.path, instruction_set=name)
        assert name in model.description
        assert_same(sample, graph, native_answer(model, graph), RELATIVE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_isolated_atoms_and_pairs_at_the_cutoff(make_sample: MakeSample, dtype: str) -> None:
    """Lone atoms, a pair as far apart as can be inside the cutoff, one exactly at it, one close together."""
    sample = make_sample(dtype)
    x = [0.0, 100.0, 100.0 + np.nextafter(CUTOFF, 0), 200.0, 200.0 + CUTOFF, 300.0, 300.6, 400.0]
    positions = np.array([[a, 0.0, 0.0] for a in x])
    numbers = np.array([1, 6, 8, 17, 1, 6, 6, 8])
    graph = make_graph(numbers, positions)
    at_cutoff = np.array([[3, 4], [4, 3]]), np.array([[CUTOFF, 0, 0], [-CUTOFF, 0, 0]])
    graph = Graph(
        numbers,
        np.concatenate((graph.edge_index, at_cutoff[0]), 1),
        np.concatenate((graph.edge_vectors, at_cutoff[1])),
    )
    model = NativeModel(sample.path)
    found = native_answer(model, graph)
    assert_same(sample, graph, found, RELATIVE[dtype])
    assert not found.forces[[0, 7]].any()
    assert np.abs(found.forces[3:5]).max() < 1e-7 * np.abs(found.forces).max()
    alone = native_answer(model, make_graph(numbers[3:4], positions[3:4]))
    assert found.energies[3] == alone.energies[0]


def test_images_of_a_small_cell(make_sample: MakeSample) -> None:
    """An atom can be its own neighbour, and two atoms can share several edges."""
    sample = make_sample("float64")
    positions, length = np.array([[0.1, 0.2, 0.3], [1.3, 1.1, 1.2]]), 2.7
    index, vectors = [], []
    for shift in np.ndindex(7, 7, 7):
        for i in range(2):
            for j in range(2):
                vector = positions[j] - positions[i] + (np.array(shift) - 3) * length
                if 0 < np.linalg.norm(vector) < CUTOFF:
                    index.append((i, j))
                    vectors.append(vector)
    graph = Graph(np.array([6, 1]), np.array(index).T, np.array(vectors))
    assert_same(sample, graph, native_answer(NativeModel(sample.path), graph), RELATIVE["float64"])


def test_order_of_edges_does_not_matter(make_sample: MakeSample) -> None:
    sample = make_sample("float64")
    graph = make_graph(*random_structure(30, 1.6, seed=4))
    order = np.random.default_rng(0).permutation(graph.edge_index.shape[1])
    shuffled = Graph(graph.atomic_numbers, graph.edge_index[:, order], graph.edge_vectors[order])
    model = NativeModel(sample.path)
    _energies, straight = model.edge_gradients(graph.atomic_numbers, graph.edge_index, graph.edge_vectors)
    _energies, mixed = model.edge_gradients(graph.atomic_numbers, shuffled.edge_index, shuffled.edge_vectors)
    np.testing.assert_allclose(mixed, straight[order], rtol=0, atol=1e-12 * np.abs(straight).max())


def test_radial_tables_are_as_good_as_stated(make_sample: MakeSample) -> None:
    assert max(NativeModel(make_sample("float32").path).radial_error) <= 4e-6
    assert max(NativeModel(make_sample("float64").path).radial_error) <= 1e-9
