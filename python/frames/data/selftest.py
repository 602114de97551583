"""Two tests that any MD trajectory must pass, from which wrong units, signs, orders and time steps show.

Work: E(t+1) - E(t) against -1/2 (F(t) + F(t+1)) · (r(t+1) - r(t)), the trapezoidal rule, with an error of
third order in the displacement. It ties energies to forces, whatever moves the atoms.
Verlet: r(t+1) - 2 r(t) + r(t-1) against F(t)/m, whose ratio is the square of the time step (L. Verlet, Phys.
Rev. 159, 98, 1967). It ties forces to the motion, and is exact for NVE with integrators of the Verlet family.

Both need frames that are close in time. Where they are not, which the positions say (`spacing`), only what distance
cannot explain counts against a trajectory: a wrong unit, a wrong sign, a time step that is too short.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from frames.data import verdict
from frames.data.motion import enough_for_motion, forces_from_motion, motion_test
from frames.data.periodic import displacements
from frames.data.spacing import spacing
from frames.data.timeline import TimeLine, chains, looks_consecutive, pairs, time_line, time_step
from frames.data.trajectory import DIFFERENCE, LABELS, Floats, Integers, Trajectory
from frames.data.verdict import CORRELATED, UNEXPLAINED, Finding, worst
from frames.errors import FramesError
from frames.units import AMU_ANGSTROM2_PER_FS2

_FEWEST_SAMPLES = 3
_MOST_SAMPLES = 5000
_OBEYS_BELOW = 0.1


@dataclass(frozen=True)
class WorkTest:
    """Energy differences against the work of the forces."""

    pairs: int
    correlation: float
    factor: float
    """The number by which the work must be multiplied to fit the energies best: 1 in consistent data."""
    residual: float
    """Root mean square of what is left, over that of the energy differences."""

    @property
    def factor_error(self) -> float:
        """Standard error of `factor`, from what the work leaves unexplained: √((1 / correlation² - 1) / pairs)."""
        unexplained = max(0.0, 1.0 / self.correlation**2 - 1.0) if self.correlation else float("inf")
        return float(abs(self.factor) * np.sqrt(unexplained / self.pairs))

    @property
    def unit_ratio(self) -> float:
        """Σ ΔE² / Σ ΔE W = factor / correlation²: the factor between the units where W = ΔE + noise, which lowers
        `factor` but not this. The noise is the error of the trapezoidal rule between distant frames."""
        return self.factor / self.correlation**2 if self.correlation else float("nan")


@dataclass(frozen=True)
class VerletTest:
    """Second differences of positions against accelerations."""

    triples: int
    fitted_step: float
    """fs; NaN where acceleration and force point against each other."""
    squared_step: float
    """fs²; the median over triples of the fitted ratio, negative for forces of the wrong sign."""
    residual: float
    """Median over triples of what is left, over the second difference."""
    disobeying: float
    """Fraction of triples with more than a tenth left: the part in which something else moves the atoms."""


@dataclass(frozen=True)
class SmoothTest:
    """The motion, differentiated over more frames, against accelerations."""

    fitted_step: float
    """fs between frames, for which forces are the second derivative of the motion."""
    residual: float
    """Median over frames of what is left, over the derivative: little, unless something besides these forces moved
    the atoms."""


@dataclass(frozen=True)
class SelfTest:
    """Results of both tests (None: not possible with what the trajectory has) and what they mean."""

    work: WorkTest | None
    verlet: VerletTest | None
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """The worst of the findings: "OK", "WARNING" or "FAIL"."""
        return worst(self.findings)


def self_test(trajectory: Trajectory) -> SelfTest:
    """Run every test that the trajectory allows, and say in plain words what came out.

    Frames whose order is unknown are tested as they are stored if they are evidently consecutive.
    """
    findings = [*verdict.about_labels(trajectory)]
    if trajectory.ordered:
        tested = trajectory
    elif looks_consecutive(trajectory):
        tested = replace(trajectory, times=np.arange(len(trajectory), dtype=np.float64))
    else:
        return SelfTest(None, None, (*findings, *verdict.about_unordered(trajectory)))
    line = time_line(tested)
    found = _without_jumps(pairs(tested), line)
    threes = triples(found)
    apart = spacing(tested, found, threes)
    if trajectory.ordered:
        findings += verdict.about_order(trajectory, line, apart)
    work = verlet = None
    if tested.forces is not None and tested.energies is not None and len(found) >= _FEWEST_SAMPLES:
        work = work_test(tested, found)
    if tested.forces is not None and len(threes) >= _FEWEST_SAMPLES:
        verlet = verlet_test(tested, found)
    if not trajectory.ordered and _too_coarse(work, verlet):
        return SelfTest(work, verlet, (*findings, verdict.about_coarse()))
    if work is not None:
        findings.append(verdict.about_work(work, apart))
    if trajectory.ordered and trajectory.forces is None and enough_for_motion(trajectory):
        findings.append(verdict.about_forces_of_motion(motion_test(trajectory)))
    if trajectory.metadata.get(LABELS) == DIFFERENCE:
        findings.append(verdict.about_difference())
    elif verlet is not None:
        findings.append(verdict.about_motion(verlet, work, time_step(trajectory), smooth_test(trajectory), apart))
    return SelfTest(work, verlet, tuple(findings))


def require_sound(trajectory: Trajectory) -> SelfTest:
    """The result of the self-test. Raises FramesError with the first reason if it says FAIL."""
    result = self_test(trajectory)
    for finding in result.findings:
        if finding.level == "FAIL":
            raise FramesError(f"{trajectory.source or 'trajectory'}: {finding.text}")
    return result


def _without_jumps(frames: Integers, line: TimeLine) -> Integers:
    """Pairs [P,2] less those across which atoms jump: about_order reports those, and no test holds there."""
    return frames[~np.isin(frames[:, 0], line.jumps)]


def _too_coarse(work: WorkTest | None, verlet: VerletTest | None) -> bool:
    """Neither test finds any connection, as between frames that many steps separate."""
    no_work = work is None or not abs(work.correlation) >= CORRELATED
    no_motion = verlet is None or not verlet.residual < UNEXPLAINED
    return no_work and no_motion


def work_test(trajectory: Trajectory, frames: Integers) -> WorkTest:
    """Compare energy differences with the work along these pairs [P,2] of consecutive frames.

    The trajectory must have energies and forces.
    """
    assert trajectory.energies is not None and trajectory.forces is not None
    frames = _sample(frames)
    first, second = frames.T
    moved = displacements(trajectory, frames)
    gained = trajectory.energies[second] - trajectory.energies[first]
    work = -0.5 * np.einsum("pni,pni->p", trajectory.forces[first] + trajectory.forces[second], moved)
    correlation = _cosine(gained, work)
    factor = float(gained @ work / (work @ work)) if work.any() else float("nan")
    size = float(np.sqrt(np.mean(np.square(gained))))
    residual = float(np.sqrt(np.mean(np.square(gained - work)))) / size if size else float("nan")
    return WorkTest(len(frames), correlation, factor, residual)


def verlet_test(trajectory: Trajectory, frames: Integers) -> VerletTest:
    """Compare second differences with accelerations where pairs [P,2] of consecutive frames join in threes.

    The trajectory must have forces.
    """
    from ase.data import atomic_masses

    assert trajectory.forces is not None
    before, middle, after = _sample(triples(frames)).T
    forward = displacements(trajectory, np.stack([middle, after], axis=1))
    backward = displacements(trajectory, np.stack([before, middle], axis=1))
    curvature = forward - backward
    mass = np.asarray(atomic_masses)[trajectory.atomic_numbers] * AMU_ANGSTROM2_PER_FS2
    acceleration = trajectory.forces[middle] / mass[:, None]
    fit = np.einsum("pni,pni->p", curvature, acceleration)
    norm = np.einsum("pni,pni->p", acceleration, acceleration)
    # The median is not moved by the minority of steps in which a thermostat acts.
    squared = float(np.median(fit[norm > 0] / norm[norm > 0])) if (norm > 0).any() else float("nan")
    left = np.sqrt(np.square(curvature - squared * acceleration).sum(axis=(1, 2)))
    size = np.sqrt(np.square(curvature).sum(axis=(1, 2)))
    residual = left[size > 0] / size[size > 0]
    return VerletTest(
        triples=len(middle),
        fitted_step=float(np.sqrt(squared)) if squared > 0 else float("nan"),
        squared_step=squared,
        residual=float(np.median(residual)) if len(residual) else float("nan"),
        disobeying=float(np.mean(residual > _OBEYS_BELOW)) if len(residual) else float("nan"),
    )


def smooth_test(trajectory: Trajectory) -> SmoothTest | None:
    """Forces against the second derivative of the motion over three frames on each side; None if not possible.

    So frames may lie a few steps of the integrator apart, where a second difference over three frames makes the time
    seem shorter.
    """
    step = time_step(trajectory)
    around = _sample(chains(trajectory, range(-3, 4))) if step is not None else np.empty((0, 7), np.int64)
    if trajectory.forces is None or step is None or len(around) == 0:
        return None
    stored, moved = trajectory.forces[around[:, 3]], forces_from_motion(trajectory, around)
    norm, size = (np.square(forces).sum(axis=(1, 2)) for forces in (stored, moved))
    fit = (moved * stored).sum(axis=(1, 2))
    squared = float(np.median(fit[norm > 0] / norm[norm > 0])) if (norm > 0).any() else -1.0
    if not squared > 0:
        return None
    left = np.square(moved - squared * stored).sum(axis=(1, 2))
    return SmoothTest(step * squared**0.5, float(np.median(np.sqrt(left[size > 0] / size[size > 0]))))


def triples(frames: Integers) -> Integers:
    """[K,3] frames (t-1, t, t+1) from pairs (t, t+1)."""
    if len(frames) == 0:
        return np.empty((0, 3), np.int64)
    order = np.argsort(frames[:, 0], kind="stable")
    starts = frames[order, 0]
    place = np.minimum(np.searchsorted(starts, frames[:, 1]), len(starts) - 1)
    joined = np.flatnonzero(starts[place] == frames[:, 1])
    return np.column_stack([frames[joined], frames[order[place[joined]], 1]])


def _sample(frames: Integers) -> Integers:
    if len(frames) <= _MOST_SAMPLES:
        return frames
    return frames[np.linspace(0, len(frames) - 1, _MOST_SAMPLES).astype(np.int64)]


def _cosine(a: Floats, b: Floats) -> float:
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm else float("nan")
