"""`frames bench`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from frames.errors import FramesError
from frames.files import require_folder, write_atomically

console = Console()


def bench(
    model: Annotated[Path, typer.Argument(help="Model file.")],
    structure: Annotated[
        Path | None, typer.Argument(help="Structure file; the model's test frame if left out.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all numbers to this file.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Time copies of the structure up to 100,000 atoms; plot as PNG.")
    ] = None,
    backend: Annotated[str, typer.Option(help="auto, native or torchscript.")] = "auto",
    seconds: Annotated[float, typer.Option(help="Time to spend on each measurement.")] = 1.0,
) -> None:
    """Measure what an evaluation costs: time, parts, memory, and arithmetic against the peak of the machine."""
    from frames.bench import SIZES, all_threads, enlarge, load_sample, measure, plot_scaling
    from frames.inference import BACKENDS

    if backend not in BACKENDS:
        raise FramesError(f"--backend {backend}: expected one of {', '.join(BACKENDS)}")
    if not 0 < seconds < float("inf"):
        raise FramesError(f"--seconds {seconds}: expected a positive number")
    for path in (plot, json_file):
        require_folder(path)
    sample = load_sample(model, structure)
    counts = sorted({1, all_threads()})
    timings = [measure(model, sample, n, backend, seconds) for n in counts]  # type: ignore[arg-type]
    table = Table("", *(f"{t.threads} thread{'s' if t.threads > 1 else ''}" for t in timings))
    table.add_row("backend", *(t.backend for t in timings))
    table.add_row("atoms, edges", *(f"{t.atoms}, {t.edges}" for t in timings))
    table.add_row("ms per step", *(f"{t.ms_per_step:.4f} ± {t.ms_spread:.4f}" for t in timings))
    table.add_row("atom-steps per second", *(f"{t.atom_steps_per_second:,.0f}" for t in timings))
    table.add_row("ns/day at 0.5 fs", *(f"{t.ns_per_day:.2f}" for t in timings))
    table.add_row("new neighbour list (ms)", *(f"{t.neighbours_ms:.3f}" for t in timings))
    for part in timings[0].parts_ms:
        table.add_row(f"  {part} (ms)", *(f"{t.parts_ms[part]:.4f}" for t in timings))
    if timings[0].gflops is not None:
        table.add_row("GFLOP/s achieved", *(f"{t.gflops:.1f}" for t in timings))
        table.add_row("GFLOP/s peak", *(f"{t.peak_gflops:.1f}" for t in timings))
        table.add_row("workspace (MB)", *(f"{(t.workspace_bytes or 0) / 1e6:.2f}" for t in timings))
    console.print(table)
    scaling = []
    if plot is not None:
        for size in track(SIZES, "copies of the structure", console=console):
            large = enlarge(sample, size)
            scaling += [measure(model, large, n, backend, seconds) for n in counts]  # type: ignore[arg-type]
        plot_scaling(scaling, plot)
        console.print(f"cost against atoms: {plot}")
    if json_file is not None:
        numbers = {"timings": [t.row() for t in timings], "scaling": [t.row() for t in scaling]}
        text = json.dumps(numbers, indent=1) + "\n"
        write_atomically(json_file, lambda temporary: temporary.write_text(text))
