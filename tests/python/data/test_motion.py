"""Forces from motion: exact where they can be, refused where they cannot, and the noise in between is measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.data import atomic_masses
from morse import NUMBERS, morse, run_morse

from frames.data import read
from frames.data.dynamics import velocity_verlet
from frames.data.motion import (
    forces_from_motion,
    labelled_by_motion,
    motion_test,
    require_motion,
    velocities_from_motion,
)
from frames.data.timeline import chains, successive
from frames.data.trajectory import Trajectory
from frames.errors import FramesError
from frames.units import AMU_ANGSTROM2_PER_FS2, BOLTZMANN


def spring_chain(frames: int, atoms: int = 6, step: float = 1.0) -> Trajectory:
    """Equal springs between neighbours in a row; velocity Verlet, every step stored."""
    numbers = np.array([6, 8] * atoms)[:atoms]
    masses = np.asarray(atomic_masses)[numbers]

    def potential(r: np.ndarray) -> tuple[float, np.ndarray]:
        bond = np.diff(r, axis=0)
        length = np.linalg.norm(bond, axis=1, keepdims=True)
        pull = 20.0 * (length - 1.5) * bond / length
        force = np.zeros_like(r)
        force[:-1] += pull
        force[1:] -= pull
        return float(10.0 * np.square(length - 1.5).sum()), force

    random = np.random.default_rng(0)
    r = np.column_stack([1.5 * np.arange(atoms), np.zeros(atoms), np.zeros(atoms)])
    r += random.normal(size=r.shape) * 0.05
    v = np.zeros_like(r)
    energy, force = potential(r)
    stored = []
    for _ in range(frames):
        stored.append((r, energy, force))
        r, v, energy, force = velocity_verlet(potential, r, v, force, masses, step)
    positions, energies, forces = (np.array(values) for values in zip(*stored, strict=True))
    return Trajectory(numbers, positions, energies=energies, forces=forces, times=np.arange(frames) * step)


def langevin(frames: int, friction: float = 0.01, step: float = 0.5) -> Trajectory:
    """The Morse molecule with a stochastic thermostat at 500 K (friction in 1/fs)."""
    start = run_morse(1)
    random = np.random.default_rng(1)
    masses = atomic_masses[NUMBERS][:, None] * AMU_ANGSTROM2_PER_FS2
    r, force = start.positions[0], start.forces[0]
    v = start.velocities[0]
    stored = []
    for _ in range(frames):
        stored.append((r, force))
        kick = random.normal(size=r.shape) * np.sqrt(2 * friction * BOLTZMANN * 500 / masses / step)
        acceleration = force / masses - friction * v + kick
        v = v + step * acceleration
        r = r + step * v
        force = morse(r)[1]
    positions, forces = (np.array(values) for values in zip(*stored, strict=True))
    return Trajectory(NUMBERS, positions, forces=forces, times=np.arange(frames) * step, source="langevin")


@pytest.mark.parametrize("run", [run_morse(200), spring_chain(200)], ids=["morse", "springs"])
def test_forces_come_back_to_rounding(run: Trajectory) -> None:
    triples = chains(run, (-1, 0, 1))
    assert len(triples) == len(run) - 2
    found = forces_from_motion(run, triples)
    assert np.abs(found - run.forces[1:-1]).max() < 1e-8
    assert all(weight > 0.999 for weight in motion_test(run).weights.values())


def test_forces_of_quantum_chemical_dynamics_come_back(tmp_path: Path) -> None:
    pytest.importorskip("tblite")
    from frames.data.generate import Settings, generate

    generate(Settings(molecule="water", steps=40, equilibration_steps=5), tmp_path / "water.h5")
    (run,) = read(tmp_path / "water.h5")
    found = labelled_by_motion(replace(run, forces=None, energies=None))
    assert len(found) == 38 and found.energies is None
    assert np.abs(found.forces - run.forces[1:-1]).max() < 1e-7


def test_positions_alone_tell_the_noise() -> None:
    run = run_morse(400)
    noise = np.random.default_rng(0).normal(size=run.positions.shape) * 2e-5
    blurred = replace(run, positions=run.positions + noise)
    with_forces, without = motion_test(blurred), motion_test(replace(blurred, forces=None))
    assert with_forces.against == "stored forces" and without.against == "positions alone"
    for z, exact in with_forces.noise.items():
        # noise of √6 σ m / Δt²; across the momenta of four atoms, that of the heavy ones is shared by the light ones
        expected = 6**0.5 * 2e-5 * atomic_masses[z] * AMU_ANGSTROM2_PER_FS2 / 0.25
        assert 0.8 * expected < exact < 3 * expected
        assert 0.8 * expected < without.noise[z] < 3 * expected
    assert with_forces.weights[6] < with_forces.weights[1] < 1


@pytest.mark.parametrize("labelled", [True, False])
def test_a_thermostat_is_refused(labelled: bool) -> None:
    run = langevin(300)
    with pytest.raises(
        FramesError, match=r"langevin: its motion does not give forces \(noise over force .* thermostat"
    ):
        require_motion(run if labelled else replace(run, forces=None))


def test_constraints_are_refused() -> None:
    """What keeps a bond at its length is a force in the motion, as smooth as any, which no potential has."""
    t = 0.5 * np.arange(400)
    angle = 0.05 * t
    bond = 0.96 * np.stack([np.cos(angle), np.sin(angle), 0 * t], axis=1)
    far = 5.0 + 0.05 * np.sin(0.3 * t)[:, None] * np.array([1.0, 0, 0])
    masses = atomic_masses[[8, 1]]
    positions = np.stack([-bond * masses[1] / masses.sum(), bond * masses[0] / masses.sum(), far, -far], axis=1)
    run = Trajectory(np.array([8, 1, 6, 6]), positions, times=t, source="rigid")
    assert motion_test(run).held == (1, 0) and not any(motion_test(run).weights.values())
    with pytest.raises(FramesError, match=r"1 bonds keep their length, 0 atoms never move.* constraints"):
        require_motion(run)
    still = run_morse(400)
    assert motion_test(replace(still, forces=None)).held == (0, 0)
    frozen = np.concatenate([still.positions, np.full((400, 1, 3), 9.0)], axis=1)
    held = motion_test(Trajectory(np.array([*NUMBERS, 29]), frozen, times=t)).held
    assert held == (0, 1)


def nose_hoover(frames: int, step: float = 0.5) -> Trajectory:
    """The Morse molecule with one Nosé-Hoover thermostat, integrated so that ξ acts on the velocity at full steps."""
    start = run_morse(1)
    masses = atomic_masses[NUMBERS][:, None] * AMU_ANGSTROM2_PER_FS2
    r, v, force = start.positions[0], start.velocities[0], start.forces[0]
    target, friction = 12 * BOLTZMANN * 300, 0.0
    stored = []
    for _ in range(frames):
        stored.append((r, force))
        half = v + 0.5 * step * (force / masses - friction * v)
        friction += step * (float((masses * half * half).sum()) / target - 1) / 400
        r = r + step * half
        force = morse(r)[1]
        v = (half + 0.5 * step * force / masses) / (1 + 0.5 * step * friction)
    positions, forces = (np.array(values) for values in zip(*stored, strict=True))
    return Trajectory(NUMBERS, positions, forces=forces, times=np.arange(frames) * step, source="nose-hoover")


def test_a_thermostat_that_scales_velocities_leaves_the_other_directions() -> None:
    run = nose_hoover(2000)
    found = forces_from_motion(run, chains(run, (-1, 0, 1)))
    plain = np.sqrt(np.mean(np.square(found - run.forces[1:-1])) / np.mean(np.square(run.forces)))
    test = motion_test(run)
    assert plain > 0.05 and test.friction == pytest.approx(plain, rel=0.05)
    assert all(test.noise[z] < 1e-3 * test.force[z] for z in test.force)
    assert "a thermostat adds" in test.facts
    assert motion_test(run_morse(100)).friction == pytest.approx(0, abs=1e-9)


def test_more_frames_make_up_for_a_coarser_stride() -> None:
    """Frames 2 fs apart: the error falls with every frame on each side, as the self-test says it does."""
    run = run_morse(4000)[::4]
    errors = []
    for reach in (1, 2, 3):
        around = chains(run, range(-reach, reach + 1))
        error = forces_from_motion(run, around) - run.forces[around[:, reach]]
        errors.append(np.sqrt(np.mean(np.square(error)) / np.mean(np.square(run.forces))))
        test = motion_test(run, reach)
        measured = np.sqrt(np.mean([test.noise[z] ** 2 for z in NUMBERS]))
        assert measured == pytest.approx(errors[-1] * np.sqrt(np.mean(np.square(run.forces))), rel=0.3)
    assert errors[0] > 0.05 and errors[1] < 0.2 * errors[0] and errors[2] < 0.6 * errors[1]


def test_differences_of_polynomials_are_exact() -> None:
    """r(t) of degree 2p, and the force of its second derivative, at the border of a periodic cell too."""
    times = np.arange(30.0)
    for reach in (1, 2, 4):
        shape = np.polynomial.Polynomial(np.random.default_rng(reach).normal(size=2 * reach + 1), domain=[0, 30])
        positions = np.zeros((30, 1, 3))
        positions[:, 0, 0] = shape(times)
        run = Trajectory(np.array([6]), positions, times=times, cells=np.broadcast_to(50 * np.eye(3), (30, 3, 3)))
        run = replace(run, pbc=np.array([True] * 3), positions=positions % 50)
        around = chains(run, range(-reach, reach + 1))
        mass = atomic_masses[6] * AMU_ANGSTROM2_PER_FS2
        middle = times[around[:, reach]]
        np.testing.assert_allclose(
            forces_from_motion(run, around)[:, 0, 0], mass * shape.deriv(2)(middle), rtol=1e-6, atol=1e-9
        )
        np.testing.assert_allclose(
            velocities_from_motion(run, around)[:, 0, 0], shape.deriv()(middle), rtol=1e-7, atol=1e-9
        )


@pytest.mark.parametrize("labelled", [True, False])
def test_a_coarse_stride_is_refused(labelled: bool) -> None:
    run = run_morse(4000)[::24]
    with pytest.raises(FramesError, match="its motion does not give forces"):
        require_motion(run if labelled else replace(run, forces=None))


def test_runs_without_order_or_too_short_are_refused() -> None:
    run = run_morse(6)
    with pytest.raises(FramesError, match="consecutive frames and their times"):
        motion_test(replace(run, times=None))
    with pytest.raises(FramesError, match="at least 9 consecutive frames"):
        motion_test(replace(run, forces=None))


def test_chains_cross_no_gap() -> None:
    run = run_morse(12)
    holed = run[[0, 1, 2, 3, 5, 6, 7, 9, 10, 11]]
    assert chains(holed, (-1, 0, 1)).tolist() == [[0, 1, 2], [1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert chains(holed, (0, 2)).tolist() == [[0, 2], [1, 3], [3, 4], [4, 6], [6, 7], [7, 9]]
    two = replace(run, runs=np.repeat([0, 1], 6))
    assert [5, 6] not in chains(two, (0, 1)).tolist()
    assert successive(holed, 1.0).tolist() == [[k, k + 1] for k in range(9)]
    assert successive(holed, 0.5).tolist() == [[0, 1], [1, 2], [2, 3], [4, 5], [5, 6], [7, 8], [8, 9]]
