"""`frames data inspect`, `convert`, `generate` and `label`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from frames.errors import FramesError
from frames.files import without_nan

if TYPE_CHECKING:
    from frames.data.trajectory import Trajectory

app = typer.Typer(
    help="Look at trajectories, convert them, make new ones.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
console = Console()

Units = Annotated[
    str | None, typer.Option(help="Energy unit of the file, or energy,length, such as kcal/mol or Hartree,bohr.")
]
Topology = Annotated[Path | None, typer.Option(help="File with the elements, for .dcd, .xtc and .trr.")]
TimeStep = Annotated[float | None, typer.Option(help="fs between stored frames, where the file does not say it.")]

_STYLES = {"OK": "green", "WARNING": "yellow", "FAIL": "red"}
_MOST_COLUMNS = 4


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="File or DeePMD folder.")],
    units: Units = None,
    topology: Topology = None,
    time_step: TimeStep = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say what a file holds, and test its energies, forces and times against each other.

    The exit status is 1 if a test says FAIL.
    """
    from frames.data import read
    from frames.data.selftest import self_test
    from frames.data.summary import self_test_facts, summary

    trajectories = read(file, units=units, topology=topology, time_step=time_step)
    summaries = [summary(trajectory) for trajectory in trajectories]
    tests = [self_test(trajectory) for trajectory in trajectories]
    if as_json:
        joined = [{**facts, "self_test": self_test_facts(test)} for facts, test in zip(summaries, tests, strict=True)]
        typer.echo(json.dumps(without_nan(joined), indent=1))
    else:
        console.print(_overview(str(file), summaries))
        for note in dict.fromkeys(note for facts in summaries for note in facts["notes"]):
            console.print(f"note: {note}", markup=False, highlight=False)
        several = len(tests) > 1
        for facts, test in zip(summaries, tests, strict=True):
            for finding in test.findings:
                prefix = f"{facts['formula']}: " if several else ""
                console.print(f"{finding.level:<8}", style=_STYLES[finding.level], end="")
                console.print(f"{prefix}{finding.text}", markup=False, highlight=False)
    if any(test.verdict == "FAIL" for test in tests):
        raise typer.Exit(1)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="File or DeePMD folder.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="HDF5 file to write (.h5).")],
    units: Units = None,
    topology: Topology = None,
    time_step: TimeStep = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Write a trajectory in the project's own HDF5 format: Å, eV, eV/Å, fs; in order, unwrapped, if times are known."""
    from frames.data import read
    from frames.data.periodic import unwrap
    from frames.data.readers import hdf5
    from frames.data.summary import formula
    from frames.data.timeline import in_order

    _check_output(source, output)
    given = read(source, units=units, topology=topology, time_step=time_step)
    trajectories = [unwrap(in_order(run)) if run.ordered else run for run in given]
    hdf5.write(output, trajectories, overwrite=overwrite)
    for trajectory in trajectories:
        console.print(
            f"{formula(trajectory.atomic_numbers)}: {len(trajectory)} frames with {_labels(trajectory)}",
            markup=False,
            highlight=False,
        )
    for note in dict.fromkeys(note for trajectory in trajectories for note in trajectory.notes):
        console.print(f"note: {note}", markup=False, highlight=False)
    console.print(f"written to {output} ({output.stat().st_size / 1e6:.2f} MB)", markup=False, highlight=False)


@app.command()
def generate(
    molecule: Annotated[str, typer.Option(help="Name, formula of the G2 set, or .xyz file.")] = "ethanol",
    method: Annotated[str, typer.Option(help="GFN2-xTB, GFN1-xTB or IPEA1-xTB.")] = "GFN2-xTB",
    steps: Annotated[int, typer.Option(help="Steps; each is stored.")] = 6000,
    dt: Annotated[float, typer.Option(help="Time step in fs.")] = 0.5,
    temperature: Annotated[float, typer.Option(help="K.")] = 500.0,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="HDF5 file; default MOLECULE.h5.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the velocities and the thermostat.")] = 0,
    equilibrate: Annotated[int, typer.Option(help="Langevin steps before the run.")] = 1000,
    friction: Annotated[float, typer.Option(help="Of the Langevin steps, in 1/ps.")] = 10.0,
    accuracy: Annotated[float, typer.Option(help="Of the self-consistent field; smaller is tighter.")] = 1.0,
) -> None:
    """Run quantum-chemical dynamics at constant energy and store every step; the same command goes on after a stop."""
    from frames.data.generate import Settings
    from frames.data.generate import generate as run

    settings = Settings(
        molecule=molecule,
        method=method,
        steps=steps,
        time_step_fs=dt,
        temperature_k=temperature,
        equilibration_steps=equilibrate,
        friction_per_ps=friction,
        accuracy=accuracy,
        seed=seed,
    )
    target = output if output is not None else Path(f"{Path(molecule).stem.replace(' ', '_')}.h5")
    made = _with_bar(run, settings, target)
    from frames.data import read

    (trajectory,) = read(target)
    verb = "written to" if made else "is complete already in"
    console.print(
        f"{len(trajectory)} frames of {molecule} at {temperature:g} K {verb} {target}: {method}, "
        f"{trajectory.metadata['ms_per_step']:.2f} ms per step",
        markup=False,
        highlight=False,
    )


@app.command()
def label(
    source: Annotated[Path, typer.Argument(metavar="IN", help="File or DeePMD folder.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="HDF5 file to write (.h5).")],
    model: Annotated[list[Path] | None, typer.Option(help="Model file; several give their mean.")] = None,
    method: Annotated[str | None, typer.Option(help="GFN2-xTB, GFN1-xTB or IPEA1-xTB, for molecules.")] = None,
    add: Annotated[bool, typer.Option("--add", help="Write the labels of IN plus those.")] = False,
    subtract: Annotated[bool, typer.Option("--subtract", help="Write the labels of IN minus those.")] = False,
    charge: Annotated[int, typer.Option(help="Of the molecule, with --method.")] = 0,
    unpaired: Annotated[
        int | None, typer.Option(min=0, help="Unpaired electrons of the molecule, with --method.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Take every so many frames of each trajectory.")] = 1,
    units: Units = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Label frames by a model or a method, or correct the labels that they have; docs/training.md says what for."""
    from frames.cli.progress import step_progress
    from frames.data import read
    from frames.data.readers import hdf5
    from frames.data.xtb import METHODS
    from frames.evaluation.labels import How, by_method, by_models, relabelled
    from frames.inference import open_model

    if (model is None) == (method is None):
        raise FramesError("give either --model FILE or --method NAME: one of them makes the labels")
    if add and subtract:
        raise FramesError("--add and --subtract exclude each other")
    if method is not None and method not in METHODS:
        raise FramesError(f"--method {method}: expected one of {', '.join(METHODS)}")
    if method is None and (charge or unpaired):
        raise FramesError("--charge and --unpaired belong to --method: a model file has its own")
    _check_output(source, output)
    if output.exists() and not overwrite:  # now, not after an hour of labelling
        raise FramesError(f"{output}: exists already; --overwrite replaces it")
    if method is not None:
        labeller = by_method(method, charge, unpaired)
        name = method + (f", charge {charge:+d}" if charge else "")
    else:
        assert model is not None
        labeller, name = by_models([open_model(path) for path in model]), ", ".join(path.name for path in model)
    how: How = "add" if add else "subtract" if subtract else "replace"
    runs = [run[::every] for run in read(source, units=units)]
    with step_progress(console) as progress:
        task = progress.add_task("labelling", total=sum(len(run) for run in runs))
        done = [relabelled(run, labeller, how, name=name, progress=lambda: progress.advance(task)) for run in runs]
    hdf5.write(output, done, overwrite=overwrite)
    count = sum(len(run) for run in done)
    console.print(f"{count} frames written to {output} ({_labels(done[0])})", markup=False, highlight=False)


def _check_output(source: Path, output: Path) -> None:
    if output.suffix not in (".h5", ".hdf5"):
        raise FramesError(f"{output}: this command writes HDF5; give a name ending in .h5")
    if output.exists() and output.resolve() == source.resolve():
        raise FramesError(f"{output}: IN and OUT are the same file")


def _with_bar(run: Any, settings: Any, target: Path) -> bool:
    from frames.cli.progress import step_progress

    progress = step_progress(console)
    task = progress.add_task("", total=settings.steps, start=False)

    def report(stage: str, done: int, total: int) -> None:
        if progress.tasks[0].description != stage:
            progress.start()  # here and not before, so that a file that is complete already shows no bar
            progress.update(task, description=stage)
            if stage == "generating":
                progress.start_task(task)
        progress.update(task, completed=done)

    try:
        return bool(run(settings, target, report))
    finally:
        if progress.live.is_started:
            progress.stop()


def _overview(title: str, summaries: list[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    if len(summaries) > _MOST_COLUMNS:
        table.show_header = True
        for heading in ("formula", "frames", "runs", "time step", "energy (eV)", "force RMS (eV/Å)"):
            table.add_column(heading, justify="left" if heading == "formula" else "right")
        for facts in summaries:
            step = f"{facts['time_step_fs']:g} fs" if facts["time_step_fs"] else "-"
            force = facts["force_rms_ev_per_angstrom"]
            table.add_row(
                facts["formula"],
                str(facts["frames"]),
                str(facts["runs"]),
                step,
                _span(facts),
                "-" if force is None else f"{force:.3f}",
            )
        return table
    table.add_column(style="bold")
    columns = [_rows(facts) for facts in summaries]
    for key in columns[0]:
        table.add_row(key, *(column[key] for column in columns))
    return table


def _rows(facts: dict[str, Any]) -> dict[str, str]:
    force, net = facts["force_rms_ev_per_angstrom"], facts["net_force_ev_per_angstrom"]
    distances = ", ".join(f"{pair} {value:.2f}" for pair, value in facts["shortest_distances_angstrom"].items())
    cell = facts["mean_cell_lengths_angstrom"]
    step = facts["time_step_fs"]
    if step is not None:
        time = f"{step:g} fs ({facts['gaps']} gaps, {facts['jumps']} jumps)"
    else:
        time = "known" if facts["ordered"] else "unknown: no times in the file"
    return {
        "frames": str(facts["frames"]),
        "atoms": f"{facts['atoms']} ({facts['formula']})",
        "cell": "none" if cell is None else " x ".join(f"{length:.3f}" for length in cell) + " Å",
        "runs": str(facts["runs"]),
        "time step": time,
        "labels": ", ".join(facts["labels"]) or "none",
        "energy": _span(facts),
        "forces": "-" if force is None else f"RMS {force:.3f}, max {facts['force_max_ev_per_angstrom']:.2f} eV/Å",
        "net force": "-" if net is None else _net(net),
        "shortest distances": f"{distances} Å" if distances else "-",
        "duplicate frames": str(facts["duplicate_frames"]),
    }


def _net(force: float) -> str:
    """In the unit in which errors are given; what is below its hundredth part matters to nobody."""
    if 1000 * force < 0.01:
        return "below 0.01 meV/Å per atom"
    return f"{1000 * force:.2f} meV/Å per atom (a model's force MAE is no smaller)"


def _span(facts: dict[str, Any]) -> str:
    energy = facts["energy_ev"]
    return "-" if energy is None else f"{energy['min']:.3f} to {energy['max']:.3f} eV"


def _labels(trajectory: Trajectory) -> str:
    kept = ("energies", "forces", "virials", "velocities", "times")
    return ", ".join(["positions", *(key for key in kept if getattr(trajectory, key) is not None)])
