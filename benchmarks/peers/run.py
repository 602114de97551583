"""Error and cost of FRAMES, MACE, NequIP, Allegro and DeePMD-kit in one run on this machine. See README.md."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import report
import typer
from catalogue import ENGINES, MODELS
from engine import Budget, Model
from environments import REQUIREMENTS, ensure
from errors import PeerError
from measure import Timed, time_system
from systems import SYSTEMS, describe, geometry, training_frames
from training import Trained, trained

from frames.bench import processor

HERE = Path(__file__).resolve().parent


def main(
    minutes: Annotated[float, typer.Option(help="Wall time of each training.")] = 12.0,
    rounds: Annotated[int, typer.Option(help="Turns of every model on every system.")] = 10,
    threads: Annotated[int, typer.Option(help="Cores to use at most.")] = 2,
    jobs: Annotated[int, typer.Option(help="Trainings at once; the cores are divided among them.")] = 2,
    losses: Annotated[str, typer.Option(help="Of the peers: l1, mse, best (the better of both).")] = "l1",
    models: Annotated[list[str] | None, typer.Option("--model", help="Only these rows.")] = None,
    systems: Annotated[list[str] | None, typer.Option("--system", help="Only these systems.")] = None,
    keep_times: Annotated[bool, typer.Option(help="Renew errors alone, in the results that are there.")] = False,
    output: Annotated[Path, typer.Option(help="Folder of results.json, table.md and error_cost.png.")] = HERE,
) -> None:
    """Installs, trains, times and reports. What was trained before with the same settings is not trained again."""
    if losses not in ("best", "l1", "mse"):
        raise typer.BadParameter("expected best, l1 or mse", param_hint="--losses")
    chosen = [m for m in MODELS if not models or m.name in models]
    wanted = [s for s in SYSTEMS if not systems or s in systems]
    unknown = {*(models or []), *(systems or [])} - {m.name for m in MODELS} - set(SYSTEMS)
    if unknown:
        known = ", ".join([m.name for m in MODELS] + list(SYSTEMS))
        raise typer.BadParameter(f"unknown {', '.join(sorted(unknown))}; known are {known}")
    try:
        training_frames()
        sizes = {system: describe(geometry(system)) for system in wanted}
    except PeerError as error:
        typer.echo(f"bench-peers: {error}", err=True)
        raise typer.Exit(1) from None

    ready, failed = _prepare(chosen, losses, minutes, max(1, threads // jobs), jobs)
    if keep_times:
        report.renew_errors({name: result.test for name, (_, result) in ready.items()}, output)
        return
    results: report.Results = {}
    for system in wanted:
        print(f"== {system}: {sizes[system]['atoms']} atoms", flush=True)
        timed = time_system(system, ready, rounds, threads)
        rows = {name: _row(result, ready[name][1]) for name, result in timed.items()}
        results[system] = {m.name: rows.get(m.name) or failed[m.name].row(None) for m in chosen}
    conditions = {
        "processor": processor(),
        "threads": threads,
        "minutes": minutes,
        "cores_per_training": max(1, threads // jobs),
        "rounds": rounds,
        "systems": sizes,
        "losses": {name: result.loss for name, (_, result) in ready.items()},
        "requirements": {"frames": [f"frames-md=={version('frames-md')}"], **REQUIREMENTS},
        "load_average": os.getloadavg(),
    }
    output.mkdir(parents=True, exist_ok=True)
    report.write(results, conditions, output)


def _prepare(
    chosen: list[Model], losses: str, minutes: float, threads: int, jobs: int
) -> tuple[dict[str, tuple[Model, Trained]], dict[str, Timed]]:
    """Environments and trainings; what fails is set aside with its reason."""
    ready: dict[str, tuple[Model, Trained]] = {}
    failed: dict[str, Timed] = {}
    with ThreadPoolExecutor(jobs) as pool:
        started: dict[str, Future[Trained]] = {}
        for model in chosen:
            engine = ENGINES[model.engine]
            try:
                ensure(engine.environment)
                started[model.name] = pool.submit(trained, engine, model, losses, Budget(minutes), threads)
            except PeerError as error:
                failed[model.name] = Timed(model, reason=str(error))
        for model in chosen:
            if model.name in failed:
                continue
            try:
                ready[model.name] = (model, started[model.name].result())
            except PeerError as error:
                print(f"   {model.name}: left out: {error}", flush=True)
                failed[model.name] = Timed(model, reason=str(error))
    return ready, failed


def _row(result: Timed, trained_as: Trained) -> dict[str, Any]:
    return result.row(trained_as.test)


if __name__ == "__main__":
    typer.run(main)
