"""Virials for the heat flux: which atom's energy a moving atom changes, through all layers of a model."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from frames.native import NativeModel

from .conftest import CUTOFF, MakeSample, Sample, make_graph, native_answer, random_structure, torch


def expected_virials(sample: Sample, numbers: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Σ_i (r_i - r_k) ⊗ ∂U_i/∂r_k of a cluster, each atom's energy differentiated by itself."""
    graph = make_graph(numbers, positions)
    centre, neighbour = torch.tensor(graph.edge_index)
    r = torch.tensor(positions, requires_grad=True)
    energies = sample.potential(torch.tensor(numbers), torch.tensor(graph.edge_index), r[neighbour] - r[centre])
    slopes = [torch.autograd.grad(energy, r, retain_graph=True)[0].numpy() for energy in energies]
    return np.einsum("ika,ikb->kab", positions[:, None] - positions[None], np.array(slopes))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-7), ("float32", 2e-5)])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_flux_virials_are_those_of_the_formula(
    make_sample: MakeSample, dtype: str, tolerance: float, layers: int
) -> None:
    sample = make_sample(dtype, layers=layers)
    numbers, positions = random_structure(40, 2.4, seed=layers)  # wider than one cutoff
    assert np.ptp(positions, axis=0).max() > 1.5 * CUTOFF
    expected = expected_virials(sample, numbers, positions)
    for threads in (1, 2):
        model = NativeModel(sample.path, threads=threads)
        answer = native_answer(model, make_graph(numbers, positions))
        virials = model.flux_virials()
        assert np.abs(virials - expected).max() < tolerance * np.abs(expected).max()
        assert np.abs(virials.sum(0) - answer.virial).max() < tolerance * np.abs(answer.virial).max()
        # nothing of it stays behind
        again = native_answer(model, make_graph(numbers, positions))
        assert (again.forces == answer.forces).all()


def test_a_periodic_solid_is_the_inside_of_a_large_one(make_sample: MakeSample) -> None:
    """In a cell smaller than the cutoff every sum goes over images, which a finite piece has as atoms."""
    model = NativeModel(make_sample("float64", layers=1).path)
    crystal = bulk("C", "diamond", a=4.6, cubic=True)
    crystal.positions += np.random.default_rng(1).uniform(-0.15, 0.15, (8, 3))
    # the energies that an atom changes are up to two cutoffs away, and depend on atoms two further
    piece = crystal.repeat((11, 11, 11))
    middle = 8 * (5 * 121 + 5 * 11 + 5)
    assert (
        np.abs(piece.positions[middle : middle + 8, None] - piece.cell.array.sum(0) * [[0], [1]]) > 4 * CUTOFF
    ).all()
    virials = []
    for atoms, periodic in ((crystal, True), (piece, False)):
        model.evaluate(atoms.numbers, atoms.positions, atoms.cell.array, periodic)
        virials.append(model.flux_virials())
    whole, inside = virials[0], virials[1][middle : middle + 8]
    assert np.abs(whole).max() > 0.01
    assert np.abs(inside - whole).max() < 1e-9 * np.abs(whole).max()
