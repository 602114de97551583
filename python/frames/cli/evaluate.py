"""`frames evaluate`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from frames.cli.progress import step_progress
from frames.errors import FramesError
from frames.files import require_folder, without_nan, write_atomically

if TYPE_CHECKING:
    from frames.data import Trajectory

console = Console()


def evaluate(
    model: Annotated[Path, typer.Argument(help="Model file.")],
    data: Annotated[Path, typer.Argument(help="Labelled frames, in any format that is read.")],
    units: Annotated[str | None, typer.Option(help="Energy unit of the file, as in frames data.")] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Score as many frames, evenly spread; all if left out.")
    ] = None,
    plots: Annotated[Path | None, typer.Option(help="Folder for parity.png, errors.png and distances.png.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all numbers to this file.")] = None,
    stability: Annotated[bool, typer.Option("--stability", help="Also run NVT until a bond breaks.")] = False,
    picoseconds: Annotated[float, typer.Option(help="Length of that run.")] = 300.0,
    temperature: Annotated[float, typer.Option(help="Of that run, in K.")] = 500.0,
    time_step: Annotated[float, typer.Option(help="Of that run, in fs.")] = 0.5,
    seed: Annotated[int, typer.Option(min=0, help="Of its velocities and thermostat.")] = 0,
    backend: Annotated[str, typer.Option(help="auto, native or torchscript.")] = "auto",
) -> None:
    """Errors of a model on labelled frames; with --stability, how long its dynamics hold and what they sample.

    The exit status is 1 if a run with --stability breaks.
    """

    from frames.data import read
    from frames.evaluation.accuracy import errors, predict
    from frames.evaluation.stability import Conditions, run_stability
    from frames.inference import BACKENDS, open_model

    if backend not in BACKENDS:
        raise FramesError(f"--backend {backend}: expected one of {', '.join(BACKENDS)}")
    if plots is not None:
        _make_folder(plots)
    require_folder(json_file)
    conditions = Conditions(picoseconds, temperature, time_step, seed)
    conditions.check()
    opened = open_model(model, backend=backend)  # type: ignore[arg-type]
    whole = read(data, units=units)
    chosen = _spread(whole, frames)
    for note in dict.fromkeys(note for run in whole for note in run.notes):
        console.print(f"note: {note}", markup=False, highlight=False)
    training = opened.metadata.training
    if (known := _known_from(training, data.name)) is not None:
        console.print(f"[yellow]{known}")
    if stability and len(whole) != 1:
        raise FramesError(f"--stability: {data} holds {len(whole)} molecules; name a file with one")
    found = _with_bar("scoring", lambda report: predict(opened, chosen, report))
    rows = errors(found)
    table = Table("", "values", "MAE", "RMSE", "", title=f"{model} on {data} ({opened.backend} backend)")
    for row in rows:
        table.add_row(row.name, f"{row.count}", f"{row.mae:.2f}", f"{row.rmse:.2f}", row.unit)
    console.print(table)
    numbers: dict[str, Any] = {"backend": opened.backend, "errors": [asdict(row) for row in rows]}
    _write_numbers(json_file, numbers)  # here as well, so that nothing that comes later can lose them
    if plots is not None:
        from frames.evaluation.plots import plot_accuracy

        for path in plot_accuracy(found, plots):
            console.print(f"{path}", highlight=False)
    broke = False
    if stability:
        held = _with_bar("NVT", lambda report: run_stability(model, whole[0], conditions, backend, report))  # type: ignore[arg-type]
        broke = held.broke is not None
        outcome = f"[red]broke after {held.picoseconds:g} ps: {held.broke}" if broke else f"[green]{picoseconds:g} ps"
        console.print(f"stability at {temperature:g} K: {outcome}")
        if not held.bonds:
            text = "no atoms are bonded by their covalent radii, so nothing could break: only h(r) tells"
            console.print(f"[yellow]{text}")
        if held.temperature == held.temperature:
            text = f"mean temperature {held.temperature:.0f} K, error of h(r) {held.h_error:.3f}"
            console.print(text, highlight=False)
        numbers["stability"] = {
            "picoseconds": held.picoseconds,
            "broke": held.broke,
            "bonds": held.bonds,
            "temperature_k": held.temperature,
            "h_error": None if held.temperature != held.temperature else held.h_error,
        }
        if plots is not None:
            from frames.evaluation.plots import plot_stability

            console.print(f"{plot_stability(held, plots)}", highlight=False)
    _write_numbers(json_file, numbers)
    if broke:
        raise typer.Exit(1)


def _known_from(training: Mapping[str, Any], name: str) -> str | None:
    """What the model may know of a file of this name, in words."""
    if name in training.get("sources", ()) and str(training.get("split")).startswith("time blocks"):
        return (
            f"the model was trained on blocks of a file of this name ({training['split']}); errors on those say "
            "nothing of other frames"
        )
    if name in training.get("trained_on", ()):
        return "the model was trained on a file of this name; errors on it say nothing of other frames"
    if name in training.get("validated_on", ()):
        return "the model was chosen by its errors on a file of this name; those on other frames may be larger"
    return None


def _write_numbers(path: Path | None, numbers: Mapping[str, Any]) -> None:
    if path is not None:
        text = json.dumps(without_nan(numbers), indent=1, ensure_ascii=False) + "\n"
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _spread(runs: Sequence[Trajectory], count: int | None) -> list[Trajectory]:
    """So many frames, evenly spaced over all runs in a row; runs of which none is taken are left out."""
    import numpy as np

    lengths = [len(run) for run in runs]
    if count is None or count >= sum(lengths):
        return list(runs)
    taken = np.linspace(0, sum(lengths) - 1, count).round().astype(int)
    starts = np.cumsum([0, *lengths[:-1]])
    parts = [
        run[taken[(taken >= start) & (taken < start + len(run))] - start]
        for run, start in zip(runs, starts, strict=True)
    ]
    return [part for part in parts if len(part)]


def _with_bar(name: str, work: Any) -> Any:
    with step_progress(console) as progress:
        task = progress.add_task(name, total=None)
        return work(lambda done, total: progress.update(task, completed=done, total=total))


def _make_folder(folder: Path) -> None:
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise FramesError("--plots needs matplotlib: pip install matplotlib")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FramesError(f"{folder}: cannot be made ({error})") from None
