"""Weights of frames from which forces follow: textbook ones, and those that a few known forces tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from morse import run_morse

from frames.data.motion import fit_stencil, forces_from_motion
from frames.data.stencil import central_difference
from frames.data.timeline import chains
from frames.data.trajectory import Floats, Trajectory


def off(run: Trajectory, reach: int, stencil: Floats | None) -> float:
    around = chains(run, range(-reach, reach + 1))
    stored = run.forces[around[:, reach]]  # type: ignore[index]
    found = forces_from_motion(run, around, stencil)
    return float(np.sqrt(np.mean(np.square(found - stored)) / np.mean(np.square(stored))))


def fitted(run: Trajectory, reach: int, frames: int) -> Floats | None:
    around = chains(run, range(-reach, reach + 1))
    labelled = around[np.linspace(0, len(around) // 2, frames).astype(int)]
    return fit_stencil([(run, labelled, run.forces[labelled[:, reach]])], reach)  # type: ignore[index]


def test_central_differences() -> None:
    np.testing.assert_allclose(central_difference(1), [1.0])
    np.testing.assert_allclose(central_difference(2), [4 / 3, -1 / 12])
    np.testing.assert_allclose(central_difference(3), [3 / 2, -3 / 20, 1 / 90])


@pytest.mark.parametrize("every", [2, 4])
def test_ten_frames_tell_the_weights(every: int) -> None:
    """Of the steps that were not stored, and of the integrator that made them; judged by the other half of the run."""
    run = run_morse(800 * every)[::every]
    stencil = fitted(run, 4, 10)
    assert stencil is not None
    later = run[400:]
    assert off(later, 4, stencil) < min(1e-3, 0.3 * off(later, 4, None))
    assert off(later, 1, None) > 0.01


def test_where_every_step_is_stored_three_frames_are_exact() -> None:
    run = run_morse(300)
    np.testing.assert_allclose(fitted(run, 1, 10), [1.0])
    np.testing.assert_allclose(fitted(run, 4, 20), [1.0, 0.0, 0.0, 0.0], atol=1e-6)


def test_a_wrong_time_step_is_not_fitted_away() -> None:
    """A constant force has to come out right, so that no weights stand for another unit or another method."""
    run = run_morse(800)[::2]
    wrong = replace(run, times=1.05 * run.times)  # type: ignore[operator]
    stencil = fitted(wrong, 4, 50)
    assert stencil is not None and np.sum(stencil * np.arange(1, 5) ** 2) == pytest.approx(1.0)
    assert off(wrong, 4, stencil) > 0.03
    assert off(run, 4, fitted(run, 4, 50)) < 1e-3


def test_too_few_forces_tell_nothing() -> None:
    run = run_morse(100)
    assert fitted(run, 6, 1) is None
    assert fit_stencil([], 2) is None
