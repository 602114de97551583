"""The command line: `frames train` and `frames check`; the other commands have files of their own. Heavy imports happen
inside commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from frames import __version__
from frames.cli.bench import bench
from frames.cli.data import app as data_app
from frames.cli.errors import need_torch
from frames.cli.evaluate import evaluate
from frames.cli.export import export
from frames.errors import FramesError
from frames.files import without_nan

app = typer.Typer(
    help="Force fields that learn from molecular-dynamics trajectories.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")
app.command()(bench)
app.command()(evaluate)
app.command()(export)
console = Console()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"frames-md {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="TOML configuration.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on from last.pt in the output folder.")] = False,
) -> None:
    """Train a model as a configuration says."""
    from frames.config import load_config

    checked, raw = load_config(config)
    need_torch("train")
    from frames.training.loop import BEST, CURVE, METRICS, Run
    from frames.training.stopping import note_on_length

    run = Run(checked, raw, console)
    report = run.execute(resume=resume)
    if not report:  # of a process that is not the first
        return
    table = Table("errors of the best parameters", "validation", "test")
    units = {
        "force_mae_mev_per_angstrom": "force MAE (meV/Å)",
        "force_rmse_mev_per_angstrom": "force RMSE (meV/Å)",
        "energy_mae_mev": "energy MAE (meV)",
        "energy_mae_mev_per_atom": "energy MAE (meV/atom)",
    }
    if any("virial_mae_mev_per_atom" in report.get(role, {}) for role in ("validation", "test")):
        units["virial_mae_mev_per_atom"] = "virial MAE (meV/atom)"
    for key, label in units.items():
        cells = [f"{report[role][key]:.2f}" if key in report.get(role, {}) else "–" for role in ("validation", "test")]
        table.add_row(label, *cells)
    console.print(table)
    if note := note_on_length(run.rows):
        console.print(f"note: {note}", highlight=False)
    folder = Path(checked.output)
    console.print(f"{report['seconds'] / 60:.1f} min of training; {BEST}, {METRICS} and {CURVE} are in {folder}")


@app.command()
def check(
    model: Annotated[Path, typer.Argument(help="Model file.")],
    backend: Annotated[str, typer.Option(help="auto, native or torchscript.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check a model file: test frame, symmetries, forces and virial against finite differences."""
    from frames.check import check_model
    from frames.inference import BACKENDS

    if backend not in BACKENDS:
        raise FramesError(f"--backend {backend}: expected one of {', '.join(BACKENDS)}")
    used, findings = check_model(model, backend=backend)  # type: ignore[arg-type]
    if as_json:
        rows = [
            {"name": f.name, "passed": f.passed, "difference": f.difference, "allowed": f.allowed, "unit": f.unit}
            for f in findings
        ]
        typer.echo(json.dumps(without_nan({"backend": used, "findings": rows}), indent=1))
    else:
        table = Table("", "point", "largest difference", "allowed", title=f"{model} ({used} backend)")
        for f in findings:
            verdict = "[green]PASS" if f.passed else "[red]FAIL"
            table.add_row(verdict, f.name, f"{f.difference:.1e} {f.unit}", f"{f.allowed:.1e}")
        console.print(table)
    if not all(f.passed for f in findings):
        raise typer.Exit(1)
