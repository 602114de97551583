"""What the self-tests of a trajectory mean, in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from frames.data.spacing import FARTHEST, FEWEST_PER_PERIOD, Spacing
from frames.data.timeline import TimeLine, looks_consecutive, looks_shuffled
from frames.data.trajectory import Trajectory
from frames.data.unit_guess import energy_or_force, force_unit, force_units
from frames.units import conversion

if TYPE_CHECKING:
    from frames.data.motion import MotionTest
    from frames.data.selftest import SmoothTest, VerletTest, WorkTest

LEVELS = ("OK", "WARNING", "FAIL")

# Seen in AIMD of molecules, crystals and melts from 300 to 3000 K: 0.6 to 3 eV/Å per component.
_IMPLAUSIBLE_FORCE = 8.0
_IMPLAUSIBLE_STEP = 0.15

CORRELATED = 0.9
"""Correlation of energy differences and work below which they have nothing to do with each other."""
UNEXPLAINED = 0.9
"""Part of the acceleration that forces leave unexplained when they have nothing to do with it."""
_OTHER_UNIT = 1.5
"""Factor, or one over it, that other units leave between energies and work, and distant frames do not."""
_UNALIASED = 5.0
"""fs; shorter than the period of any vibration."""
_OTHER_RESIDUAL = 0.1
"""Part of the acceleration left unexplained above which other forces than these moved the atoms."""
_OTHER_STEP = 0.15
"""By how much another method's frequencies are believed to put the fitted time step off."""
_UNRELATED = 0.5
"""Correlation of energy differences and work that frames up to half as far again as the test wants stay above."""
_FEWEST_FAR = 36
"""Pairs of distant frames that tell a correlation of 0.5 from chance by three standard deviations."""
_RESOLVED = "frames saved every 1 or 2 fs can be tested"


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


def about_order(trajectory: Trajectory, line: TimeLine, apart: Spacing) -> Iterator[Finding]:
    """Shuffled frames, gaps and jumps."""
    if looks_shuffled(trajectory, line.step) and not _moves_on(line.step, apart):
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
            f"the atoms jump after {_frames(line.jumps)}: five times as far in one step as around it",
        )


def _moves_on(step: float | None, apart: Spacing) -> bool:
    """Whether successive displacements go together, as in a short run that gets as far in one step as in several.

    In an order drawn at random each takes back half of the one before: 3 frames per period, up to 4.3 where molecules
    turn round. The fastest vibrations have more up to 2 fs, and may have little more at 5 fs.
    """
    return apart.per_period > (4.5 if step is not None and step <= 2.0 else 3.6)


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


def about_work(test: WorkTest, apart: Spacing | None = None) -> Finding:
    """Energies against forces. Frames are taken to be close where it is not said how far `apart` they are."""
    facts = f"correlation {test.correlation:.5f}, best factor {test.factor:.4g}, residual {test.residual:.2g}"
    if not math.isfinite(test.correlation):
        return Finding("WARNING", "work: energies or forces do not change at all")
    if apart is not None and not apart.short:
        return _work_far_apart(test, apart, facts)
    if abs(test.correlation) < CORRELATED:
        return _unaccounted(facts)
    if test.factor < 0:
        return _wrong_sign(facts)
    off = abs(test.factor - 1)
    if off > 0.1 + 3 * test.factor_error:
        return _different_units(facts, energy_or_force(test.factor))
    if off > 0.1 or test.correlation < 0.99:
        return Finding("WARNING", f"work: the forces account for the energies only roughly ({facts})")
    return Finding("OK", f"work: the forces account for the energies ({facts})")


def _work_far_apart(test: WorkTest, apart: Spacing, facts: str) -> Finding:
    """What shows between distant frames: sign and unit, where enough pairs tell the correlation from chance, and
    forces that account for the energies all the same."""
    related = _UNRELATED * max(1.0, math.sqrt(_FEWEST_FAR / test.pairs))
    if test.correlation < -min(related, 0.97):
        return _wrong_sign(facts)
    if test.correlation > related and not 1 / _OTHER_UNIT < test.unit_ratio < _OTHER_UNIT:
        return _different_units(facts, energy_or_force(test.unit_ratio, tolerance=0.15))
    if test.correlation < _UNRELATED and test.pairs >= _FEWEST_FAR and apart.moved < 1.5 * FARTHEST:
        return _unaccounted(facts)
    if test.correlation > 0.99 and abs(test.factor - 1) <= 0.1:
        return Finding("OK", f"work: the forces account for the energies ({facts})")
    return Finding(
        "WARNING",
        f"work: the frames are too far apart for this test: atoms move {apart.moved:.2g} Å from one to the next, and "
        f"{FARTHEST:g} Å is the most ({facts}); {_RESOLVED}",
    )


def _unaccounted(facts: str) -> Finding:
    return Finding("FAIL", f"work: the forces do not account for the energies ({facts})")


def _wrong_sign(facts: str) -> Finding:
    return Finding("FAIL", f"work: the forces have the wrong sign; they are gradients ({facts})")


def _different_units(facts: str, unit: str) -> Finding:
    return Finding("FAIL", f"work: energies and forces are in different units ({facts}){unit}")


def about_forces_of_motion(test: MotionTest) -> Finding:
    """Whether a trajectory that stores no forces has them in its motion."""
    if not any(weight > 0 for weight in test.weights.values()):
        return Finding("OK", f"motion: it does not give forces ({test.facts})")
    return Finding("OK", f"motion: it gives forces ({test.facts})")


def about_difference() -> Finding:
    """Labels of one method minus those of another."""
    return Finding("OK", "Verlet: not tested, since the labels are what two methods differ by, and moved nothing")


def about_motion(
    test: VerletTest,
    work: WorkTest | None,
    step: float | None,
    smooth: SmoothTest | None,
    apart: Spacing | None = None,
) -> Finding:
    """Forces against the motion.

    Args:
        step: fs, the time between frames that the file or the caller states.
        smooth: forces against a derivative over more frames, where there are enough in a row.
        apart: how far apart the frames are; close if None.
    """
    far = apart if apart is not None and not apart.smooth else None
    facts = f"residual {test.residual:.2g}, {test.disobeying:.0%} of frames off by more than a tenth"
    if not test.residual < UNEXPLAINED:
        if far is not None:
            return _motion_far_apart(far, facts)
        return _unexplained(facts, work is not None and work.correlation > CORRELATED, step)
    if test.squared_step < 0:
        if step is None and work is not None and work.correlation > CORRELATED and work.factor > 0:
            return Finding(
                "WARNING",
                f"Verlet: the atoms do not move as the forces say, which account for the energies: a relaxation, or "
                f"frames in another order ({facts}); they cannot be paired, and a random split of them would leak",
            )
        return Finding("FAIL", f"Verlet: the forces have the wrong sign; the atoms move against them ({facts})")
    if step is None:
        return _without_step(test, facts) if far is None else _motion_far_apart(far, facts)
    if abs(test.fitted_step / step - 1) < 0.03:
        return _right_step(test, facts)
    if _few_steps_apart(test, step, smooth, apart):
        return Finding("OK", f"Verlet: the motion is that of the forces; frames lie a few steps apart ({facts})")
    unit = _unit_from_motion(test, step) if far is None else _unit_far_apart(test, step)
    if unit is not None:
        return Finding("FAIL", f"Verlet: forces look like {unit} and were read as eV/Å ({facts})")
    # Second differences between distant frames make the time seem shorter, never longer.
    if far is not None and (test.residual > 0.3 or test.fitted_step < step):
        return _motion_far_apart(far, facts)
    if test.residual > 0.3 or _other_forces(step, smooth):
        return Finding(
            "WARNING",
            f"Verlet: time step {step:g} fs not confirmed ({test.fitted_step:.4g} fs fits best), since something "
            f"besides the forces moves the atoms, such as a thermostat or the method by which the dynamics was run, "
            f"or frames lie many steps apart ({facts})",
        )
    return Finding("FAIL", f"Verlet: the time step is {test.fitted_step:.4g} fs, not {step:g} fs ({facts})")


def _motion_far_apart(apart: Spacing, facts: str) -> Finding:
    if apart.short:
        why = f"{apart.per_period:.1f} of them to a vibration, and at least {FEWEST_PER_PERIOD:g} are needed"
    else:
        why = f"atoms move {apart.moved:.2g} Å from one to the next, and {FARTHEST:g} Å is the most"
    return Finding(
        "WARNING",
        f"Verlet: the frames are too far apart for this test and do not tell the time step: {why} ({facts}); "
        f"{_RESOLVED}",
    )


def _other_forces(step: float, smooth: SmoothTest | None) -> bool:
    """Whether other forces than these moved the atoms, as where a dearer method labels the frames of a cheap one.

    Vibrations then have other frequencies, by which the fitted step is off; but a wrong time step leaves no residual.
    """
    if smooth is None:
        return False
    return smooth.residual > _OTHER_RESIDUAL and abs(smooth.fitted_step / step - 1) < _OTHER_STEP


def _few_steps_apart(test: VerletTest, step: float, smooth: SmoothTest | None, apart: Spacing | None) -> bool:
    """Whether the stated step is the true one, and the second difference over three frames falls short of it.

    Where too few frames follow each other for a good `smooth`, a vibration says by how much: 1 - sin(π/p) / (π/p)
    with p frames to its period. Twice that is allowed, since forces are mostly those of the faster vibrations.
    """
    if smooth is not None and abs(smooth.fitted_step / step - 1) < 0.03:
        return True
    if apart is None or not apart.smooth or not math.isfinite(apart.per_period):
        return False
    angle = math.pi / apart.per_period
    return 0 < 1 - test.fitted_step / step < 0.03 + 2 * (1 - math.sin(angle) / angle)


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


def _unit_from_motion(test: VerletTest, step: float) -> str | None:
    """The unit that explains a wrong time step. Small factors have other causes where much is unexplained, and any
    factor where nearly all is, as between frames that many steps separate."""
    ratio = test.squared_step / step**2
    believed = test.residual < 0.3 or (test.residual < 0.6 and not 0.2 < ratio < 5)
    return force_unit(ratio) if believed else None


def _unit_far_apart(test: VerletTest, step: float) -> str | None:
    """The unit that explains a wrong time step where distant frames explain up to half of the factor.

    Forces that seem too large may be due to vibrations that pass more than once between two frames, unless those are
    close in time; nothing but a unit makes forces seem many times too small.
    """
    ratio = test.squared_step / step**2
    if not test.residual < 0.6 or 0.2 < ratio < 5 or (ratio < 1 and step > _UNALIASED):
        return None
    fits = {unit: value for unit, value in force_units().items() if 0.5 < ratio / value < 1.05}
    return min(fits, key=lambda unit: fits[unit], default=None)


def _frames(frames: np.ndarray) -> str:
    shown = ", ".join(str(frame) for frame in frames[:3])
    return f"frame {shown}" if len(frames) <= 3 else f"{len(frames)} frames ({shown}, ...)"
