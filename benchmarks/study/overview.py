"""The main table: all systems down, all arms across, the change of the force error against the labels alone."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from picture import PICTURE, draw
from plan import MAIN
from systems import BY_NAME
from values import TITLES, TRAINED, BySeed, beyond_spread, by_arm, change, changes, fits

MINUTES = 2.0  # the length of its trainings
FORCE, ENERGY = "force_mae_mev_per_angstrom", "energy_mae_mev"
ARMS = tuple(arm.name for arm in MAIN if arm.name != "none")
INTRODUCTION = """\
Change of the force MAE against `none` of the same seeds, `cartesian`; in bold what is beyond the spread of three seeds;
–: no rows yet; n/a: the system cannot be trained so, for want of frames in order or of motion from which forces follow.
Each system is from the processor that has most rows of it; the errors themselves are in benchmarks/study/tables.md."""


def overview(rows: list[dict[str, Any]], folder: str) -> str:
    """The table, its picture, and below it how often each arm is better and worse, in forces and in energies.

    Args:
        rows: of results.json.
        folder: of the picture, as the document sees it, with a slash at its end.
    """
    mine = [r for r in rows if (r["backbone"], r["labels"], r["minutes"]) == ("cartesian", 300, MINUTES)]
    places = {name: of_one_processor(mine, name) for name in TITLES if TRAINED[name].part == "main"}
    found = errors_of(places, FORCE)
    default = {r["system"]: r["default"] for r in mine if "default" in r}
    lines = [
        INTRODUCTION,
        "",
        "| force MAE against `none` | default | " + " | ".join(f"`{arm}`" for arm in ARMS) + " |",
        "|---|---|" + "---|" * len(ARMS),
    ]
    for name, values in found.items():
        cells = [against_none(values.get(arm), values["none"]) if fits(name, arm) else "n/a" for arm in ARMS]
        lines.append(f"| {TITLES[name]} | `{default[TRAINED[name].name]}` | {' | '.join(cells)} |")
    draw(found, ARMS)
    lines += ["", f"![Change of the force error by system and arm]({folder}{PICTURE.name})"]
    trained = {name: rows for name, rows in places.items() if name in BY_NAME}  # others are scored beside those
    for what, key in (("force", FORCE), ("energy", ENERGY)):
        systems = errors_of(trained, key)
        lines += [
            "",
            f"| {what} MAE, three seeds | systems | lower | beyond the spread | higher | beyond the spread |",
            "|---|---|---|---|---|---|",
            *(f"| `{arm}` | {' | '.join(map(str, counts(systems, arm)))} |" for arm in ARMS),
        ]
    return "\n".join(lines)


def of_one_processor(rows: list[dict[str, Any]], system: str) -> list[dict[str, Any]]:
    """Rows of the system and the arms of the table, of the processor that has most of them."""
    places: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["system"] == system and row["task"] in ("none", *ARMS):
            places[row.get("processor", "")].append(row)
    return max(places.values(), key=len, default=[])


def errors_of(places: dict[str, list[dict[str, Any]]], key: str) -> dict[str, dict[str, BySeed]]:
    """Errors by system, arm and seed, of the systems that have `none`."""
    found = by_arm([row for rows in places.values() for row in rows], key)
    return {name: found[name] for name in places if "none" in found.get(name, {})}


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
