"""The global parameter that scales the energy of a force: its name and its default."""

from __future__ import annotations

import math
import re
from numbers import Real
from typing import Any

from frames.errors import FramesError


def checked_parameter(name: Any) -> str:
    """The name, or "" for None. Raises FramesError for what OpenMM cannot parse in an expression."""
    if name is None:
        return ""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise FramesError(f"scale_parameter = {name!r}; expected a name of letters, digits and _, as 'lambda_model'")
    return name


def checked_scale(scale: Any, parameter: str | None) -> float:
    """The default value. Raises FramesError if it is no finite number, or given without a parameter."""
    if isinstance(scale, bool) or not isinstance(scale, Real) or not math.isfinite(scale):
        raise FramesError(f"scale_default = {scale!r}; expected a finite number")
    if scale != 1 and parameter is None:
        raise FramesError(f"scale_default = {scale!r} without scale_parameter; name the parameter that has this value")
    return float(scale)
