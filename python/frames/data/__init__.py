"""Trajectories: reading, checking, splitting and generating them."""
