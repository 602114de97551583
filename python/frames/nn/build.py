"""Backbones by name: the one place that knows which exist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import torch

from frames.errors import FramesError
from frames.nn.potential import Potential

BACKBONES = ("cartesian", "equiformer")


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """e3nn and torch.nn create parameters and constants in the default dtype; this sets it for a while."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def build_potential(
    backbone: str, settings: dict[str, Any], elements: Sequence[int], cutoff: float, dtype: torch.dtype
) -> Potential:
    """A potential with fresh parameters drawn from torch's random generator.

    Raises FramesError for an unknown backbone, a setting that it does not have or that does not fit.
    """
    with default_dtype(dtype):
        if backbone == "cartesian":
            from frames.nn.cartesian import CartesianBackbone, CartesianSettings

            network: torch.nn.Module = CartesianBackbone(
                len(elements), cutoff, _settings(CartesianSettings, backbone, settings)
            )
        elif backbone == "equiformer":
            from frames.nn.equiformer import EquiformerBackbone, EquiformerSettings

            network = EquiformerBackbone(len(elements), cutoff, _settings(EquiformerSettings, backbone, settings))
        else:
            raise FramesError(f"unknown backbone {backbone!r}; known are {', '.join(BACKBONES)}")
        return Potential(network, elements, cutoff)


def _settings(cls: Any, backbone: str, given: dict[str, Any]) -> Any:
    known = {field.name for field in fields(cls)}
    for key in given:
        if key not in known:
            raise FramesError(f"backbone {backbone}: unknown setting {key!r}; known are {', '.join(sorted(known))}")
    try:
        return cls(**given)
    except (TypeError, ValueError) as error:
        raise FramesError(f"backbone {backbone}: {error}") from None
