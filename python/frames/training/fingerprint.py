"""What data a training saw, in few bytes, so that it does not go on with others."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.symbols import Symbols

from frames.data.trajectory import Trajectory
from frames.training.roles import TrainingData

ARRAYS = ("positions", "cells", "energies", "forces", "virials", "times", "runs")
ROLES = ("train", "validation", "test")


def fingerprint(data: TrainingData) -> dict[str, Any]:
    """Of every trajectory its atoms, its length and hashes of its arrays, and which frames have which role.

    Plain numbers, strings and tensors, as checkpoints may hold.
    """
    return {
        "trajectories": [_of_trajectory(run, t in data.force_weights) for t, run in enumerate(data.trajectories)],
        # in their order, which decides the batches
        "roles": {role: torch.tensor(getattr(data, role), dtype=torch.int64).reshape(-1, 2) for role in ROLES},
    }


def data_difference(old: dict[str, Any], new: dict[str, Any]) -> str | None:
    """In words what differs first between two fingerprints, None if nothing does. Names of files do not count."""
    before, now = old["trajectories"], new["trajectories"]
    if len(before) != len(now):
        return f"the number of trajectories was {len(before)} ({_names(before)}), now it is {len(now)} ({_names(now)})"
    for t, (one, two) in enumerate(zip(before, now, strict=True)):
        if found := _trajectory_difference(one, two):
            place = f" (trajectory {t})" if len(now) > 1 else ""
            return f"{two['source'] or 'a trajectory'}{place} {found}"
    for role in ROLES:
        one, two = old["roles"][role], new["roles"][role]
        if not torch.equal(one, two):
            return f"the {role} frames are not those that they were ({len(one)} before, {len(two)} now)"
    return None


def _of_trajectory(run: Trajectory, by_motion: bool) -> dict[str, Any]:
    # Forces of the motion follow from positions and times. Computed, they may end in other digits on another processor,
    # where the training may go on all the same.
    derived = ("forces",) if by_motion else ()
    return {
        "source": Path(run.source).name,
        "atomic_numbers": run.atomic_numbers.tolist(),
        "pbc": list(run.pbc),
        "frames": len(run),
        "arrays": {key: _hash(getattr(run, key)) for key in ARRAYS if key not in derived},
    }


def _hash(array: np.ndarray | None) -> str | None:
    # the buffer itself, not a copy: gigabytes of positions take seconds
    return None if array is None else hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def _trajectory_difference(old: dict[str, Any], new: dict[str, Any]) -> str | None:
    if old["atomic_numbers"] != new["atomic_numbers"]:
        before, now = (Symbols(run["atomic_numbers"]).get_chemical_formula() for run in (old, new))
        return "has its atoms in another order" if before == now else f"held {before}, now it holds {now}"
    for key, what in (("frames", "frames"), ("pbc", "periodic directions")):
        if old[key] != new[key]:
            return f"had other {what}: {old[key]} before, {new[key]} now"
    changed = [key for key in ARRAYS if old["arrays"].get(key) != new["arrays"].get(key)]
    return f"has other {', '.join(changed)}" if changed else None


def _names(trajectories: list[dict[str, Any]]) -> str:
    return ", ".join(dict.fromkeys(run["source"] or "unnamed" for run in trajectories))
