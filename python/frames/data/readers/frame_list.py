"""Collects single frames of any composition into trajectories."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from frames.data.trajectory import Trajectory
from frames.errors import FramesError

_PER_FRAME = {
    "cell": "cells",
    "energy": "energies",
    "forces": "forces",
    "virial": "virials",
    "velocities": "velocities",
    "time": "times",
}


@dataclass
class _Group:
    """Frames of one composition with the same periodic directions."""

    positions: list[Any] = field(default_factory=list)
    values: dict[str, list[Any]] = field(default_factory=dict)
    runs: list[int] = field(default_factory=list)
    numbers_in_file: list[int] = field(default_factory=list)


class FrameList:
    """Frames in the order of a file; those of equal atoms and boundaries become one trajectory.

    Frames of one composition that others interrupt in the file are different runs.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._groups: dict[tuple[Any, ...], _Group] = {}
        self._last: _Group | None = None
        self._frames = 0

    def add(
        self, atomic_numbers: Any, positions: Any, *, pbc: Any = False, new_run: bool = False, **values: Any
    ) -> None:
        """Append a frame; `values` are cell, energy, forces, virial, velocities, time, or None."""
        numbers = tuple(int(number) for number in atomic_numbers)
        periodic = tuple(bool(flag) for flag in np.broadcast_to(np.asarray(pbc), (3,)))
        group = self._groups.setdefault((numbers, periodic), _Group())
        run = group.runs[-1] if group.runs else 0
        group.runs.append(run if not group.runs or (group is self._last and not new_run) else run + 1)
        group.positions.append(positions)
        group.numbers_in_file.append(self._frames)
        for key, value in values.items():
            group.values.setdefault(key, []).append(value)
        self._last = group
        self._frames += 1

    def trajectories(self, notes: tuple[str, ...]) -> list[Trajectory]:
        """One trajectory per composition, in the order in which they first came.

        Raises FramesError if there are no frames, or if some frames of one composition lack a label that
        others have.
        """
        if not self._groups:
            raise FramesError(f"{self._source}: holds no frames")
        return [self._trajectory(key, group, notes) for key, group in self._groups.items()]

    def _trajectory(self, key: tuple[Any, ...], group: _Group, notes: tuple[str, ...]) -> Trajectory:
        numbers, periodic = key
        arrays: dict[str, Any] = {
            _PER_FRAME[name]: np.stack([np.asarray(value, dtype=np.float64) for value in values])
            for name, values in group.values.items()
            if self._is_complete(name, values, group)
        }
        return Trajectory(
            atomic_numbers=np.array(numbers, dtype=np.int64),
            positions=np.stack(group.positions),
            pbc=periodic,
            runs=np.array(group.runs, dtype=np.int64),
            source=self._source,
            notes=notes,
            **arrays,
        )

    def _is_complete(self, name: str, values: list[Any], group: _Group) -> bool:
        absent = [n for n, value in zip(group.numbers_in_file, values, strict=True) if value is None]
        if absent and len(absent) < len(values):
            raise FramesError(
                f"{self._source}: frame {absent[0]} has no {name}, and {len(values) - len(absent)} "
                "other frames of the same molecule have; remove one kind or the other"
            )
        return not absent
