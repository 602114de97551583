"""What a trajectory refuses, how it is cut, its pairs, gaps and duplicates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase.data import atomic_masses

from frames import FramesError
from frames.data.duplicates import find_duplicates
from frames.data.periodic import displacements, unwrap
from frames.data.timeline import looks_consecutive, pairs, time_line, time_step
from frames.data.trajectory import Trajectory, require_labels


@pytest.fixture
def toy(morse_trajectory: Trajectory) -> Trajectory:
    return morse_trajectory


def _nan_in(shape: tuple[int, ...], frame: int) -> np.ndarray:
    values = np.zeros(shape)
    values[frame] = np.nan
    return values


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions": np.zeros((5, 2))}, r"positions must have shape \[T,N,3\], got \[5, 2\]"),
        ({"positions": _nan_in((5, 2, 3), 3)}, "positions of frame 3 are not finite .* 1 of 5 frames"),
        ({"positions": np.array([["a"]])}, "positions are not an array of numbers"),
        ({"atomic_numbers": np.array([1, 1, 1])}, r"atomic_numbers must have shape \[2\]"),
        ({"atomic_numbers": np.array([1.0, 8.0])}, "atomic_numbers must be integers"),
        ({"atomic_numbers": np.array([1, 119])}, "atom 1 has atomic number 119, expected 1 to 118"),
        ({"atomic_numbers": np.array([0, 1])}, "atom 0 has atomic number 0"),
        ({"energies": np.zeros(4)}, r"energies must have shape \[5\], got \[4\]"),
        ({"energies": _nan_in((5,), 2)}, "energies of frame 2 are not finite"),
        ({"forces": np.zeros((5, 3, 3))}, r"forces must have shape \[5,2,3\], got \[5, 3, 3\]"),
        ({"forces": _nan_in((5, 2, 3), 0)}, "forces of frame 0 are not finite"),
        ({"times": np.zeros((5, 1))}, r"times must have shape \[5\]"),
        ({"runs": np.zeros(3, np.int64)}, "runs must be 5 integers"),
        ({"pbc": (True, True, True)}, "periodic directions need cells"),
        ({"pbc": (True,) * 3, "cells": np.ones((3, 3))}, "the cell of frame 0 has no volume"),
        ({"pbc": (True, False, False), "cells": np.zeros((3, 3))}, "the cell of frame 0 has no volume"),
    ],
)
def test_refuses(changes: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"atomic_numbers": np.array([1, 8]), "positions": np.zeros((5, 2, 3))}
    with pytest.raises(FramesError, match=f"file.xyz: {message}"):
        Trajectory(**{**good, **changes, "source": "file.xyz"})


def test_one_cell_serves_every_frame() -> None:
    trajectory = Trajectory(np.array([1]), np.zeros((4, 1, 3)), cells=np.eye(3) * 5, pbc=(True,) * 3)
    assert trajectory.cells is not None and trajectory.cells.shape == (4, 3, 3)


def test_slices_masks_and_indices_agree(toy: Trajectory) -> None:
    mask = np.zeros(len(toy), bool)
    mask[10:20:2] = True
    for chosen in (
        toy[10:20:2],
        toy[mask],
        toy[np.flatnonzero(mask)],
        toy[[10, 12, 14, 16, 18]],
    ):
        assert len(chosen) == 5 and chosen.atoms == toy.atoms
        for key in ("positions", "energies", "forces", "velocities", "times", "runs"):
            np.testing.assert_array_equal(getattr(chosen, key), getattr(toy, key)[mask])
    assert len(toy[7]) == 1 and len(toy[[]]) == 0


def test_require_labels(toy: Trajectory) -> None:
    require_labels(toy, "energies", "forces")
    with pytest.raises(FramesError, match="morse: no forces in this file"):
        require_labels(replace(toy, forces=None), "energies", "forces")
    with pytest.raises(ValueError, match="no field 'force'"):
        require_labels(toy, "force")


def _timed(times: list[float], runs: list[int] | None = None) -> Trajectory:
    positions = np.arange(len(times))[:, None, None] * np.ones((1, 2, 3))
    return Trajectory(
        np.array([1, 1]),
        positions,
        times=np.array(times),
        runs=np.array(runs if runs is not None else [0] * len(times)),
    )


def test_time_step_is_the_most_common_one() -> None:
    assert time_step(_timed([0, 0.5, 1.0, 4.0, 4.5, 5.0])) == pytest.approx(0.5)
    # Times in single precision, and a first frame that is not at zero.
    assert time_step(_timed(list(np.float32(np.arange(50) * 0.5 + 1e3)))) == pytest.approx(0.5, abs=1e-4)
    assert time_step(_timed([0.0])) is None
    assert time_step(replace(_timed([0, 1, 2]), times=None)) is None
    # The step from one run to the next does not count.
    assert time_step(_timed([0, 1, 100, 101, 200, 201], [0, 0, 1, 1, 2, 2])) == 1.0


def test_pairs_stay_inside_runs_and_off_gaps() -> None:
    times = [0, 1, 2, 5, 6, 7, 8, 9]
    runs = [0, 0, 0, 0, 0, 0, 1, 1]
    trajectory = _timed(times, runs)
    assert pairs(trajectory).tolist() == [[0, 1], [1, 2], [3, 4], [4, 5], [6, 7]]
    assert pairs(trajectory, stride=2).tolist() == [[0, 2], [3, 5]]
    # Three steps apart across the gap: the frames between are missing, the two are still that far apart in time.
    assert pairs(trajectory, stride=3).tolist() == [[2, 3]]
    assert pairs(trajectory, step=2.0).tolist() == [[0, 2], [3, 5]]


def test_pairs_go_by_time_not_by_place() -> None:
    trajectory = _timed([3, 0, 2, 1])
    assert pairs(trajectory).tolist() == [[1, 3], [2, 0], [3, 2]]


def test_pairs_need_an_order(toy: Trajectory) -> None:
    with pytest.raises(FramesError, match="the order of the frames is unknown, so there are no pairs"):
        pairs(replace(toy, times=None))
    with pytest.raises(FramesError, match=r"stride .* at least 1, got 0"):
        pairs(toy, stride=0)


def test_time_line_finds_gaps_jumps_and_backward_times(toy: Trajectory) -> None:
    kept = np.r_[0:100, 110:200]
    line = time_line(toy[kept])
    assert line.step == pytest.approx(0.5) and line.gaps.tolist() == [99] and len(line.jumps) == 0
    jumped = replace(toy, positions=np.concatenate([toy.positions[:200], toy.positions[:200]]))
    assert time_line(jumped).jumps.tolist() == [199]
    times = np.array(toy.times)
    times[50] = times[49]
    assert 49 in time_line(replace(toy, times=times)).backward


def test_shuffled_frames_do_not_look_consecutive(toy: Trajectory) -> None:
    order = np.random.default_rng(0).permutation(len(toy))
    assert looks_consecutive(toy) and looks_consecutive(replace(toy, times=None))
    # In another order, but each with its own time: still known which follow each other.
    assert looks_consecutive(toy[order])
    assert not looks_consecutive(replace(toy[order], times=None))
    assert not looks_consecutive(replace(toy[order], times=toy.times))


def test_duplicates_between_and_within(toy: Trajectory) -> None:
    other = toy[[300, 5, 7]]
    rounded = replace(other, positions=np.round(other.positions, 5))
    assert find_duplicates(toy, rounded).tolist() == [[5, 1], [7, 2], [300, 0]]
    twice = toy[[0, 10, 20, 10]]
    assert find_duplicates(twice).tolist() == [[1, 3]]
    assert len(find_duplicates(toy)) == 0
    assert len(find_duplicates(toy, replace(other, atomic_numbers=np.array([1, 1, 1, 1])))) == 0


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True)])
def test_unwrapping_restores_the_path(pbc: tuple[bool, bool, bool]) -> None:
    random = np.random.default_rng(3)
    path = np.cumsum(random.normal(scale=0.15, size=(300, 6, 3)), axis=0)
    # A triclinic cell that also breathes, as at constant pressure.
    cells = np.array([[4.0, 0.3, 0.0], [1.0, 4.5, 0.2], [-0.5, 0.4, 5.0]])[None] * (
        1 + 0.01 * np.sin(np.arange(300) / 20)[:, None, None]
    )
    whole = np.where(pbc, np.floor(np.einsum("tni,tij->tnj", path, np.linalg.inv(cells))), 0.0)
    wrapped = path - np.einsum("tni,tij->tnj", whole, cells)
    runs = np.repeat([0, 1], 150)
    trajectory = Trajectory(np.full(6, 3), wrapped, cells=cells, pbc=pbc, times=np.arange(300.0), runs=runs)
    restored = unwrap(trajectory)
    inside = np.diff(runs) == 0
    # Up to one lattice vector per atom and run, which breathes with the cell: compare what a step adds.
    change = np.einsum("tni,tij->tnj", np.where(pbc, whole, 0.0)[:1].repeat(300, 0), cells)
    change[150:] = np.einsum("tni,tij->tnj", whole[150:151].repeat(150, 0), cells[150:])
    np.testing.assert_allclose(
        np.diff(restored.positions + change, axis=0)[inside], np.diff(path, axis=0)[inside], atol=1e-12
    )
    assert any("crossings of periodic boundaries" in note for note in restored.notes)


def test_displacements_take_the_nearest_image() -> None:
    cell = np.array([[4.0, 0.0, 0.0], [1.0, 4.0, 0.0], [0.0, 0.5, 5.0]])
    start = np.array([[0.1, 0.1, 0.1], [2.0, 2.0, 2.0]])
    moved = np.array([[-0.2, 0.1, 0.0], [0.1, -0.3, 0.2]])
    positions = np.stack([start, start + moved + cell[0] - cell[2]])
    trajectory = Trajectory(np.array([1, 1]), positions, cells=cell, pbc=(True,) * 3)
    np.testing.assert_allclose(displacements(trajectory, np.array([[0, 1]]))[0], moved, atol=1e-12)


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True)])
def test_duplicates_in_another_image(toy: Trajectory, pbc: tuple[bool, bool, bool]) -> None:
    """Files differ in which image of an atom they hold, and in where the whole lies."""
    random = np.random.default_rng(0)
    cells = np.array([[6.0, 0, 0], [1.5, 7, 0], [-1, 2, 8]]) * (1 + 0.01 * random.random((len(toy), 1, 1)))
    run = replace(toy, cells=cells, pbc=pbc)
    images = random.integers(-2, 3, (20, toy.atoms, 3)) * pbc
    other = run[np.arange(100, 120)]
    moved = replace(other, positions=other.positions + images @ cells[100:120] + random.normal(0, 1e-6, (20, 1, 3)))
    assert find_duplicates(run, moved).tolist() == [[100 + k, k] for k in range(20)]
    elsewhere = replace(other, positions=other.positions + 0.5 * cells[100:120, :1])
    assert find_duplicates(run, elsewhere).tolist() == [[100 + k, k] for k in range(20)]
    last = np.arange(toy.atoms)[:, None] == toy.atoms - 1
    other_shape = replace(other, positions=other.positions + 0.5 * cells[100:120, :1] * last)
    assert len(find_duplicates(run, other_shape)) == 0
    if not all(pbc):
        across = replace(other, positions=other.positions + cells[100:120, 1:2] * last)
        assert len(find_duplicates(run, across)) == 0


def test_duplicates_that_were_centred(toy: Trajectory) -> None:
    """Programs and scripts take the centre of mass away: the frames are the same to a model."""
    masses = atomic_masses[toy.atomic_numbers]
    centres = np.einsum("tni,n->ti", toy.positions, masses) / masses.sum()
    centred = replace(toy, positions=toy.positions - centres[:, None])[100:110]
    assert find_duplicates(toy, centred).tolist() == [[100 + k, k] for k in range(10)]
    lone = Trajectory(np.array([1]), np.array([[[0.0, 0, 0]], [[1.0, 0, 0]]]))
    assert len(find_duplicates(lone)) == 0
