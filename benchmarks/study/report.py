"""Tables, plots and what docs/study.md shows of them, from the rows of results.json; nothing else goes into them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from budgets import budgets
from overview import MINUTES, overview
from plan import ARMS, GONE, LENGTHS, MAIN, STEPS, length
from systems import HERE, as_name
from values import TITLES, TRAINED, Group, array, beyond_spread, by_arm, cell, group_of, measured_on

APART = {
    "none": "labels alone, `none`",
    "newton": "motion, weights of the frames fitted to the labels: `newton`",
    "newton_central": "motion, central differences (reach 2 at 1 fs, 4 at 2 fs), left to runs without stored forces",
    "newton_reach1": "motion, three frames: `newton` with `reach = 1`",
}
DOCUMENT = HERE.parents[1] / "docs" / "study.md"
FOLDER = "../benchmarks/study/"  # of the plots, as the document sees it
BEGIN, END = "<!-- study: begin -->", "<!-- study: end -->"


def write_report(rows: list[dict[str, Any]]) -> None:
    """Writes tables.md, one plot for each table, and what the study comes to into docs/study.md, between the markers.

    Errors, energies and steps of every arm are in tables.md alone.
    """
    if not rows:
        print("no results yet")
        return
    groups = sorted({group_of(r) for r in rows if r["task"] != "newton_only"})
    summary = [
        f"### Main table: 300 labels, {MINUTES:g} min of CPU time\n\n{overview(rows, FOLDER)}",
        f"### The default against the labels alone\n\n{default_table(rows, groups)}",
    ]
    if by_labels := budgets(rows):
        summary.append(f"### More labels, or fewer\n\n{by_labels}")
    summary += [
        f"### Forces from motion: {minutes:g} min of CPU time{measured_on(processor)}\n\n{newton}"
        for minutes, processor in sorted({group_of(r)[2:] for r in rows})
        if (newton := newton_table([r for r in rows if group_of(r)[2:] == (minutes, processor)]))
    ]
    if apart := apart_table([r for r in rows if TRAINED[r["system"]].part == "reach" and r["labels"] in (100, 300)]):
        summary.append(f"### Frames that lie several steps apart\n\n{apart}")
    details = [part for group in groups for part in group_tables([r for r in rows if group_of(r) == group], group)]
    every = "\n\n".join([*summary, *details, splits(rows)]).replace(FOLDER, "")
    (HERE / "tables.md").write_text(f"Written by run.py from results.json.\n\n{every}\n")
    into_document("\n\n".join([*summary, splits(rows)]))


def group_tables(rows: list[dict[str, Any]], group: Group) -> list[str]:
    """Errors, energies and steps, or time, of all arms, and their plot."""
    parts = [
        f"### {heading(group)}\n\n{table(rows, 'force_mae_mev_per_angstrom', 'force MAE, meV/Å')}",
        table(rows, "energy_mae_mev", "energy MAE, meV"),
    ]
    if group[2]:
        parts.append(table([{**r, "steps": r["steps"] / 1000} for r in rows], "steps", "steps made, thousands"))
    else:
        parts.append(table(rows, "train_seconds", "CPU time, s"))
    if plot(rows, group):
        parts.append(f"![Force error of each seed over the mean of none]({FOLDER}{plot_path(group).name})")
    return parts


def heading(group: Group) -> str:
    backbone, labels, minutes, processor = group
    return f"`{backbone}`, {labels} labels, {duration(minutes)}{measured_on(processor)}"


def duration(minutes: float) -> str:
    """Of a training; 0 minutes are so many steps."""
    return f"{minutes:g} min of CPU time" if minutes else f"{STEPS:,} steps"


def table(rows: list[dict[str, Any]], key: str, what: str) -> str:
    """Systems across, arms down."""
    values = by_arm(rows, key)
    systems = [name for name in TITLES if name in values]
    arms = [name for name in (*ARMS, *GONE) if any(name in values[s] for s in systems) and name != "newton_only"]
    lines = [f"| {what} | " + " | ".join(TITLES[s] for s in systems) + " |", "|---|" + "---|" * len(systems)]
    seeds = [len(values[s].get("none", ())) or max(map(len, values[s].values())) for s in systems]
    lines.append("| seeds | " + " | ".join(str(n) for n in seeds) + " |")
    for arm in arms:
        cells = [cell(values[s].get(arm), values[s].get("none")) for s in systems]
        lines.append(f"| `{arm}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def default_table(rows: list[dict[str, Any]], groups: list[Group]) -> str:
    """Where `auto` is more than `none`, whether it gains: it does if its seeds do not overlap with those of `none`."""
    lines = [
        "Where it is not `none`, the same training.",
        "",
        "| force MAE, meV/Å | labels | length | `none` | default | |",
        "|---|---|---|---|---|---|",
    ]
    for group in groups:
        mine = [r for r in rows if group_of(r) == group]
        forces = by_arm(mine, "force_mae_mev_per_angstrom")
        chosen = {r["system"]: r["default"] for r in mine if r.get("default", "none") != "none"}
        for system in (name for name in TITLES if name in chosen):
            none, found = forces[system]["none"], forces[system].get(chosen[system])
            if found is None:
                continue
            apart = beyond_spread(found, none)
            verdict = "too few seeds" if apart is None else f"{'beyond' if apart else 'within'} the spread"
            given = f"{group[1]} | {duration(group[2])}{measured_on(group[3])}"
            task = f"`{chosen[system]}` {cell(found, none)}"
            lines.append(f"| {TITLES[system]} | {given} | {cell(none, None)} | {task} | {verdict} |")
    return "\n".join(lines)


def newton_table(rows: list[dict[str, Any]]) -> str:
    """Labels against motion: 100 labels with it, 100 and 950 without, and no label at all. Rows of the same time."""
    wanted = (("none", 100), ("none", 950), ("newton", 100), ("newton_only", 0))
    names = {("newton_only", 0): "no label, `newton`", ("newton", 100): "100 labels, `newton`"}
    chosen = [r for r in rows if r["backbone"] == "cartesian" and (r["task"], r["labels"]) in wanted]
    if not any(r["task"].startswith("newton") for r in chosen):
        return ""
    systems = [name for name in TITLES if any(r["system"] == name and r["task"] != "none" for r in chosen)]
    lines = ["| force MAE, meV/Å | " + " | ".join(TITLES[s] for s in systems) + " |", "|---|" + "---|" * len(systems)]
    for task, labels in wanted:
        cells = []
        for system in systems:
            mine = [r for r in chosen if (r["system"], r["task"], r["labels"]) == (system, task, labels)]
            cells.append(cell({r["seed"]: r["force_mae_mev_per_angstrom"] for r in mine}, None))
        if any(text != "–" for text in cells):
            lines.append(f"| {names.get((task, labels), f'{labels} labels, `none`')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def apart_table(rows: list[dict[str, Any]]) -> str:
    """Forces from the motion of runs that are not stored at every step; systems and labels across, arms down."""
    groups = sorted({(r["system"], *group_of(r)) for r in rows}, key=lambda g: (list(TITLES).index(g[0]), g[2:]))
    if not groups:
        return ""
    names = [
        f"{TITLES[system]}, {labels} labels, {duration(minutes)}{measured_on(processor)}"
        for system, _, labels, minutes, processor in groups
    ]
    lines = ["| force MAE, meV/Å | " + " | ".join(names) + " |", "|---|" + "---|" * len(groups)]
    for arm, how in APART.items():
        cells = []
        for system, *group in groups:
            mine = [r for r in rows if r["system"] == system and group_of(r) == tuple(group)]
            errors = by_arm(mine, "force_mae_mev_per_angstrom")[system]
            cells.append(cell(errors.get(arm), errors.get("none")))
        lines.append(f"| {how} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def splits(rows: list[dict[str, Any]]) -> str:
    """How each system was split, and what was spent."""
    lines = ["Splits:", ""]
    for name in TITLES:
        found = sorted({r["split"] for r in rows if r["system"] == name})
        lines += [f"- {TITLES[name]}: {text}" for text in found]
    seconds = sum(r["train_seconds"] for r in rows if r["system"] != "isomers_unknown")
    count = sum(r["system"] != "isomers_unknown" for r in rows)
    lines += ["", f"{count} trainings, {seconds / 3600:.1f} h of CPU time."]
    return "\n".join(lines)


def plot(rows: list[dict[str, Any]], group: Group) -> bool:
    """Force error over the mean of `none`: one panel per system, one point per seed, a bar at the mean. Returns whether
    there was anything to compare."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    values = by_arm(rows, "force_mae_mev_per_angstrom")
    names = [*(arm.name for arm in (*MAIN, *LENGTHS)), *GONE]
    systems = [name for name in TITLES if "none" in values.get(name, {}) and len(values[name].keys() & {*names}) > 1]
    if not systems:
        return False
    columns = min(4, len(systems))
    lines = -(-len(systems) // columns)
    figure, panels = plt.subplots(
        lines,
        columns,
        figsize=(3.4 * columns + 1.2, 3.6 * lines),
        squeeze=False,
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    arms = [a for a in names if any(a in values[s] for s in systems)]
    for axes, system in zip(panels.flat, systems, strict=False):
        base = array(values[system]["none"]).mean()
        for place, arm in enumerate(arms):
            if arm not in values[system]:
                continue
            ratio = array(values[system][arm]) / base
            axes.plot([ratio.mean()] * 2, [place - 0.3, place + 0.3], color="tab:blue", linewidth=2.5)
            axes.plot(ratio, np.full(len(ratio), place), "o", color="0.3", markersize=4, alpha=0.7)
        axes.axvline(1.0, color="0.6", linewidth=1)
        axes.set_title(TITLES[system], fontsize=9)
        axes.set(xlabel="force MAE / that of none", yticks=range(len(arms)), yticklabels=arms)
        axes.grid(alpha=0.3, axis="x")
        axes.set_ylim(len(arms) - 0.5, -0.5)
    for place, axes in enumerate(panels.flat):
        axes.set_visible(place < len(systems))
        axes.tick_params(labelbottom=place + columns >= len(systems))  # of the lowest one of each column
    figure.savefig(plot_path(group), dpi=130)
    plt.close(figure)
    return True


def plot_path(group: Group) -> Path:
    backbone, labels, minutes, processor = group
    where = f"_{as_name(processor)}" if processor else ""
    return HERE / f"{backbone}_{labels}_{length(minutes)}{where}.png"


def into_document(text: str) -> None:
    """Replaces what is between the markers of docs/study.md."""
    before = DOCUMENT.read_text()
    head, rest = before.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    DOCUMENT.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}")
