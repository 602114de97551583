"""Table and plot of scaling.json."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

PAGE = """# Scaling over ranks

Written by `python benchmarks/ranks/scaling.py` on {cores} cores of {processor}: water, the shipped model of ethanol
({channels} channels, {layers} layers, cutoff {cutoff:g} Å, float32), skin 1 Å, full LAMMPS steps. More ranks than cores
are not timed. MB are those of features that a rank gets in a step; theory is density × volume of the shell × 9 ×
channels × 4 bytes × 2 × layers, where the shell holds what lies within cutoff and skin of a rank's part of the box and
is no image of what lies in it. Efficiency is relative to one rank: with as many atoms per rank (weak), or in all
(strong).

| scaling | atoms | ranks | grid | ms per step | µs per atom | efficiency | ghosts per rank (theory) | MB (theory) | |
|---|---|---|---|---|---|---|---|---|---|
{measured}

{estimate}
"""
ESTIMATE = """## Estimate for machines that were not measured

Water again. An atom costs {us_per_atom:.1f} µs of a core: 12,288 atoms per rank and both cores busy, exchange
within the machine included. Between nodes, features of the shell around a node's part of the box travel at {gb:g}
GB/s, {times} times a step, each time in {neighbours:g} messages of {us:g} µs; packing and unpacking costs at most
{ns:.2f} ns of a core per byte, which is what messages cost two ranks more than reading in place, and the spread of it;
{cores:g} cores share it. Nothing overlaps. Assumed are {cores:g} such cores per node and equal loads; LAMMPS' own
ghosts and output cost nothing. Memory is {kb:.0f} kB per atom.

| atoms | nodes | atoms per core | ms computing | ms network | efficiency | steps/s | ns/day at 0.5 fs | GB per node |
|---|---|---|---|---|---|---|---|---|
{rows}"""


def table(results: dict[str, Any]) -> str:
    return PAGE.format(
        **{key: results[key] for key in ("cores", "processor", "channels", "layers", "cutoff")},
        measured="\n".join(_measured(row) for row in results["rows"]),
        estimate=_estimate(results) if results["estimates"] else "No estimate: it needs the times of two ranks.",
    )


def _measured(row: dict[str, Any]) -> str:
    times = "– | – | –"
    if "ms" in row:
        times = f"{row['ms']:.1f} ± {row['ms_spread']:.1f} | {row['us_per_atom']:.1f} | {row['efficiency']:.2f}"
    grid = "×".join(map(str, row["grid"]))
    ghosts = f"{row['rows']:.0f} ({row['expected_rows']:.0f})"
    size = f"{row['bytes'] / 1e6:.2f} ({row['expected_bytes'] / 1e6:.2f})"
    how = "in messages" if row["messages"] else ""
    return f"| {row['kind']} | {row['atoms']} | {row['ranks']} | {grid} | {times} | {ghosts} | {size} | {how} |"


def _estimate(results: dict[str, Any]) -> str:
    found, assumed = results["estimates"], results["assumed"]
    rows = [
        f"| {row['atoms']:.0e} | {row['nodes']} | {row['atoms_per_core']:.0f} | {row['ms_computing']:.2f} "
        f"| {row['ms_network']:.2f} | {row['efficiency']:.2f} | {row['steps_per_second']:.3g} "
        f"| {row['ns_per_day']:.3g} | {row['gb_per_node']:.2g} |"
        for row in found["rows"]
    ]
    return ESTIMATE.format(
        us_per_atom=found["us_per_atom"],
        gb=assumed["bandwidth"] / 1e9,
        times=2 * results["layers"],
        neighbours=assumed["neighbours"],
        us=1e6 * assumed["latency"],
        ns=found["ns_per_message_byte"],
        cores=assumed["cores"],
        kb=found["bytes_per_atom"] / 1e3,
        rows="\n".join(rows),
    )


def plot(results: dict[str, Any], path: Path) -> None:
    """Counted bytes against theory, and the estimated efficiency."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    rows = [row for row in results["rows"] if row["ranks"] > 1 and not row["messages"]]
    sizes = [1e-6 * row["expected_bytes"] for row in rows]
    limits = [0.8 * min(sizes), 1.25 * max(sizes)]
    left.plot(limits, limits, color="0.7", label="theory")
    for kind, marker in (("weak", "o"), ("strong", "s")):
        of_kind = [row for row in rows if row["kind"] == kind]
        expected, counted = ([1e-6 * row[of] for row in of_kind] for of in ("expected_bytes", "bytes"))
        left.plot(expected, counted, marker, label=kind, fillstyle="none" if kind == "strong" else "full")
    left.set(xscale="log", yscale="log", xlabel="MB per step and rank, theory", ylabel="counted")
    for axis in (left.xaxis, left.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 4)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    left.legend()
    estimated = results["estimates"].get("rows", [])
    for atoms in sorted({row["atoms"] for row in estimated}):
        of_size = [row for row in estimated if row["atoms"] == atoms]
        nodes, efficiency = ([row[of] for row in of_size] for of in ("nodes", "efficiency"))
        right.plot(nodes, efficiency, "o-", label=f"$10^{{{round(math.log10(atoms))}}}$ atoms")
    right.set(xscale="log", ylim=(0, 1.05), ylabel="estimated efficiency")
    right.set_xlabel(f"nodes of {results['assumed']['cores']:g} cores")
    if estimated:
        right.legend(loc="lower left")
    figure.savefig(path, dpi=150)
    plt.close(figure)
