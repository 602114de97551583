"""Forces from motion: what three consecutive frames of a velocity-Verlet run say about the middle one.

Positions written at every step of constant-energy velocity Verlet obey r(t+1) − 2 r(t) + r(t−1) = Δt² F(t)/m
exactly (L. Verlet, Phys. Rev. 159, 98, 1967), so the forces follow from the positions alone, up to the digits that
were kept. A stochastic thermostat adds forces of its own, a coarser stride averages the force over the time between
frames; this module measures how much of that there is, element by element, before anything learns from it.

A thermostat that scales all velocities by one factor (Nosé-Hoover, Berendsen, Bussi) does less harm: it adds −ξ(t) m v,
a force along one direction in the space of all coordinates, the momenta. Everything here is therefore measured, and
learnt, across that direction: one of 3N components of a frame is given up, and runs of that kind serve as NVE does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import comb

import numpy as np
from ase.data import atomic_masses, chemical_symbols

from frames.data.periodic import displacements
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


def forces_from_motion(trajectory: Trajectory, frames: Integers) -> Floats:
    """F(t) = m (r(t+1) − 2 r(t) + r(t−1)) / Δt² of each triple.

    Args:
        frames: [K,3] indices (t−1, t, t+1), evenly spaced in time.

    Returns:
        [K,N,3] eV/Å, whatever moved the atoms.
    """
    forward, backward, step = _moves(trajectory, frames)
    mass = atomic_masses[trajectory.atomic_numbers] * AMU_ANGSTROM2_PER_FS2
    return np.asarray(mass[:, None] * (forward - backward) / np.square(step))


def velocities_from_motion(trajectory: Trajectory, frames: Integers) -> Floats:
    """v(t) = (r(t+1) − r(t−1)) / 2Δt of each triple [K,3], as [K,N,3] Å/fs: those of velocity Verlet, exactly."""
    forward, backward, step = _moves(trajectory, frames)
    return np.asarray((forward + backward) / (2 * step))


def momentum_direction(atomic_numbers: Integers, velocities: Floats) -> Floats:
    """Momenta [...,N,3] of a frame divided by their norm over all atoms; zeros where nothing moves."""
    momenta = atomic_masses[atomic_numbers][:, None] * velocities
    norm = np.sqrt(np.square(momenta).sum(axis=(-2, -1), keepdims=True))
    return np.asarray(momenta / np.where(norm > 0, norm, 1.0))


def across(vectors: Floats, direction: Floats) -> Floats:
    """What is left of [...,N,3] without the part along a direction of norm one in the space of all coordinates."""
    return np.asarray(vectors - (vectors * direction).sum(axis=(-2, -1), keepdims=True) * direction)


def _moves(trajectory: Trajectory, frames: Integers) -> tuple[Floats, Floats, Floats]:
    """r(t+1) − r(t), r(t) − r(t−1) [K,N,3] Å and Δt [K,1,1] fs."""
    before, middle, after = np.asarray(frames, np.int64).reshape(-1, 3).T
    forward = displacements(trajectory, np.stack([middle, after], axis=1))
    backward = displacements(trajectory, np.stack([before, middle], axis=1))
    assert trajectory.times is not None  # there are no triples without times
    step = 0.5 * (trajectory.times[after] - trajectory.times[before])
    return forward, backward, step[:, None, None]


@dataclass(frozen=True)
class MotionTest:
    """How far the forces of the motion can be trusted. Root mean squares over components, eV/Å, per element."""

    force: dict[int, float]
    noise: dict[int, float]
    """Across the momenta, where a thermostat that scales velocities adds nothing."""
    against: str
    """What the noise was measured against: "stored forces", or "positions alone"."""
    net: float
    """Of positions alone: net force on all atoms over what independent forces would add up to, noise taken off; 0 in
    NVE."""

    friction: float | None
    """Force of such a thermostat over the force, if stored forces tell it: 0 in NVE."""

    @property
    def weights(self) -> dict[int, float]:
        """Between 0 and 1 for every element: 1 / (1 + (noise / 5 % of the force)²), and 0 above 30 %."""
        found = {}
        for z, force in self.force.items():
            share = self.noise[z] / max(force, 1e-12)
            found[z] = 0.0 if not share <= REFUSED_ABOVE else 1.0 / (1.0 + (share / TOLERATED) ** 2)
        return found

    @property
    def facts(self) -> str:
        """One line for reports: noise over force per element."""
        parts = [f"{chemical_symbols[z]} {self.noise[z] / max(f, 1e-12):.2g}" for z, f in sorted(self.force.items())]
        thermostat = f"; a thermostat adds {self.friction:.2g} of the force" if (self.friction or 0) > NVE_BELOW else ""
        return f"noise over force against {self.against}: {', '.join(parts)}{thermostat}"


def motion_test(trajectory: Trajectory) -> MotionTest:
    """Measures the noise of forces from motion.

    Where the trajectory stores forces, they are the measure. Where it does not, there are three signs, and the largest
    counts: the sixth difference in time, which a smooth force does not have and rounding or a stochastic thermostat
    does; the net force, which momentum conservation forbids; and Δt²/12 · F̈, what a second difference over the time
    between frames misses at most if they were not saved at every step.

    Raises FramesError if the frames are not ordered, or hold too few consecutive ones.
    """
    step = time_step(trajectory)
    name = trajectory.source or "trajectory"
    if step is None:
        raise FramesError(f"{name}: forces from motion need consecutive frames and their times; give the time step")
    triples = chains(trajectory, (-1, 0, 1))
    if trajectory.forces is not None and len(triples):
        triples = _sample(triples)
        found = forces_from_motion(trajectory, triples)
        stored = trajectory.forces[triples[:, 1]]
        direction = momentum_direction(trajectory.atomic_numbers, velocities_from_motion(trajectory, triples))
        rest = across(found - stored, direction)
        friction = np.sqrt(np.square(found - stored - rest).sum() / max(np.square(stored).sum(), 1e-300))
        force, noise = _per_element(trajectory, stored), _per_element(trajectory, rest)
        return MotionTest(force, noise, "stored forces", 0.0, float(friction))
    half = _ORDER // 2
    long = _sample(chains(trajectory, range(-half - 1, half + 2)))
    if len(long) == 0:
        raise FramesError(f"{name}: forces from motion need at least {_ORDER + 3} consecutive frames")
    series = np.stack([forces_from_motion(trajectory, long[:, k : k + 3]) for k in range(_ORDER + 1)])
    signs = np.array([(-1) ** k * comb(_ORDER, k) for k in range(_ORDER + 1)], np.float64)
    rough = np.einsum("k,kpni->pni", signs, series) / np.sqrt(np.square(signs).sum())
    missed = (series[half + 1] - 2 * series[half] + series[half - 1]) / 12
    middle = series[half]
    independent = float(np.square(middle).sum(axis=1).mean()) or 1.0
    # what the noise of the atoms adds up to is counted already
    noise_of_sum = float(np.square(rough).sum(axis=1).mean())
    net = float(np.sqrt(max(0.0, np.square(middle.sum(axis=1)).mean() - 2 * noise_of_sum) / independent))
    force, rough_of, missed_of = (_per_element(trajectory, values) for values in (middle, rough, missed))
    noise = {z: max(rough_of[z], missed_of[z], net * force[z]) for z in force}
    return MotionTest(force, noise, "positions alone", net, None)


def enough_for_motion(trajectory: Trajectory) -> bool:
    """Whether there are enough consecutive frames to measure noise in positions alone."""
    half = _ORDER // 2 + 1
    return time_step(trajectory) is not None and len(chains(trajectory, range(-half, half + 1))) > 0


def require_motion(trajectory: Trajectory) -> MotionTest:
    """The result of `motion_test`. Raises FramesError, with what was measured, if no element can be used."""
    test = motion_test(trajectory)
    if not any(weight > 0 for weight in test.weights.values()):
        raise FramesError(
            f"{trajectory.source or 'trajectory'}: its motion does not give forces ({test.facts}; at most "
            f"{REFUSED_ABOVE:g} can be used). Was a stochastic thermostat on, or were frames left out, or digits? "
            "Needed are positions of every step, at constant energy or with a thermostat that scales all velocities"
        )
    return test


def atom_weights(trajectory: Trajectory) -> Floats:
    """[N] the weight of each atom's force from motion. Raises FramesError as `require_motion`."""
    weights = require_motion(trajectory).weights
    return np.array([weights[int(z)] for z in trajectory.atomic_numbers])


def labelled_by_motion(trajectory: Trajectory) -> Trajectory:
    """The frames that have a neighbour on both sides, with the forces and velocities of the motion.

    Forces along the momenta may be those of a thermostat. Energies and virials are dropped. Raises FramesError as
    `require_motion`.
    """
    test = require_motion(trajectory)
    triples = chains(trajectory, (-1, 0, 1))
    forces, velocities = forces_from_motion(trajectory, triples), velocities_from_motion(trajectory, triples)
    kept = replace(trajectory[triples[:, 1]], forces=forces, velocities=velocities, energies=None, virials=None)
    return kept.with_notes(f"forces are those of the motion; {test.facts}")


def _per_element(trajectory: Trajectory, values: Floats) -> dict[int, float]:
    """Root mean square of [P,N,3] for every element."""
    numbers = trajectory.atomic_numbers
    return {int(z): float(np.sqrt(np.mean(np.square(values[:, numbers == z])))) for z in np.unique(numbers)}


def _sample(frames: Integers) -> Integers:
    if len(frames) <= _SAMPLES:
        return frames
    return frames[np.linspace(0, len(frames) - 1, _SAMPLES).astype(np.int64)]
