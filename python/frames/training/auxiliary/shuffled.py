"""Control of the FRAMES task: the partner comes from anywhere in the run, not from the next time step."""

from __future__ import annotations

from frames.config import AuxiliarySection
from frames.training.auxiliary.base import Need
from frames.training.auxiliary.frames import DisplacementTask


def need(section: AuxiliarySection) -> Need:
    """One other frame of the same run."""
    return Need((0, 1), partner="random")


class ShuffledTask(DisplacementTask):
    """The displacement to a frame that has no relation in time. What it gains, time has no part in."""
