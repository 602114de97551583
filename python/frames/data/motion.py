"""Forces from motion: what consecutive frames of a run say about the one in the middle.

Positions written at every step of constant-energy velocity Verlet obey r(t+1) − 2 r(t) + r(t−1) = Δt² F(t)/m
exactly (L. Verlet, Phys. Rev. 159, 98, 1967), so the forces follow from the positions alone, up to the digits that
were kept. With frames left out, the second derivative in time takes more of them, p on each side (`reach`): by central
differences, or better with weights that are fitted to the forces of some frames (stencil.py). A stochastic thermostat
adds forces of its own; this module measures how much of all that there is, element by element, before anything learns
from it.

A thermostat that scales all velocities by one factor (Nosé-Hoover, Berendsen, Bussi) does less harm: it adds −ξ(t) m v,
a force along one direction in the space of all coordinates, the momenta. Everything here is therefore measured, and
learnt, across that direction: one of 3N components of a frame is given up, and runs of that kind serve as NVE does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import comb

import numpy as np
from ase.data import atomic_masses, chemical_symbols

from frames.data.constraints import held_fast
from frames.data.known import KnownForces, known_forces
from frames.data.periodic import displacements
from frames.data.stencil import central_difference, fitted_difference
from frames.data.timeline import chains, time_step
from frames.data.trajectory import Floats, Integers, Trajectory
from frames.errors import FramesError
from frames.units import AMU_ANGSTROM2_PER_FS2

TOLERATED = 0.05
"""Noise over force (root mean squares) at which an element keeps half of its weight."""
REFUSED_ABOVE = 0.3
"""Noise over force above which the forces of an element are not used."""
NVE_BELOW = 0.01
"""Force of a thermostat over the force up to which a run counts as NVE."""
_ORDER = 6
_SAMPLES = 2000


def forces_from_motion(trajectory: Trajectory, frames: Integers, stencil: Floats | None = None) -> Floats:
    """F(t) = m r̈(t), with r̈ = (r(t+1) − 2 r(t) + r(t−1)) / Δt² from three frames, or the like from more.

    Args:
        frames: [K,2p+1] indices (t−p, ..., t, ..., t+p), evenly spaced in time.
        stencil: [p] weights of r(t+k) + r(t−k) − 2 r(t) (frames/data/stencil.py); central differences if None.

    Returns:
        [K,N,3] eV/Å, whatever moved the atoms.
    """
    return motion(trajectory, frames, stencil)[0]


def velocities_from_motion(trajectory: Trajectory, frames: Integers) -> Floats:
    """v(t) [K,N,3] in Å/fs from frames [K,2p+1]: (r(t+1) − r(t−1)) / 2Δt, those of velocity Verlet, or from more."""
    return motion(trajectory, frames)[1]


def motion(trajectory: Trajectory, frames: Integers, stencil: Floats | None = None) -> tuple[Floats, Floats]:
    """`forces_from_motion` and `velocities_from_motion` in one go."""
    reach = np.shape(frames)[1] // 2
    central = central_difference(reach)
    first = central * np.arange(1, reach + 1) / 2  # of r(t+k) − r(t−k), in Δt ṙ(t), of the same order
    second = central if stencil is None else stencil
    moves, step = _moves(trajectory, frames)
    mass = atomic_masses[trajectory.atomic_numbers] * AMU_ANGSTROM2_PER_FS2
    before, after = moves[:reach][::-1], moves[reach:]
    forces = mass[:, None] * np.einsum("k,kpni->pni", second, after + before) / np.square(step)
    return np.asarray(forces), np.asarray(np.einsum("k,kpni->pni", first, after - before) / step)


def fit_stencil(parts: Iterable[tuple[Trajectory, Integers, Floats]], reach: int) -> Floats | None:
    """The stencil that gives the known forces of the middle frames best, across the momenta.

    Args:
        parts: runs, frames [K,2p+1] of each, and the forces [K,N,3] eV/Å of those in the middle.

    Returns:
        [p]; None if there are too few frames for a fit.
    """

    def terms() -> Iterator[tuple[Floats, Floats]]:
        for run, frames, forces in parts:
            moves, step = _moves(run, frames)
            mass = atomic_masses[run.atomic_numbers] * AMU_ANGSTROM2_PER_FS2
            sums = mass[:, None] * (moves[:reach][::-1] + moves[reach:]) / np.square(step)
            direction = momentum_direction(run.atomic_numbers, velocities_from_motion(run, frames))
            yield across(sums, direction), across(forces, direction)

    return fitted_difference(terms(), reach)


def momentum_direction(atomic_numbers: Integers, velocities: Floats) -> Floats:
    """Momenta [...,N,3] of a frame divided by their norm over all atoms; zeros where nothing moves."""
    momenta = atomic_masses[atomic_numbers][:, None] * velocities
    norm = np.sqrt(np.square(momenta).sum(axis=(-2, -1), keepdims=True))
    return np.asarray(momenta / np.where(norm > 0, norm, 1.0))


def across(vectors: Floats, direction: Floats) -> Floats:
    """What is left of [...,N,3] without the part along a direction of norm one in the space of all coordinates."""
    return np.asarray(vectors - (vectors * direction).sum(axis=(-2, -1), keepdims=True) * direction)


def _moves(trajectory: Trajectory, frames: Integers) -> tuple[Floats, Floats]:
    """r(t+k) − r(t) [2p,K,N,3] Å for every frame but the middle one, and Δt [K,1,1] fs."""
    frames = np.asarray(frames, np.int64)
    reach = frames.shape[1] // 2
    # from frame to frame, so that no atom is taken for its image
    hops = np.stack([displacements(trajectory, frames[:, k : k + 2]) for k in range(2 * reach)])
    forward, backward = hops[reach:].cumsum(axis=0), -hops[:reach][::-1].cumsum(axis=0)[::-1]
    assert trajectory.times is not None  # there are no chains without times
    step = 0.5 * (trajectory.times[frames[:, reach + 1]] - trajectory.times[frames[:, reach - 1]])
    return np.concatenate([backward, forward]), step[:, None, None]


@dataclass(frozen=True)
class MotionTest:
    """How far the forces of the motion can be trusted. Root mean squares over components, eV/Å, per element."""

    force: dict[int, float]
    noise: dict[int, float]
    """Across the momenta, where a thermostat that scales velocities adds nothing."""
    against: str
    """What the noise was measured against: "stored forces", "labels of 12 frames", or "positions alone"."""
    net: float
    """Of positions alone: net force on all atoms over what independent forces would add up to, noise taken off; 0 in
    NVE."""

    friction: float | None
    """Force of such a thermostat over the force, if stored forces tell it: 0 in NVE."""

    held: tuple[int, int] = (0, 0)
    """Bonds of constant length and atoms that never move, if positions alone were the measure: what holds them is in
    the motion, and nothing tells it from a force."""

    @property
    def weights(self) -> dict[int, float]:
        """Between 0 and 1 for every element: 1 / (1 + (noise / 5 % of the force)²), and 0 above 30 % or if anything is
        held."""
        found = {}
        for z, force in self.force.items():
            share = self.noise[z] / max(force, 1e-12)
            used = share <= REFUSED_ABOVE and not any(self.held)
            found[z] = 1.0 / (1.0 + (share / TOLERATED) ** 2) if used else 0.0
        return found

    @property
    def facts(self) -> str:
        """One line for reports: noise over force per element."""
        parts = [f"{chemical_symbols[z]} {self.noise[z] / max(f, 1e-12):.2g}" for z, f in sorted(self.force.items())]
        thermostat = f"; a thermostat adds {self.friction:.2g} of the force" if (self.friction or 0) > NVE_BELOW else ""
        bonds, atoms = self.held
        held = f"; {bonds} bonds keep their length, {atoms} atoms never move" if bonds or atoms else ""
        return f"noise over force against {self.against}: {', '.join(parts)}{thermostat}{held}"


def motion_test(
    trajectory: Trajectory, reach: int = 1, stencil: Floats | None = None, known: KnownForces | None = None
) -> MotionTest:
    """Measures the noise of forces from motion, with so many frames on each side, by the stencil if one is given.

    Where forces of frames are known, they are the measure: those that the trajectory stores, or else those of the
    labelled frames among its own. Where none are, there are three signs, and the largest counts: the sixth difference
    in time, which a smooth force does not have and rounding or a stochastic thermostat does; the net force, which
    momentum conservation forbids; and what the difference misses if frames were not saved at every step: at most
    Δt²/12 · F̈ with a reach of one, and less than what one frame more on each side changes beyond.

    Raises FramesError if the frames are not ordered, or hold too few consecutive ones.
    """
    step = time_step(trajectory)
    name = trajectory.source or "trajectory"
    if step is None:
        raise FramesError(f"{name}: forces from motion need consecutive frames and their times; give the time step")
    around = chains(trajectory, range(-reach, reach + 1))
    known = known or known_forces(trajectory)
    if known is not None and len(known.among(around)[0]):
        around, stored = known.among(_sample(known.among(around)[0]))
        found = forces_from_motion(trajectory, around, stencil)
        direction = momentum_direction(trajectory.atomic_numbers, velocities_from_motion(trajectory, around))
        rest = across(found - stored, direction)
        friction = np.sqrt(np.square(found - stored - rest).sum() / max(np.square(stored).sum(), 1e-300))
        force, noise = _per_element(trajectory, stored), _per_element(trajectory, rest)
        return MotionTest(force, noise, known.whose, 0.0, float(friction))
    half = _ORDER // 2
    long = _sample(chains(trajectory, range(-half - reach, half + reach + 1)))
    if len(long) == 0:
        raise FramesError(f"{name}: forces from motion need at least {_ORDER + 1 + 2 * reach} consecutive frames")
    width = 2 * reach + 1
    series = np.stack([forces_from_motion(trajectory, long[:, k : k + width]) for k in range(_ORDER + 1)])
    signs = np.array([(-1) ** k * comb(_ORDER, k) for k in range(_ORDER + 1)], np.float64)
    rough = np.einsum("k,kpni->pni", signs, series) / np.sqrt(np.square(signs).sum())
    middle = series[half]
    if reach == 1:
        missed = (series[half + 1] - 2 * middle + series[half - 1]) / 12
    else:
        missed = middle - forces_from_motion(trajectory, long[:, half + 1 : half + width - 1])
    independent = float(np.square(middle).sum(axis=1).mean()) or 1.0
    # what the noise of the atoms adds up to is counted already
    noise_of_sum = float(np.square(rough).sum(axis=1).mean())
    net = float(np.sqrt(max(0.0, np.square(middle.sum(axis=1)).mean() - 2 * noise_of_sum) / independent))
    force, rough_of, missed_of = (_per_element(trajectory, values) for values in (middle, rough, missed))
    noise = {z: max(rough_of[z], missed_of[z], net * force[z]) for z in force}
    return MotionTest(force, noise, "positions alone", net, None, held_fast(trajectory))


def enough_for_motion(trajectory: Trajectory) -> bool:
    """Whether there are enough consecutive frames to measure noise in positions alone."""
    half = _ORDER // 2 + 1
    return time_step(trajectory) is not None and len(chains(trajectory, range(-half, half + 1))) > 0


def require_motion(
    trajectory: Trajectory, reach: int = 1, stencil: Floats | None = None, known: KnownForces | None = None
) -> MotionTest:
    """The result of `motion_test`. Raises FramesError, with what was measured, if no element can be used."""
    test = motion_test(trajectory, reach, stencil, known)
    if not any(weight > 0 for weight in test.weights.values()):
        raise FramesError(
            f"{trajectory.source or 'trajectory'}: its motion does not give forces ({test.facts}; at most "
            f"{REFUSED_ABOVE:g} can be used, and only where no bond or atom is held). Was a stochastic thermostat on, "
            "or constraints, or were frames left out, or digits? Needed are positions of every step, or with a longer "
            "auxiliary.reach of every few, at constant energy or with a thermostat that scales all velocities, and "
            "without constraints"
        )
    return test


def atom_weights(
    trajectory: Trajectory, reach: int = 1, stencil: Floats | None = None, known: KnownForces | None = None
) -> Floats:
    """[N] the weight of each atom's force from motion. Raises FramesError as `require_motion`."""
    weights = require_motion(trajectory, reach, stencil, known).weights
    return np.array([weights[int(z)] for z in trajectory.atomic_numbers])


def labelled_by_motion(trajectory: Trajectory, reach: int = 1) -> Trajectory:
    """The frames that have so many neighbours on both sides, with the forces and velocities of the motion.

    Forces along the momenta may be those of a thermostat. Energies and virials are dropped. Raises FramesError as
    `require_motion`.
    """
    test = require_motion(trajectory, reach)
    around = chains(trajectory, range(-reach, reach + 1))
    forces, velocities = forces_from_motion(trajectory, around), velocities_from_motion(trajectory, around)
    kept = replace(trajectory[around[:, reach]], forces=forces, velocities=velocities, energies=None, virials=None)
    return kept.with_notes(f"forces are those of the motion; {test.facts}")


def _per_element(trajectory: Trajectory, values: Floats) -> dict[int, float]:
    """Root mean square of [P,N,3] for every element."""
    numbers = trajectory.atomic_numbers
    return {int(z): float(np.sqrt(np.mean(np.square(values[:, numbers == z])))) for z in np.unique(numbers)}


def _sample(frames: Integers) -> Integers:
    if len(frames) <= _SAMPLES:
        return frames
    return frames[np.linspace(0, len(frames) - 1, _SAMPLES).astype(np.int64)]
