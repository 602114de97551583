"""Trajectories: reading, checking, splitting and generating them."""

from frames.data.readers import read
from frames.data.trajectory import Trajectory, require_labels

__all__ = ["Trajectory", "read", "require_labels"]
