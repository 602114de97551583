"""Times that a file keeps in single precision: evenly spaced ones are put back on their grid.

Single precision has seven digits: 1 ns after its start, a run that is stored every 0.5 fs has steps of 0.488 and
0.549 fs. Forces from motion go with the square of the step, and frames that are one step apart could not be told.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from frames.data.trajectory import Floats

_ROUNDINGS = 2.0
"""Roundings by which the difference of two times may be off: one each, and as much for what wrote them."""
MOVED = "times, which are in single precision, are taken as evenly spaced"
"""A note for times that `on_grid` has moved."""


def stored_times(values: NDArray[Any]) -> tuple[Floats, bool]:
    """[T] times as a file has them in double precision; those in single precision by `on_grid`, and whether moved."""
    if values.dtype.kind == "f" and values.dtype.itemsize == 4:  # in either order of bytes
        return on_grid(values.astype(np.float32))
    return np.array(values, np.float64), False


def on_grid(times: NDArray[Any], rounding: float | None = None) -> tuple[Floats, bool]:
    """[T] times in double precision, and whether they were moved to a grid.

    Args:
        rounding: of the times, in their unit; that of single precision if not given.

    Stretches whose steps are all the same up to rounding get equal steps, and stretches that lie a whole number of
    steps apart one common grid. Times that no grid explains are left as they are.
    """
    given = np.asarray(times, np.float64)
    if len(given) < 3 or not np.isfinite(given).all():
        return given, False
    off = _ROUNDINGS * (float(np.spacing(np.float32(np.abs(given).max()))) if rounding is None else rounding)
    steps = np.diff(given)
    usual = float(np.median(steps))
    if usual <= 0:
        return given, False
    ends = np.flatnonzero(np.abs(steps - usual) > max(off, 1e-3 * usual))
    starts, stops = np.concatenate([[0], ends + 1]), np.concatenate([ends + 1, [len(given)]])
    longest = int(np.argmax(stops - starts))
    count = int(stops[longest] - starts[longest]) - 1
    if count < 2:
        return given, False
    step = (given[stops[longest] - 1] - given[starts[longest]]) / count
    found = np.empty_like(given)
    for start, stop in zip(starts, stops, strict=True):
        places = step * np.arange(stop - start)
        first = given[start] + float(np.mean(given[start:stop] - given[start] - places))
        if start > 0:
            apart = given[start] - given[start - 1]
            whole = round(apart / step)
            if whole >= 1 and abs(apart - whole * step) <= off:
                first = found[start - 1] + whole * step
        found[start:stop] = first + places
    # a clock that runs differently later on is no grid
    return (found, True) if np.abs(found - given).max() <= off else (given, False)
