"""The table of ratios, results.json and the plot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from catalogue import EQUIVARIANT_PEERS, MODELS

Results = dict[str, dict[str, dict[str, Any]]]
_ENGINE = {model.name: model.engine for model in MODELS}
_COLOURS = {"frames": "tab:red", "nequip": "tab:blue", "mace": "tab:green", "deepmd": "tab:orange"}


def write(results: Results, conditions: dict[str, Any], folder: Path) -> None:
    """results.json (systems alone), conditions.json (machine, versions, minutes), table.md and error_cost.png."""
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "conditions.json").write_text(json.dumps(conditions, indent=1) + "\n")
    text = table(results, conditions)
    (folder / "table.md").write_text(text)
    plot(results, folder / "error_cost.png")
    print("\n" + text)


def table(results: Results, conditions: dict[str, Any]) -> str:
    """Markdown: per system every model with its time, its ratio to each of ours, its error and how it ran."""
    names = [name for name in _ENGINE if any(name in rows for rows in results.values())]
    ours = [name for name in names if _ENGINE[name] == "frames"]
    heads = ["model", "ms per step", *(f"× {name}" for name in ours), "graph ms", "force MAE meV/Å", "how"]
    lines = [
        f"Full MD steps, medians with half the interquartile range; {conditions['threads']} cores "
        f"({conditions['processor']}), float32, cutoff 5 Å; "
        f"trained {conditions['minutes']:g} minutes each on 950 frames of rMD17 ethanol, "
        f"{conditions['cores_per_training']} core(s) each.",
    ]
    for system, rows in results.items():
        counts = conditions["systems"][system]
        lines += ["", f"### {system}: {counts['atoms']} atoms, {counts['edges']} edges", ""]
        lines += ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
        for name in sorted(rows, key=lambda n: rows[n]["ms_per_step"] or float("inf")):
            lines.append("| " + " | ".join(_cells(name, rows, ours)) + " |")
        lines += ["", *_verdicts(system, rows, ours)]
    return "\n".join(lines) + "\n"


def _cells(name: str, rows: dict[str, dict[str, Any]], ours: list[str]) -> list[str]:
    row = rows[name]
    time, error = row["ms_per_step"], row["force_mae_mev_per_angstrom"]
    ratios = []
    for own in ours:
        base = rows.get(own, {}).get("ms_per_step")
        ratios.append(f"{time / base:.2f}" if time and base else "–")
    graph = row.get("ms_graph")
    return [
        name,
        f"{time:.3g} ± {row['ms_per_step_spread']:.1g}" if time else "–",
        *ratios,
        f"{graph:.3g}" if graph else "–",
        f"{error:.1f}" if error is not None else "–",
        row["how"].replace("|", "/"),
    ]


def _verdicts(system: str, rows: dict[str, dict[str, Any]], ours: list[str]) -> list[str]:
    """Speed and error of each of ours against the fastest equivariant peer and against DeePMD, in words."""
    lines = []
    peers = {n: r for n, r in rows.items() if _ENGINE[n] in EQUIVARIANT_PEERS and r["ms_per_step"]}
    rivals = [min(peers, key=lambda n: peers[n]["ms_per_step"])] if peers else []
    rivals += [n for n in rows if _ENGINE[n] == "deepmd" and rows[n]["ms_per_step"]]
    for own in ours:
        mine = rows.get(own)
        if not mine or not mine["ms_per_step"]:
            continue
        for rival in rivals:
            other = rows[rival]
            text = f"- {own} against {rival}: {other['ms_per_step'] / mine['ms_per_step']:.1f} times as fast"
            if mine["force_mae_mev_per_angstrom"] is not None and other["force_mae_mev_per_angstrom"]:
                share = mine["force_mae_mev_per_angstrom"] / other["force_mae_mev_per_angstrom"]
                text += f", {share:.2f} of its force error"
            lines.append(text)
    return lines


def plot(results: Results, path: Path) -> None:
    """Force error against ms per step, one panel for each system."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(
        1, len(results), figsize=(3.8 * len(results) + 2, 3.8), sharey=True, squeeze=False, layout="constrained"
    )
    markers = dict(zip(_ENGINE, "osD^vPX", strict=False))
    for axes, (system, rows) in zip(panels[0], results.items(), strict=True):
        for name, row in rows.items():
            if not row["ms_per_step"] or row["force_mae_mev_per_angstrom"] is None:
                continue
            axes.errorbar(
                row["ms_per_step"],
                row["force_mae_mev_per_angstrom"],
                xerr=row["ms_per_step_spread"],
                marker=markers.get(name, "o"),
                color=_COLOURS[_ENGINE[name]],
                linestyle="none",
                label=name,
            )
        axes.set(xscale="log", yscale="log", title=system, xlabel="ms per MD step")
        axes.margins(x=0.1, y=0.15)
        axes.grid(alpha=0.3, which="both")
    panels[0][0].set_ylabel("force MAE on rMD17 ethanol, meV/Å")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.savefig(path, dpi=150)
    plt.close(figure)
