"""What rows of results.json say together: errors by system, arm and seed, and changes of the same seeds."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from plan import ARMS
from systems import BY_NAME

UNSEEN = "isomers of C7H10O2, unknown"  # scored beside the known ones
TRAINED = {name: system for system in BY_NAME.values() for name in (system.name, *dict(system.elsewhere))}
"""The system whose training gives the errors of a row."""
TITLES = {name: system.title if name == system.name else UNSEEN for name, system in TRAINED.items()}
Group = tuple[str, int, float, str]
"""Backbone, labels, minutes (0: so many steps), processor: what a table has in common."""
BySeed = dict[int, float]


def fits(name: str, arm: str) -> bool:
    """Whether what a row of that name comes from can be trained so."""
    return ARMS[arm].fits(TRAINED[name])


def group_of(row: dict[str, Any]) -> Group:
    return row["backbone"], row["labels"], row["minutes"], row.get("processor", "")


def measured_on(processor: str) -> str:
    """Where the time was measured; the first rows do not say."""
    return f" ({processor})" if processor else ""


def by_arm(rows: list[dict[str, Any]], key: str) -> dict[str, dict[str, BySeed]]:
    """What each seed gave, by system and arm."""
    found: dict[str, dict[str, BySeed]] = defaultdict(lambda: defaultdict(dict))
    for row in sorted(rows, key=lambda r: r["seed"]):
        if row[key] is not None:
            found[row["system"]][row["task"]][row["seed"]] = row[key]
    return {system: dict(arms) for system, arms in found.items()}


def cell(found: BySeed | None, base: BySeed | None) -> str:
    """Mean ± standard deviation over the seeds, and the change against `none` of the same seeds in per cent."""
    if not found:
        return "–"
    values = array(found)
    digits = 2 if values.mean() < 3 else 1
    text = f"{values.mean():.{digits}f}" + spread(values, digits)
    if base and base is not found and found.keys() & base.keys():
        text += f" ({change(found, base)})"
    return text


def array(found: BySeed) -> np.ndarray:
    return np.array(list(found.values()))


def spread(values: np.ndarray, digits: int) -> str:
    """± standard deviation, if there are several."""
    return f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""


def changes(found: BySeed, base: BySeed) -> np.ndarray:
    """Per cent, of the seeds that both have, since a seed shifts all arms alike."""
    return np.array([100 * (found[seed] / base[seed] - 1) for seed in sorted(found.keys() & base.keys())])


def change(found: BySeed, base: BySeed) -> str:
    """Mean change ± standard deviation."""
    values = changes(found, base)
    digits = 1 if len(values) > 1 and values.std(ddof=1) < 0.5 else 0
    mean = f"{values.mean():+.{digits}f}"
    return f"{mean if float(mean) else mean[1:]}{spread(values, digits)} %"  # no sign of what rounds to nothing


def beyond_spread(found: BySeed, base: BySeed) -> bool | None:
    """Whether all seeds of one are better than all of the other; None with fewer than three of either."""
    if min(len(found), len(base)) < 3:
        return None
    return max(found.values()) < min(base.values()) or min(found.values()) > max(base.values())
