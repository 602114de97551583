"""Frames that are far apart: correct ones are not refused, and wrong ones are where distance cannot explain them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.data import atomic_masses
from morse import run_morse

from frames.data.selftest import SelfTest, require_sound, self_test
from frames.data.spacing import spacing
from frames.data.timeline import chains, pairs
from frames.data.trajectory import Trajectory
from frames.data.verdict import about_work
from frames.units import AMU_ANGSTROM2_PER_FS2, conversion

STEP = 0.5
EVERY = (2, 4, 8, 10, 20, 40, 80)


@pytest.fixture(scope="module")
def fine() -> Trajectory:
    """X-H vibrations of 20 fs, bonds that stretch by a tenth, and rotation."""
    return run_morse(8000, STEP)


def _failures(result: SelfTest) -> str:
    return "\n".join(finding.text for finding in result.findings if finding.level == "FAIL")


def vibration(frames: int, period: float, step: float, amplitude: float = 0.05) -> Trajectory:
    """Two atoms on a spring, exact: r(t) = r₀ + A cos(2πt / period)."""
    numbers = np.array([1, 1])
    times = step * np.arange(frames)
    frequency = 2 * np.pi / period
    mass = atomic_masses[1] * AMU_ANGSTROM2_PER_FS2
    stretch = amplitude * np.cos(frequency * times + 0.3)
    positions = np.zeros((frames, 2, 3))
    positions[:, 1, 0] = 0.8 + stretch
    positions[:, 0, 0] = -stretch
    forces = np.zeros_like(positions)
    forces[:, 1, 0] = -mass * frequency**2 * stretch
    forces[:, 0, 0] = -forces[:, 1, 0]
    return Trajectory(numbers, positions, energies=mass * frequency**2 * stretch**2, forces=forces, times=times)


@pytest.mark.parametrize("count", [12.0, 7.5, 3.0])
def test_frames_per_period_and_displacement(count: float) -> None:
    """A cos(ωt + φ) moves each atom by 2A sin(ωΔt/2) |sin|, whose median over phases is √2 A sin(ωΔt/2).

    Turning depends on the phase as well, and its median is right within a tenth.
    """
    run = vibration(997, 10.1 * count, 10.1, amplitude=0.02)
    found = spacing(run, pairs(run), chains(run, (-1, 0, 1)))
    assert found.per_period == pytest.approx(count, rel=0.1)
    assert found.moved == pytest.approx(2**0.5 * 0.02 * np.sin(np.pi / count), rel=0.3)


def test_drift_of_the_whole_is_no_displacement() -> None:
    run = vibration(200, 50.0, 1.0)
    drifting = replace(run, positions=run.positions + 0.3 * np.arange(200)[:, None, None])
    before, after = (spacing(r, pairs(r), chains(r, (-1, 0, 1))) for r in (run, drifting))
    assert after.moved == pytest.approx(before.moved) and after.per_period == pytest.approx(before.per_period)


@pytest.mark.parametrize("every", EVERY)
def test_correct_frames_are_never_refused(fine: Trajectory, every: int) -> None:
    sparse = fine[::every]
    assert require_sound(sparse).verdict in ("OK", "WARNING")
    assert require_sound(replace(sparse, times=None)).verdict in ("OK", "WARNING")


def test_the_warning_says_what_would_do(fine: Trajectory) -> None:
    texts = [str(finding) for finding in self_test(fine[::40]).findings]
    assert any(t.startswith("WARNING: work: the frames are too far apart for this test: atoms move 0.2") for t in texts)
    assert any(t.startswith("WARNING: Verlet: the frames are too far apart for this test") for t in texts)
    assert all("frames saved every 1 or 2 fs can be tested" in t for t in texts)
    (verlet,) = [f.text for f in self_test(fine[::10]).findings if f.level == "WARNING"]
    assert "5.5 of them to a vibration, and at least 7 are needed" in verlet


@pytest.mark.parametrize("every", EVERY[:-1])
def test_wrong_sign_and_units_show_at_any_distance(fine: Trajectory, every: int) -> None:
    sparse = fine[::every]
    assert sparse.forces is not None and sparse.energies is not None
    assert "wrong sign" in _failures(self_test(replace(sparse, forces=-sparse.forces)))
    for unit in ("kcal/mol/Å", "Hartree/bohr", "eV/bohr"):
        wrong = replace(sparse, forces=sparse.forces * conversion("eV/Å", unit))
        assert f"forces look like {unit} and were read as eV/Å" in _failures(self_test(wrong))
    for unit in ("kcal/mol", "Hartree"):
        wrong = replace(sparse, energies=sparse.energies * conversion("eV", unit))
        assert f"energies look like {unit} and were read as eV" in _failures(self_test(wrong))


@pytest.mark.parametrize("every", [1, 4, 8, 10])
def test_kcal_labels_show_in_the_motion_up_to_5_fs(fine: Trajectory, every: int) -> None:
    sparse = fine[::every]
    assert sparse.forces is not None and sparse.energies is not None
    factor = conversion("eV", "kcal/mol")
    wrong = replace(sparse, forces=sparse.forces * factor, energies=sparse.energies * factor)
    assert "Verlet" in _failures(self_test(wrong))


@pytest.mark.parametrize("every", [1, 2, 4, 8])
def test_labels_of_other_frames_show_where_frames_are_close(fine: Trajectory, every: int) -> None:
    sparse = fine[::every]
    assert sparse.forces is not None and sparse.energies is not None
    order = np.random.default_rng(0).permutation(len(sparse))
    for wrong in (
        replace(sparse, energies=sparse.energies[order]),
        replace(sparse, forces=sparse.forces[order]),
        replace(sparse, forces=np.roll(sparse.forces, len(sparse) // 3, axis=0)),
    ):
        assert "work: the forces do not account for the energies" in _failures(self_test(wrong))
    shuffled = replace(sparse[order], times=sparse.times)
    assert "the frames are shuffled" in _failures(self_test(shuffled))


@pytest.mark.parametrize("every", [1, 2, 4, 8, 10])
def test_a_time_step_that_is_too_short_shows(fine: Trajectory, every: int) -> None:
    sparse = fine[::every]
    assert sparse.times is not None
    assert "Verlet: the time step is" in _failures(self_test(replace(sparse, times=sparse.times / 2)))
    if every <= 4:
        assert "Verlet: the time step is" in _failures(self_test(replace(sparse, times=sparse.times * 1.5)))


@pytest.mark.parametrize("every", [2, 4, 6, 8, 10])
def test_short_correct_runs_are_not_refused(fine: Trajectory, every: int) -> None:
    """Eight frames: their factor is uncertain, and one step is as long as the whole."""
    sparse = fine[::every]
    for start in range(0, len(sparse) - 8, 37):
        assert _failures(self_test(sparse[start : start + 8])) == ""


def test_a_jump_is_reported_and_left_out_of_the_tests(fine: Trajectory) -> None:
    """Two segments put together: only the pair between them is wrong, by electronvolts."""
    there = np.r_[0:60, 4000:4060]
    assert fine.times is not None and fine.energies is not None
    shifted = fine.energies + np.where(np.arange(len(fine)) < 4000, 0.0, 25.0)
    joined = replace(replace(fine, energies=shifted)[there], times=STEP * np.arange(120))
    for run in (joined, replace(joined, times=None)):
        result = self_test(run)
        assert result.verdict == "WARNING" and result.work is not None
        assert result.work.pairs == 118 and result.work.correlation > 0.999
    assert "the atoms jump after frame 59" in str(self_test(joined).findings)


def test_distant_pairs_that_are_few_prove_nothing(fine: Trajectory) -> None:
    sparse = fine[::40]
    test = self_test(sparse).work
    apart = spacing(sparse, pairs(sparse), chains(sparse, (-1, 0, 1)))
    assert test is not None and not apart.short
    unrelated = replace(test, correlation=0.7, factor=0.05, pairs=10)
    assert about_work(unrelated, apart).level == "WARNING"
    assert about_work(replace(unrelated, pairs=200), apart).level == "FAIL"
