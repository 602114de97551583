"""Splits that keep test frames out of training, in every role."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from frames import FramesError
from frames.data import read
from frames.data.splits import (
    Split,
    choose_labelled,
    partner_pairs,
    split_by_molecule,
    split_by_time,
    split_random,
)
from frames.data.trajectory import Trajectory


@pytest.fixture
def toy(morse_trajectory: Trajectory) -> Trajectory:
    """400 consecutive frames."""
    return morse_trajectory


@pytest.fixture
def unordered(morse_trajectory: Trajectory) -> Trajectory:
    order = np.random.default_rng(0).permutation(len(morse_trajectory))
    return replace(morse_trajectory[order], times=None)


def test_blocks_in_time_with_gaps(toy: Trajectory) -> None:
    split = split_by_time(toy, 200, 50, 100, gap=20)
    assert split.train.tolist() == list(range(200))
    assert split.validation.tolist() == list(range(220, 270))
    assert split.test.tolist() == list(range(290, 390))
    assert split.kind == "time blocks, 20 frames between them"
    split.check_gap()


def test_fractions_count_what_the_gaps_leave(toy: Trajectory) -> None:
    split = split_by_time(toy, 0.7, 0.1, 0.2, gap=25)
    assert (len(split.train), len(split.validation), len(split.test)) == (245, 35, 70)
    assert split.test[-1] == 399
    mixed = split_by_time(toy, 1.0, 30, 70)
    assert (len(mixed.train), len(mixed.validation), len(mixed.test)) == (300, 30, 70)


def test_no_gap_is_left_around_an_empty_part(toy: Trajectory) -> None:
    split = split_by_time(toy, 0.8, 0.2, 0, gap=40)
    assert len(split.train) + len(split.validation) == 360 and len(split.test) == 0
    assert split.validation[0] - split.train[-1] == 41


@pytest.mark.parametrize(
    ("parts", "gap", "message"),
    [
        ((300, 60, 60), 0, r"morse: 300 \+ 60 \+ 60 frames with gaps of 0 cannot be taken from 400"),
        ((300, 50, 50), 1, "cannot be taken from 400"),
        ((0.8, 0.2, 0.2), 0, "cannot be taken from 400"),
        ((0.5, 0.2, 0.3), 300, "cannot be taken from 400"),
        ((0.001, 0.5, 0.3), 0, "no frames are left for training"),
        ((10.5, 1, 1), 0, "train must be a number of frames or a fraction up to 1, got 10.5"),
        ((10, -1, 1), 0, "validation must be a number of frames or a fraction"),
        ((10, 10, 10), -1, "the gap must be a number of frames, got -1"),
    ],
)
def test_blocks_that_do_not_fit(toy: Trajectory, parts: tuple[float, float, float], gap: int, message: str) -> None:
    with pytest.raises(FramesError, match=message):
        split_by_time(toy, *parts, gap=gap)


def test_unordered_data_is_not_split_by_time(unordered: Trajectory) -> None:
    with pytest.raises(FramesError, match="the order of the frames is unknown, so they cannot be split by time"):
        split_by_time(unordered, 0.8, 0.1, 0.1)


def test_order_of_the_file_is_that_of_time(toy: Trajectory) -> None:
    """But for a few steps back, where a file is made of several pieces."""
    pieces = replace(toy, times=np.concatenate([np.arange(200), np.arange(200)]) * 0.5)
    assert len(split_by_time(pieces, 0.7, 0.1, 0.2, gap=10).train) == 266
    with pytest.raises(FramesError, match=r"not stored in the order of their times \(frame 1 is no later than the one"):
        split_by_time(toy[::-1], 0.7, 0.1, 0.2)


def test_random_split_of_unordered_data(unordered: Trajectory) -> None:
    split = split_random(unordered, 0.5, 50, 0.25, seed=3)
    joined = np.concatenate([split.train, split.validation, split.test])
    assert len(np.unique(joined)) == len(joined) == 175 + 50 + 87
    assert split.kind == "random frames of unordered data"
    again = split_random(unordered, 0.5, 50, 0.25, seed=3)
    np.testing.assert_array_equal(split.train, again.train)
    assert not np.array_equal(split.train, split_random(unordered, 0.5, 50, 0.25, seed=4).train)
    split.check_gap()


def test_random_split_of_consecutive_frames_is_refused(toy: Trajectory) -> None:
    for trajectory in (toy, replace(toy, times=None)):
        with pytest.raises(FramesError, match="its frames are consecutive, and a random split would put near copies"):
            split_random(trajectory, 0.8, 0.1, 0.1)


def test_random_split_of_the_ordered_md17_chunk_is_refused(shared_data: Path) -> None:
    (chunk,) = read(shared_data / "md17" / "ethanol_test.npz")
    with pytest.raises(FramesError, match="its frames are consecutive"):
        split_random(chunk, 0.8, 0.1, 0.1)
    (drawn,) = read(shared_data / "md17" / "ethanol_train.npz")
    assert len(split_random(drawn, 0.8, 0.1, 0.1).train) == 760


def test_check_gap_sees_partners(toy: Trajectory) -> None:
    split = split_by_time(toy, 200, 50, 50, gap=10)
    split.check_gap(np.arange(200))
    with pytest.raises(FramesError, match=r"frame 210 is used in training and lies 0 frames from validation frame 210"):
        split.check_gap(np.r_[np.arange(200), 210])
    with pytest.raises(FramesError, match=r"frame 200 is used in training .* more than 10 are needed"):
        split.check_gap(np.r_[np.arange(200), 200])
    with pytest.raises(FramesError, match=r"lies 5 frames from test frame 319"):
        split.check_gap(np.array([324]))


def test_check_gap_holds_inside_runs_only(toy: Trajectory) -> None:
    runs = np.repeat([0, 1], 200)
    split = split_by_time(replace(toy, runs=runs), 200, 100, 50, gap=0)
    near = Split(split.train, split.validation, split.test, split.kind, gap=10, runs=runs)
    near.check_gap(np.arange(200))
    with pytest.raises(FramesError, match="frame 190 is used in training and lies 10 frames from validation frame 200"):
        Split(split.train, split.validation, split.test, split.kind, gap=10).check_gap(np.arange(200))
    # A frame that is itself held out is never allowed.
    with pytest.raises(FramesError, match="frame 205 is used in training and lies 0 frames"):
        near.check_gap(np.array([205]))


def test_split_by_molecule() -> None:
    def single(number: int, frames: int) -> Trajectory:
        return Trajectory(np.array([number, 1]), np.zeros((frames, 2, 3)))

    trajectories = [single(number, 3) for number in range(1, 11)] + [single(5, 2)]
    split = split_by_molecule(trajectories, 0.6, 0.2, 0.2, seed=1)
    parts = [split.train, split.validation, split.test]
    assert sorted(np.concatenate(parts).tolist()) == list(range(11))
    assert split.kind == "whole molecules"
    # Both trajectories of the same molecule are in the same part.
    assert any({4, 10} <= set(part.tolist()) for part in parts)
    with pytest.raises(FramesError, match="cannot be taken from 10"):
        split_by_molecule(trajectories, 9, 2, 2)


def test_labelled_frames_and_their_partners(toy: Trajectory) -> None:
    split = split_by_time(toy, 200, 50, 50, gap=10)
    labelled = choose_labelled(split.train, 60, seed=2)
    assert len(np.unique(labelled)) == 60 and np.isin(labelled, split.train).all()
    assert (np.diff(labelled) > 0).all()
    np.testing.assert_array_equal(labelled, choose_labelled(split.train, 60, seed=2))
    assert not np.array_equal(labelled, choose_labelled(split.train, 60, seed=3))
    evenly = choose_labelled(split.train, 50, evenly=True)
    assert evenly[0] == 0 and evenly[-1] == 199 and np.ptp(np.diff(evenly)) <= 1
    everything = choose_labelled(split.train, 200)
    found = partner_pairs(toy, everything, split.train, stride=3)
    assert found[:, 1].max() == 199 and len(found) == 197
    assert (found[:, 1] - found[:, 0] == 3).all()
    split.check_gap(found)
    some = partner_pairs(toy, labelled, split.train)
    assert np.isin(some[:, 0], labelled).all() and len(some) >= 59
    with pytest.raises(FramesError, match="cannot choose 201 labelled frames out of 200"):
        choose_labelled(split.train, 201)
