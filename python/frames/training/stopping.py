"""What validation errors say of the length of a training: that it can end, or that it went on for too long."""

from __future__ import annotations

import numpy as np

VALIDATION_FORCE = "validation_force_mae_mev_per_angstrom"
RISE = 1.02  # from the lowest error to the last one; less than that is scatter


def stalled(rows: list[dict[str, float]], patience: int) -> bool:
    """Whether the force error has not fallen for so many validations.

    Args:
        rows: of metrics.csv, one for each validation, at least one.
    """
    forces = [row[VALIDATION_FORCE] for row in rows]
    return len(forces) - 1 - int(np.argmin(forces)) >= patience


def note_on_length(rows: list[dict[str, float]]) -> str | None:
    """What to say of a training whose force error was lowest in its first half and rose from there.

    Where the loss on the training frames fell meanwhile, they were learnt by heart; else the training diverged.

    Args:
        rows: of metrics.csv, one for each validation; of fewer than four nothing is said.
    """
    if len(rows) < 4:
        return None
    best, last = min(rows, key=lambda row: row[VALIDATION_FORCE]), rows[-1]
    if best["step"] > last["step"] / 2 or last[VALIDATION_FORCE] < RISE * best[VALIDATION_FORCE]:
        return None
    fact = (
        f"the validation error of the forces was lowest at step {best['step']:.0f} of {last['step']:.0f}, "
        f"{best[VALIDATION_FORCE]:.1f} meV/Å, and {last[VALIDATION_FORCE]:.1f} at the end"
    )
    if last["force_loss"] >= best["force_loss"]:
        return f"{fact}, and the loss rose, too: try a lower training.learning_rate"
    return (
        f"{fact}, while the loss fell: from there on the training learnt its frames by heart. A longer one gives no "
        "more; labels of other structures may, and so may training.weight_decay = 0.01"
    )
