"""The main table: all systems down, all arms across, the change of the force error against the labels alone."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from plan import MAIN
from systems import BY_NAME
from values import TITLES, BySeed, beyond_spread, by_arm, change, changes

MINUTES = 2.0  # the length of its trainings
ARMS = tuple(arm.name for arm in MAIN if arm.name != "none")
INTRODUCTION = """\
Change of the force MAE against `none` of the same seeds, `cartesian`; in bold what is beyond the spread of three seeds.
Each system is from the processor that has most rows of it; the errors themselves stand in the tables that follow."""


def overview(rows: list[dict[str, Any]]) -> str:
    """The table, and below it how often each arm is better and worse."""
    mine = [r for r in rows if (r["backbone"], r["labels"], r["minutes"]) == ("cartesian", 300, MINUTES)]
    found = {name: values for name in TITLES if (values := of_one_processor(mine, name)) and "none" in values}
    default = {r["system"]: r["default"] for r in mine if "default" in r}
    lines = [
        INTRODUCTION,
        "",
        "| force MAE against `none` | default | " + " | ".join(f"`{arm}`" for arm in ARMS) + " |",
        "|---|---|" + "---|" * len(ARMS),
    ]
    for name, values in found.items():
        cells = [against_none(values.get(arm), values["none"]) for arm in ARMS]
        chosen = default.get(name, default.get(name.removesuffix("_unknown")))
        lines.append(f"| {TITLES[name]} | `{chosen}` | {' | '.join(cells)} |")
    lines += [
        "",
        "| three seeds | systems | lower | beyond the spread | higher | beyond the spread |",
        "|---|---|---|---|---|---|",
    ]
    trained = {name: values for name, values in found.items() if name in BY_NAME}  # others are scored beside those
    lines += [f"| `{arm}` | {' | '.join(map(str, counts(trained, arm)))} |" for arm in ARMS]
    return "\n".join(lines)


def of_one_processor(rows: list[dict[str, Any]], system: str) -> dict[str, BySeed]:
    """Force errors by arm and seed, of the processor that has most of these rows."""
    places: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["system"] == system and row["task"] in ("none", *ARMS):
            places[row.get("processor", "")].append(row)
    if not places:
        return {}
    return by_arm(max(places.values(), key=len), "force_mae_mev_per_angstrom")[system]


def against_none(found: BySeed | None, none: BySeed) -> str:
    """A cell of the table."""
    if not found or not found.keys() & none.keys():
        return "–"
    text = change(found, none)
    return f"**{text}**" if beyond_spread(found, none) else text


def counts(systems: dict[str, dict[str, BySeed]], arm: str) -> list[int]:
    """Systems with three seeds; those with a lower mean error than `none`, and beyond the spread; with a higher one."""
    pairs = [(values[arm], values["none"]) for values in systems.values() if arm in values]
    told = [
        (changes(found, none).mean(), apart)
        for found, none in pairs
        if (apart := beyond_spread(found, none)) is not None
    ]
    lower, higher = [apart for mean, apart in told if mean < 0], [apart for mean, apart in told if mean >= 0]
    return [len(told), len(lower), sum(lower), len(higher), sum(higher)]
