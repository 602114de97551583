"""The results of `run.py` as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

OURS = "FramesForce"


def write_table(results: dict[str, Any], path: Path) -> None:
    """One table of all routes and systems, and one of what the bridge costs."""
    systems = results["systems"]
    routes = list(dict.fromkeys(route for system in systems.values() for route in system["ms_per_step"]))
    names = [f"{name}, {system['atoms']} atoms" for name, system in systems.items()]
    lines = [
        f"# Steps in OpenMM {results['openmm']}, platform {results['platform']}",
        "",
        f"ms per step, median of {results['rounds']} rounds and half the interquartile range; in brackets how many",
        f"times as long as FramesForce. {results['processor']}. Written by `python benchmarks/openmm/run.py`.",
        "",
        "| route | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
    ]
    lines += [
        f"| {route} | " + " | ".join(_cell(system["ms_per_step"], route) for system in systems.values()) + " |"
        for route in routes
    ]
    lines += [
        "",
        "| µs of a step of FramesForce, Reference platform, one thread | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
    ]
    parts = {
        "step": "whole step",
        "engine": "the engine's evaluation",
        "step_without_force": "a step without any force",
        "bridge": "what is left: the bridge",
    }
    for part, label in parts.items():
        bridges = [system["bridge_us"] for system in systems.values()]
        cells = [f"{b[part]['median']:.1f} ± {b[part]['spread']:.1f}" if b else "–" for b in bridges]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    reasons = {**results["failed"], **{k: v for system in systems.values() for k, v in system["failed"].items()}}
    lines += ["", *(f"{route} failed: {reason}" for route, reason in reasons.items())]
    path.write_text("\n".join(lines).rstrip() + "\n")


def _cell(rows: dict[str, Any], route: str) -> str:
    if route not in rows:
        return "failed"
    row = rows[route]
    ratio = f" ({row['median'] / rows[OURS]['median']:.3g})" if route != OURS and OURS in rows else ""
    threads = f", {row['threads']} threads" if row["threads"] > 1 and "threads" not in route else ""
    return f"{row['median']:.3g} ± {row['spread']:.1g}{ratio}{threads}"
