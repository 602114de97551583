"""How the gain of each arm depends on the number of labels: two systems, 100 to 950 labels, the same time."""

from __future__ import annotations

from typing import Any

from overview import ARMS, FORCE, MINUTES, against_none, errors_of, of_one_processor
from values import TITLES, cell, fits, measured_on

BUDGETS = (100, 300, 950)
INTRODUCTION = f"""\
Change of the force MAE against `none` of the same seeds after {MINUTES:g} minutes, `cartesian`; in bold what is beyond
the spread of three seeds; –: no rows yet. Each line is of one processor; the lines of 300 labels are those of the main
table.
"""


def budgets(rows: list[dict[str, Any]]) -> str:
    """Systems and labels down, arms across; nothing without rows of another budget than that of the main table."""
    mine = [r for r in rows if (r["backbone"], r["minutes"]) == ("cartesian", MINUTES)]
    lines = []
    for system in TITLES:
        found = {n: of_one_processor([r for r in mine if r["labels"] == n], system) for n in BUDGETS}
        here = {labels: its for labels, its in found.items() if has_arms(its)}
        if set(here) <= {300}:
            continue
        for labels, its in here.items():
            values = errors_of({system: its}, FORCE)[system]
            cells = [against_none(values.get(arm), values["none"]) if fits(system, arm) else "n/a" for arm in ARMS]
            where = measured_on(its[0].get("processor", ""))
            lines.append(
                f"| {TITLES[system]}, {labels} labels{where} | {cell(values['none'], None)} | {' | '.join(cells)} |"
            )
    if not lines:
        return ""
    head = "| force MAE | `none`, meV/Å | " + " | ".join(f"`{arm}`" for arm in ARMS) + " |"
    return "\n".join([INTRODUCTION, head, "|---|---|" + "---|" * len(ARMS), *lines])


def has_arms(rows: list[dict[str, Any]]) -> bool:
    """Whether there is `none`, and something beside it that is not the motion alone, which has tables of its own."""
    found = {r["task"] for r in rows}
    return "none" in found and bool(found - {"none", "newton"})
