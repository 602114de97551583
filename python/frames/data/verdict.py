"""What the self-tests of a trajectory mean, in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from frames.data.timeline import looks_consecutive, looks_shuffled, time_line
from frames.data.trajectory import Trajectory
from frames.units import ENERGY_UNITS, conversion

if TYPE_CHECKING:
    from frames.data.motion import MotionTest
    from frames.data.selftest import VerletTest, WorkTest

LEVELS = ("OK", "WARNING", "FAIL")

# Seen in AIMD of molecules, crystals and melts from 300 to 3000 K: 0.6 to 3 eV/Å per component.
_IMPLAUSIBLE_FORCE = 8.0
_IMPLAUSIBLE_STEP = 0.15

CORRELATED = 0.9
"""Correlation of energy differences and work below which they have nothing to do with each other."""
UNEXPLAINED = 0.9
"""Part of the acceleration that forces leave unexplained when they have nothing to do with it."""


@dataclass(frozen=True)
class Finding:
    """One line of the verdict."""

    level: str
    """"OK", "WARNING" or "FAIL"."""
    text: str

    def __str__(self) -> str:
        return f"{self.level}: {self.text}"


def worst(findings: Iterable[Finding]) -> str:
    """The most serious level."""
    return max((finding.level for finding in findings), key=LEVELS.index, default="OK")


def about_labels(trajectory: Trajectory) -> Iterator[Finding]:
    """Missing labels, and forces of an implausible size."""
    # The force on a lone atom is zero, and files of isolated atoms leave it out.
    wanted = ("energies", "forces") if trajectory.atoms > 1 else ("energies",)
    missing = [key for key in wanted if getattr(trajectory, key) is None]
    if missing:
        yield Finding("WARNING", f"no {' and no '.join(missing)}: fit for unlabelled partner frames only")
    if trajectory.forces is None:
        return
    size = float(np.sqrt(np.mean(np.square(trajectory.forces)))) if trajectory.forces.size else 0.0
    if size > _IMPLAUSIBLE_FORCE:
        in_kcal = size * conversion("kcal/mol", "eV")
        yield Finding(
            "WARNING",
            f"forces of {size:.3g} eV/Å (root mean square) are implausible; if they are in kcal/mol/Å they "
            f"are {in_kcal:.2g} eV/Å: read the file with units kcal/mol",
        )


def about_order(trajectory: Trajectory) -> Iterator[Finding]:
    """Shuffled frames, gaps and jumps."""
    line = time_line(trajectory)
    if looks_shuffled(trajectory, line.step):
        yield Finding(
            "FAIL",
            f"the frames are shuffled: neighbours differ as much as frames drawn at random (ratio "
            f"{line.step_ratio:.2f}); sort them, or read them without a time step",
        )
        return
    if len(line.backward):
        yield Finding("WARNING", f"time stands still or runs backward after {_frames(line.backward)} of the file")
    if len(line.gaps):
        yield Finding("OK", f"{len(line.gaps)} gaps in time, which no pair of frames crosses")
    if len(line.jumps):
        yield Finding(
            "WARNING",
            f"the atoms jump after {_frames(line.jumps)}: five times the median displacement in one step",
        )


def about_unordered(trajectory: Trajectory) -> Iterator[Finding]:
    """Nothing to test."""
    if len(trajectory) > 1 and not looks_consecutive(trajectory):
        yield Finding("OK", "the frames are in no order: each is a sample of its own, and there are no pairs")


def about_coarse() -> Finding:
    """Frames of one run, in order, that neither test applies to."""
    return Finding(
        "WARNING",
        "the frames are successive samples of one run, too far apart in time for tests and for pairs (or their "
        "labels belong to other frames); a random split of them would leak",
    )


def about_work(test: WorkTest) -> Finding:
    """Energies against forces."""
    facts = f"correlation {test.correlation:.5f}, best factor {test.factor:.4g}, residual {test.residual:.2g}"
    if not math.isfinite(test.correlation):
        return Finding("WARNING", "work: energies or forces do not change at all")
    if abs(test.correlation) < CORRELATED:
        return Finding("FAIL", f"work: the forces do not account for the energies ({facts})")
    if test.factor < 0:
        return Finding("FAIL", f"work: the forces have the wrong sign; they are gradients ({facts})")
    if abs(test.factor - 1) > 0.1:
        unit = _energy_or_force(test.factor)
        return Finding("FAIL", f"work: energies and forces are in different units ({facts}){unit}")
    if test.correlation < 0.99:
        return Finding("WARNING", f"work: the forces account for the energies only roughly ({facts})")
    return Finding("OK", f"work: the forces account for the energies ({facts})")


def about_forces_of_motion(test: MotionTest) -> Finding:
    """Whether a trajectory that stores no forces has them in its motion."""
    if not any(weight > 0 for weight in test.weights.values()):
        return Finding("OK", f"motion: it does not give forces ({test.facts})")
    return Finding("OK", f"motion: it gives forces ({test.facts})")


def about_motion(test: VerletTest, work: WorkTest | None, step: float | None, smooth: float | None) -> Finding:
    """Forces against the motion.

    Args:
        step: fs, the time between frames that the file or the caller states.
        smooth: fs, the one for which forces are the second derivative of the motion, if that could be told.
    """
    facts = f"residual {test.residual:.2g}, {test.disobeying:.0%} of frames off by more than a tenth"
    if not test.residual < UNEXPLAINED:
        return _unexplained(facts, work is not None and work.correlation > CORRELATED, step)
    if test.squared_step < 0:
        return Finding("FAIL", f"Verlet: the forces have the wrong sign; the atoms move against them ({facts})")
    if step is None:
        return _without_step(test, facts)
    if abs(test.fitted_step / step - 1) < 0.03:
        return _right_step(test, facts)
    if smooth is not None and abs(smooth / step - 1) < 0.03:
        return Finding("OK", f"Verlet: the motion is that of the forces; frames lie a few steps apart ({facts})")
    unit = _unit_from_motion(test, step)
    if unit is not None:
        return Finding("FAIL", f"Verlet: forces look like {unit} and were read as eV/Å ({facts})")
    if test.residual > 0.3:
        return Finding(
            "WARNING",
            f"Verlet: time step {step:g} fs not confirmed ({test.fitted_step:.4g} fs fits best), since something "
            f"besides the forces moves the atoms, such as a thermostat, or frames lie many steps apart ({facts})",
        )
    return Finding("FAIL", f"Verlet: the time step is {test.fitted_step:.4g} fs, not {step:g} fs ({facts})")


def _unexplained(facts: str, labels_hold: bool, step: float | None) -> Finding:
    if labels_hold and step is None:
        return Finding(
            "WARNING",
            f"Verlet: the frames are in order, but not evenly spaced in time or too far apart ({facts}); they "
            "cannot be paired without their times, and a random split of them would leak",
        )
    if labels_hold and step is not None:
        return Finding("FAIL", f"Verlet: the frames are not evenly {step:g} fs apart ({facts}): some are left out")
    return Finding("FAIL", f"Verlet: the atoms do not move as the forces say ({facts}); shuffled frames?")


def _without_step(test: VerletTest, facts: str) -> Finding:
    fitted = f"{test.fitted_step:.4g} fs"
    text = f"Verlet: the frames are about {fitted} apart ({facts}); give the time step to pair them"
    if test.fitted_step < _IMPLAUSIBLE_STEP:
        factor = math.sqrt(conversion("eV", "kcal/mol"))
        text += f". That is very short: {test.fitted_step * factor:.3g} fs if forces are in kcal/mol/Å"
    return Finding("WARNING", text)


def _right_step(test: VerletTest, facts: str) -> Finding:
    fitted = f"{test.fitted_step:.4g} fs"
    if test.residual < 0.1 and test.disobeying < 0.1:
        return Finding("OK", f"Verlet: the atoms move as the forces say, time step {fitted} ({facts})")
    return Finding(
        "WARNING",
        f"Verlet: time step {fitted} confirmed, but something besides the forces moves the atoms, such as a "
        f"thermostat ({facts})",
    )


def _energy_or_force(factor: float) -> str:
    """Which unit explains the factor between energies and work, if any does."""
    if (unit := _force_unit(factor)) is not None:
        return f"; forces look like {unit} and were read as eV/Å"
    for unit, value in ENERGY_UNITS.items():
        if unit != "eV" and abs(factor * value - 1) < 0.05:
            return f"; energies look like {unit} and were read as eV"
    return ""


def _unit_from_motion(test: VerletTest, step: float) -> str | None:
    """The unit that explains a wrong time step. Small factors have other causes where much is unexplained, and any
    factor where nearly all is, as between frames that many steps separate."""
    ratio = test.squared_step / step**2
    believed = test.residual < 0.3 or (test.residual < 0.6 and not 0.2 < ratio < 5)
    return _force_unit(ratio) if believed else None


def _force_unit(factor: float) -> str | None:
    """The unit of forces whose value in eV/Å is within 5 % of this factor."""
    units = [f"{energy}/{length}" for energy in ENERGY_UNITS for length in ("Å", "bohr", "nm")]
    values = {unit: conversion(unit, "eV/Å") for unit in units if unit != "eV/Å"}
    near = [unit for unit, value in values.items() if abs(factor / value - 1) < 0.05]
    return min(near, key=lambda unit: abs(factor / values[unit] - 1), default=None)


def _frames(frames: np.ndarray) -> str:
    shown = ", ".join(str(frame) for frame in frames[:3])
    return f"frame {shown}" if len(frames) <= 3 else f"{len(frames)} frames ({shown}, ...)"
