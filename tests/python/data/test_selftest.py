"""The self-tests find what is wrong with a trajectory and say it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.data import atomic_masses
from morse import morse, run_morse

from frames import FramesError
from frames.data import read
from frames.data.dynamics import velocity_verlet
from frames.data.molecules import molecule
from frames.data.selftest import SelfTest, VerletTest, require_sound, self_test
from frames.data.trajectory import Trajectory
from frames.data.verdict import about_motion
from frames.data.xtb import Xtb
from frames.units import conversion

EV_IN_KCAL = conversion("eV", "kcal/mol")


@pytest.fixture
def toy(morse_trajectory: Trajectory) -> Trajectory:
    return morse_trajectory


def _texts(result: SelfTest, level: str) -> str:
    return "\n".join(finding.text for finding in result.findings if finding.level == level)


def test_good_trajectory(toy: Trajectory) -> None:
    result = self_test(toy)
    assert result.verdict == "OK"
    assert result.work is not None and result.verlet is not None
    assert result.work.correlation > 0.999 and result.work.factor == pytest.approx(1, abs=0.01)
    assert result.verlet.fitted_step == pytest.approx(0.5, rel=1e-9)
    assert result.verlet.residual < 1e-9


def test_a_relaxation_is_no_mistake() -> None:
    """Steepest descent slows down along the forces, so that second differences point against them."""
    positions, path = np.array([[0.0, 0, 0], [1.6, 0, 0]]), []
    for _ in range(12):
        energy, force = morse(positions)
        path.append((positions, energy, force))
        positions = positions + 0.02 * force / np.abs(force).max() * np.abs(positions[1, 0] - 1.3)
    arrays = [np.array(values) for values in zip(*path, strict=True)]
    run = Trajectory(np.array([7, 7]), arrays[0], energies=arrays[1], forces=arrays[2])
    result = self_test(run)
    assert result.verdict == "WARNING", [str(finding) for finding in result.findings]
    assert "a relaxation, or frames in another order" in _texts(result, "WARNING")
    require_sound(run)


@pytest.mark.parametrize("step", [0.25, 0.5, 1.0])
def test_fitted_step_is_the_true_one(step: float) -> None:
    numbers, positions = molecule("water")
    masses = np.asarray(atomic_masses)[numbers]
    potential = Xtb("GFN2-xTB", numbers, positions)
    velocities = np.random.default_rng(0).normal(size=(3, 3)) * 0.02 / np.sqrt(masses)[:, None]
    forces = potential(positions)[1]
    path, pull = [], []
    for _ in range(60):
        path.append(positions)
        pull.append(forces)
        positions, velocities, _, forces = velocity_verlet(potential, positions, velocities, forces, masses, step)
    trajectory = Trajectory(numbers, np.array(path), forces=np.array(pull), times=np.arange(60) * 0.7)
    result = self_test(trajectory)
    assert result.verlet is not None and result.verlet.fitted_step == pytest.approx(step, rel=1e-6)
    assert f"the time step is {step:g} fs, not 0.7 fs" in _texts(result, "FAIL")


def test_frames_a_few_steps_apart_are_sound() -> None:
    """The second difference over three frames falls short there, and its step with it; wrong times are still found."""
    run = run_morse(4000)[::5]
    result = self_test(run)
    assert result.verlet is not None and result.verlet.fitted_step < 0.97 * 2.5
    assert "frames lie a few steps apart" in _texts(result, "OK") and result.verdict == "OK"
    assert run.times is not None
    assert "the time step is" in _texts(self_test(replace(run, times=0.9 * run.times)), "FAIL")


@pytest.mark.parametrize("every", [1, 4])
def test_labels_of_another_method_do_not_refuse_the_time_step(every: int) -> None:
    """Dynamics by a cheap method, labelled by a dearer one whose bonds are a little longer and stiffer."""
    run = run_morse(2000)[::every]
    energies, forces = zip(*(morse(positions, width=1.45, length=1.305) for positions in run.positions), strict=True)
    dear = replace(run, energies=np.array(energies), forces=np.array(forces), velocities=None)
    result = self_test(dear)
    assert result.verlet is not None and 0.1 < result.verlet.residual < 0.3
    assert "the method by which the dynamics was run" in _texts(result, "WARNING") and result.verdict == "WARNING"
    assert dear.times is not None
    assert "the time step is" in _texts(self_test(replace(dear, times=1.4 * dear.times)), "FAIL")


def test_no_unit_is_read_into_frames_many_steps_apart() -> None:
    """A factor of ten between motion and forces means a unit only where the forces explain the motion."""
    step = 9.5
    ten = VerletTest(triples=80, fitted_step=step * 0.1**0.5, squared_step=0.1 * step**2, residual=0.85, disobeying=1.0)
    found = about_motion(ten, None, step, None)
    assert found.level == "WARNING" and "frames lie many steps apart" in found.text
    found = about_motion(replace(ten, residual=0.4), None, step, None)
    assert found.level == "FAIL" and "forces look like eV/nm" in found.text


def test_wrong_sign(toy: Trajectory) -> None:
    assert toy.forces is not None
    result = self_test(replace(toy, forces=-toy.forces))
    assert "work: the forces have the wrong sign" in _texts(result, "FAIL")
    assert "Verlet: the forces have the wrong sign" in _texts(result, "FAIL")


def test_kcal_labels_declared_as_ev(toy: Trajectory) -> None:
    assert toy.forces is not None and toy.energies is not None
    result = self_test(
        replace(
            toy,
            forces=toy.forces * EV_IN_KCAL,
            energies=toy.energies * EV_IN_KCAL,
        )
    )
    assert "Verlet: forces look like kcal/mol/Å and were read as eV/Å" in _texts(result, "FAIL")
    assert result.work is not None and result.work.factor == pytest.approx(1, abs=0.01)


def test_only_energies_in_another_unit(toy: Trajectory) -> None:
    assert toy.energies is not None
    result = self_test(replace(toy, energies=toy.energies * EV_IN_KCAL))
    assert "energies look like kcal/mol and were read as eV" in _texts(result, "FAIL")


def test_only_forces_in_another_unit(toy: Trajectory) -> None:
    assert toy.forces is not None
    result = self_test(replace(toy, forces=toy.forces * conversion("eV/Å", "Hartree/bohr")))
    assert "work: energies and forces are in different units" in _texts(result, "FAIL")
    assert "forces look like Hartree/bohr" in _texts(result, "FAIL")


def test_implausible_forces_of_unordered_frames(toy: Trajectory) -> None:
    assert toy.forces is not None
    order = np.random.default_rng(0).permutation(len(toy))
    shuffled = replace(toy[order], times=None)
    assert self_test(shuffled).verdict == "OK"
    scale = 30 / np.sqrt(np.mean(toy.forces**2))
    warned = self_test(replace(shuffled, forces=shuffled.forces * scale))
    assert "implausible" in _texts(warned, "WARNING") and "units kcal/mol" in _texts(warned, "WARNING")


def test_shuffled_frames(toy: Trajectory) -> None:
    order = np.random.default_rng(0).permutation(len(toy))
    result = self_test(replace(toy[order], times=toy.times))
    assert result.verdict == "FAIL"
    assert "the frames are shuffled" in _texts(result, "FAIL")


def test_require_sound(toy: Trajectory) -> None:
    assert require_sound(toy).verdict == "OK"
    order = np.random.default_rng(0).permutation(len(toy))
    with pytest.raises(FramesError, match="morse: the frames are shuffled: neighbours differ as much as"):
        require_sound(replace(toy[order], times=toy.times))


def test_frames_far_apart_in_time_are_not_called_shuffled(toy: Trajectory) -> None:
    # Frames 0.5 fs apart in truth, said to be 1 ps apart and in random order, as stored by a long run.
    order = np.random.default_rng(0).permutation(len(toy))
    result = self_test(replace(toy[order], forces=None, times=np.arange(len(toy)) * 1000.0))
    assert result.verdict == "WARNING" and "shuffled" not in str(result.findings)


def test_sparse_draw_with_known_times_is_not_called_shuffled(toy: Trajectory) -> None:
    kept = np.sort(np.random.default_rng(1).choice(len(toy), 120, replace=False))
    assert self_test(toy[kept]).verdict == "OK"


def test_labels_of_other_frames(toy: Trajectory) -> None:
    assert toy.forces is not None
    result = self_test(replace(toy, forces=np.roll(toy.forces, 97, axis=0)))
    assert "work: the forces do not account for the energies" in _texts(result, "FAIL")


def test_frames_left_out_show(toy: Trajectory) -> None:
    kept = np.sort(np.random.default_rng(0).choice(len(toy), 150, replace=False))
    claimed = replace(toy[kept], times=np.arange(150) * 0.5)
    assert self_test(claimed).verdict == "FAIL"
    # With their true times, the gaps are no fault.
    true = self_test(toy[kept])
    assert true.verdict == "OK" and "gaps in time" in _texts(true, "OK")


def test_consecutive_frames_without_times(toy: Trajectory) -> None:
    result = self_test(replace(toy, times=None))
    assert result.verdict == "WARNING"
    assert "the frames are about 0.5 fs apart" in _texts(result, "WARNING")


def test_no_labels(toy: Trajectory) -> None:
    result = self_test(replace(toy, forces=None, energies=None))
    assert "no energies and no forces" in _texts(result, "WARNING")
    assert "motion: it gives forces" in _texts(result, "OK")
    assert result.work is None and result.verlet is None


def test_thermostat_is_told_from_a_wrong_step(toy: Trajectory) -> None:
    random = np.random.default_rng(5)
    kicked = replace(
        toy,
        positions=toy.positions + random.normal(scale=1.5e-4, size=toy.positions.shape),
    )
    result = self_test(kicked)
    assert result.verdict == "WARNING"
    assert "something besides the forces moves the atoms" in _texts(result, "WARNING")


@pytest.mark.parametrize(
    ("name", "verdict", "step"),
    [
        ("CH4_NVE_dpdata", "OK", 1.0),
        ("CH4_300K", "OK", 1.0),
        ("CH4_500K", "OK", 1.0),
        ("CH4_1000K", "OK", 1.0),
        ("ethanol_300K", "OK", 1.0),
        ("ethanol_400K", "OK", 1.0),
        ("LiGePS_1200K", "OK", 2.0),
        ("EC_300K", "WARNING", 1.0),
        ("HC_mp-1096986_300K", "WARNING", 1.0),
    ],
)
def test_real_dynamics(shared_data: Path, name: str, verdict: str, step: float) -> None:
    (trajectory,) = read(shared_data / "aimd" / f"{name}.npz")
    result = self_test(trajectory)
    assert result.verdict == verdict
    assert result.work is not None and result.verlet is not None
    assert result.work.correlation > 0.999
    assert result.verlet.fitted_step == pytest.approx(step, rel=0.01)


def test_md17_chunk_reveals_its_time_step(shared_data: Path) -> None:
    for name in ("ethanol", "aspirin"):
        (trajectory,) = read(shared_data / "md17" / f"{name}_test.npz")
        result = self_test(trajectory)
        assert result.verlet is not None and result.verlet.fitted_step == pytest.approx(0.5, rel=0.01)
        (wrong,) = read(shared_data / "md17" / f"{name}_test.npz", time_step=1.0)
        assert "fs, not 1 fs" in _texts(self_test(wrong), "FAIL")


def test_reconstructed_times_of_lips20_hold(shared_data: Path) -> None:
    times = np.load(shared_data / "lips20" / "frame_times.npz")["t_fs_common"]
    (trajectory,) = read(shared_data / "lips20" / "Li3P")
    assert self_test(trajectory).verdict == "WARNING"
    result = self_test(replace(trajectory, times=times))
    assert result.verdict == "OK"
    assert result.verlet is not None and result.verlet.fitted_step == pytest.approx(0.5, rel=0.01)
