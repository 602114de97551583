"""A time-ordered run of one molecule or one periodic box, as every reader returns it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frames.errors import FramesError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

HEAVIEST_ELEMENT = 118
_COORDINATES_AT_ONCE = 1 << 22
LABELS, DIFFERENCE = "labels", "difference"
"""Metadata of frames whose energies and forces are those of one method minus those of another."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """T frames of the same N atoms. A data set of several sizes or compositions is a list of these.

    Every array is checked and stored as float64 or int64 when the object is made; FramesError names the first
    frame or atom that cannot be right.
    """

    atomic_numbers: Integers
    """[N], 1 to 118."""
    positions: Floats
    """[T,N,3] Å. Readers unwrap those of ordered periodic runs, so that differences are displacements."""
    cells: Floats | None = None
    """[T,3,3] Å, rows are the lattice vectors; [3,3] is repeated for every frame."""
    pbc: tuple[bool, bool, bool] = (False, False, False)
    energies: Floats | None = None
    """[T] eV."""
    forces: Floats | None = None
    """[T,N,3] eV/Å."""
    virials: Floats | None = None
    """[T,3,3] eV, sum of r⊗F."""
    velocities: Floats | None = None
    """[T,N,3] Å/fs."""
    times: Floats | None = None
    """[T] fs. None where the order of the frames is unknown."""
    runs: Integers = field(default_factory=lambda: np.zeros(0, np.int64))
    """[T]; frames are consecutive only where this number is the same. Default: one run."""
    pieces: Integers = field(default_factory=lambda: np.zeros(0, np.int64))
    """[T]; and only where this one is, too. It changes inside a run where a frame is repeated or atoms jump: frames on
    both sides are no neighbours in time, but a gap between training and test still counts across it."""
    source: str = ""
    """Where the frames came from, for reports."""
    notes: tuple[str, ...] = ()
    """What a reader assumed or changed, one sentence each."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the simulation (method, time step, temperature, ...), plain numbers and strings."""
    labels_as: str = ""
    """Under what name the labels were taken from a file that may hold those of several methods: "REF_energy"."""

    def __post_init__(self) -> None:
        name = f"{self.source}: " if self.source else ""
        positions = _as_floats(name, "positions", self.positions, (None, None, 3))
        frames, atoms = positions.shape[:2]
        shapes = {
            "cells": (frames, 3, 3),
            "energies": (frames,),
            "forces": (frames, atoms, 3),
            "virials": (frames, 3, 3),
            "velocities": (frames, atoms, 3),
            "times": (frames,),
        }
        checked: dict[str, Any] = {"positions": positions}
        for key, shape in shapes.items():
            value = getattr(self, key)
            if value is not None:
                if key == "cells" and np.shape(value) == (3, 3):
                    value = np.tile(np.asarray(value), (frames, 1, 1))
                checked[key] = _as_floats(name, key, value, shape)
        checked["atomic_numbers"] = _as_elements(name, self.atomic_numbers, atoms)
        for key in ("runs", "pieces"):
            checked[key] = _as_runs(name, key, getattr(self, key), frames)
        checked["pbc"] = tuple(bool(flag) for flag in self.pbc)
        for key, value in checked.items():
            object.__setattr__(self, key, value)
        self._check_cells(name)

    def _check_cells(self, name: str) -> None:
        if not any(self.pbc):
            return
        if self.cells is None:
            raise FramesError(f"{name}periodic directions need cells, and there are none")
        lengths = np.linalg.norm(self.cells[:, self.pbc], axis=-1)
        flat = (lengths < 1e-6).any(axis=1)
        if all(self.pbc):
            flat |= np.abs(np.linalg.det(self.cells)) < 1e-6 * np.prod(lengths, axis=1)
        if flat.any():
            frame = int(np.argmax(flat))
            raise FramesError(f"{name}the cell of frame {frame} has no volume: {self.cells[frame].tolist()}")

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, frames: slice | int | Integers | NDArray[np.bool_] | list[int]) -> Trajectory:
        """The chosen frames (a slice, a mask [T], or indices), with everything that belongs to them."""
        chosen = frames if isinstance(frames, slice) else np.atleast_1d(np.asarray(frames))
        if isinstance(chosen, np.ndarray) and chosen.size == 0:
            chosen = chosen.astype(np.int64)
        per_frame = ("positions", "cells", "energies", "forces", "virials", "velocities", "times", "runs", "pieces")
        picked = {key: getattr(self, key)[chosen] for key in per_frame if getattr(self, key) is not None}
        return replace(self, **picked)

    @property
    def atoms(self) -> int:
        """Number of atoms N."""
        return len(self.atomic_numbers)

    @property
    def periodic(self) -> bool:
        """Whether any direction is periodic."""
        return any(self.pbc)

    @property
    def ordered(self) -> bool:
        """Whether the times of the frames are known."""
        return self.times is not None

    @property
    def stretches(self) -> Integers:
        """[T] a number for each piece of each run."""
        both = np.stack([self.runs, self.pieces], axis=1)
        return np.unique(both, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)

    def with_notes(self, *notes: str) -> Trajectory:
        """The same trajectory with more notes."""
        return replace(self, notes=(*self.notes, *notes))


def in_blocks(frames: Integers, atoms: int) -> list[Integers]:
    """Frames, or rows of several, in parts whose coordinates take little memory."""
    block = 1 + _COORDINATES_AT_ONCE // (1 + 3 * atoms)
    return [frames[k : k + block] for k in range(0, len(frames), block)]


def require_labels(trajectory: Trajectory, *what: str) -> None:
    """Raise FramesError unless the trajectory has these labels ("energies", "forces", "virials", ...)."""
    known = {entry.name for entry in fields(Trajectory)}
    for label in what:
        if label not in known:
            raise ValueError(f"a trajectory has no field '{label}'")
        if getattr(trajectory, label) is None:
            raise FramesError(
                f"{trajectory.source or 'trajectory'}: no {label} in this file, and they are needed here; "
                "use a file that has them, or only its positions"
            )


def _as_floats(name: str, key: str, value: Any, shape: tuple[int | None, ...]) -> Floats:
    try:
        array = np.ascontiguousarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise FramesError(f"{name}{key} are not an array of numbers: {error}") from error
    if array.ndim != len(shape) or any(w not in (None, g) for w, g in zip(shape, array.shape, strict=True)):
        wanted = "T,N,3" if None in shape else ",".join(str(size) for size in shape)
        raise FramesError(f"{name}{key} must have shape [{wanted}], got {list(array.shape)}")
    finite = np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
    if not finite.all():
        bad = np.flatnonzero(~finite)
        raise FramesError(
            f"{name}{key} of frame {bad[0]} are not finite (NaN or infinite), "
            f"as in {len(bad)} of {len(array)} frames; remove these frames"
        )
    return array


def _as_elements(name: str, value: Any, atoms: int) -> Integers:
    numbers = np.asarray(value)
    if numbers.shape != (atoms,):
        raise FramesError(
            f"{name}atomic_numbers must have shape [{atoms}], one for each atom of the positions, "
            f"got {list(numbers.shape)}"
        )
    if numbers.dtype.kind not in "iu":
        raise FramesError(f"{name}atomic_numbers must be integers, got {numbers.dtype}")
    wrong = (numbers < 1) | (numbers > HEAVIEST_ELEMENT)
    if wrong.any():
        atom = int(np.argmax(wrong))
        raise FramesError(f"{name}atom {atom} has atomic number {numbers[atom]}, expected 1 to {HEAVIEST_ELEMENT}")
    return numbers.astype(np.int64)


def _as_runs(name: str, key: str, value: Any, frames: int) -> Integers:
    runs = np.asarray(value)
    if runs.size == 0:
        return np.zeros(frames, np.int64)
    if runs.shape != (frames,) or runs.dtype.kind not in "iu":
        raise FramesError(f"{name}{key} must be {frames} integers, got {runs.dtype} {list(runs.shape)}")
    return runs.astype(np.int64)
