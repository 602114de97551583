"""The study of the auxiliary tasks: `python benchmarks/study/run.py`. docs/study.md says what came out.

Makes the data that can be made, trains every arm on every system for the same CPU time on one thread, two trainings
at once, and writes results.json, tables and plots, and the tables of docs/study.md. Whatever was done is kept: the
same command goes on after a stop, inside a training too. Rows of another processor stay, in tables of their own: equal
time is not equal there. Nor need it be on another machine with the same processor, so arms to be compared are run
on one, and rows have their date. A system whose data cannot be had is left out, with the reason.

    --slice main         which part: main (all systems, 300 labels), budgets, lengths, steps (as many for every arm, in
                         any time), equiformer, newton, reach (frames several steps apart), transfer, aimd (further
                         short runs of plane waves), or all
    --only ethanol       systems by name, with commas between them
    --arms none,frames   arms by name
    --labels 100         trainings with so many labels
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

import typer
from plan import ARMS, SLICES, Job, all_systems, jobs
from report import write_report
from systems import BY_NAME, HERE, OUT, Missing

from frames.bench import processor

RESULTS = HERE / "results.json"
WRITING = Lock()
STARTING = Lock()


def main(
    part: Annotated[str, typer.Option("--slice", help=f"{', '.join(SLICES)}, or all.")] = "main",
    only: Annotated[str | None, typer.Option(help="Systems, with commas between them; all if not given.")] = None,
    arms: Annotated[str | None, typer.Option(help="Arms, with commas between them; all if not given.")] = None,
    labels: Annotated[int | None, typer.Option(help="Of the trainings; all if not given.", min=0)] = None,
    seeds: Annotated[int, typer.Option(help="Repetitions of everything.", min=1)] = 3,
    minutes: Annotated[float, typer.Option(help="CPU time of each training; not of equal steps.", min=0.01)] = 2.0,
    parallel: Annotated[int, typer.Option("--jobs", help="Trainings at once, one thread each.", min=1)] = 2,
    show: Annotated[bool, typer.Option("--list", help="Say what would be done, and end.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Write tables and plots again, and end.")] = False,
) -> None:
    """Runs the study, or what is missing of it."""
    chosen = chosen_of(only, all_systems(), "--only")
    wanted_arms = chosen_of(arms, list(ARMS), "--arms")
    slices = list(SLICES) if part == "all" else chosen_of(part, list(SLICES), "--slice")
    if report:
        write_report(rows())
        return
    done = {key_of(row) for row in rows()}
    todo: dict[Any, Job] = {}
    for name in slices:
        for job in jobs(name, seeds, minutes, chosen):
            wanted = job.arm.name in wanted_arms and labels in (None, job.labels)
            if wanted and job.key not in done:
                todo[job.key] = job
    hours = sum(job.minutes or 2.0 for job in todo.values()) / 60 / parallel  # equal steps take about two minutes
    print(f"{len(todo)} trainings to do, {len(done)} rows are there; about {hours:.1f} h", flush=True)
    for text in of_another_day(todo.values(), rows()):
        print(text, flush=True)
    if show:
        print("\n".join(job.name for job in todo.values()))
        return
    missing = prepare({part.system.name for job in todo.values() for part in (job, job.start) if part})
    ready = [job for job in todo.values() if job.system.name not in missing]
    with ThreadPoolExecutor(parallel) as pool:
        failures = [text for text in pool.map(run, ready) if text]
    write_report(rows())
    for text in [*(f"left out: {name}: {why}" for name, why in missing.items()), *failures]:
        print(text)
    if failures:
        sys.exit(1)


def of_another_day(todo: Iterable[Job], there: list[dict[str, Any]]) -> list[str]:
    """Says which arms would be compared with rows that may be of a faster or slower machine."""
    groups = {(job.system.name, job.labels, job.minutes, job.key[-1]) for job in todo if job.minutes}
    found = {
        f"{row['system']}: {row['task']} was measured on {row.get('date', 'another day')}; equal time is equal on one "
        "machine only: take its rows out of results.json if this is another one"
        for row in there
        if (row["system"], row["labels"], row["minutes"], row.get("processor", "")) in groups
        and row.get("date") != date.today().isoformat()
    }
    return sorted(found)


def chosen_of(given: str | None, known: list[str], option: str) -> list[str]:
    """The names of a list with commas, in the order of `known`."""
    names = known if given is None else given.split(",")
    for name in names:
        if name not in known:
            sys.exit(f"{option} {name}: unknown; known are {', '.join(known)}")
    return [name for name in known if name in names]


def prepare(names: set[str]) -> dict[str, str]:
    """Makes data files, one system after the other. Returns those that cannot be had, with the reason."""
    OUT.mkdir(exist_ok=True)
    missing = {}
    with (OUT / "data.lock").open("w") as lock:  # a second slice may be started beside this one
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in all_systems():
            if name in names:
                try:
                    BY_NAME[name].prepare()
                    if (bare := BY_NAME[name].bare) is not None:
                        bare()  # here, since trainings beside each other share the files
                except Missing as reason:
                    missing[name] = str(reason)
    return missing


def run(job: Job) -> str | None:
    """One training, from where it stopped if it did. Adds its rows; returns what went wrong, if anything."""
    from frames.training.checkpoint import load_checkpoint

    if job.start is not None:
        with STARTING:  # several jobs may go on from the same one
            if failed := run(job.start):
                return failed
    folder = job.folder
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.toml"
    config.write_text(toml(job.config()))
    best, last = folder / "run" / "best.pt", folder / "run" / "last.pt"
    if not (best.exists() and "test" in load_checkpoint(best).report):
        command = [sys.executable, "-c", "from frames.cli import main; main()", "train", str(config)]
        command += ["--resume"] if last.exists() else []
        with (folder / "log.txt").open("w") as log:
            failed = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
        if failed:
            return f"{job.name} failed: {(folder / 'log.txt').read_text().strip().splitlines()[-1]}"
    report = load_checkpoint(best).report
    found = [row_of(job, job.system.name, job.system.split, report, report["test"])]
    if job.arm.name == "none":
        found[0]["default"] = default_task(job)
    for name, path in job.system.elsewhere:
        found.append(row_of(job, name, "molecules that training never saw", report, score(best, path)))
    add(found)
    print(f"{job.name}: {found[0]['force_mae_mev_per_angstrom']:.1f} meV/Å", flush=True)
    return None


def default_task(job: Job) -> str:
    """What the default task, `auto`, chooses for the data of a training."""
    from frames.config import parse_config
    from frames.training.dataset import load_training_data

    raw = {"output": str(job.folder / "run"), "data": job.system.table(job.labels), "model": job.model}
    return load_training_data(parse_config(raw, job.name)).auxiliary.task


def score(checkpoint: Path, path: str) -> dict[str, float]:
    """Errors of the averaged parameters of a checkpoint on all frames of a file."""
    import torch

    from frames.data import read
    from frames.training.batch import FrameStore
    from frames.training.checkpoint import averaged_potential, load_checkpoint
    from frames.training.losses import ErrorSums
    from frames.training.trainer import predictions

    potential = averaged_potential(load_checkpoint(checkpoint))
    trajectories = read(path)
    store = FrameStore(trajectories, potential.cutoff, torch.float32, torch.device("cpu"))
    sums = ErrorSums()
    for batch, result in predictions(
        potential, store, [(t, i) for t, r in enumerate(trajectories) for i in range(len(r))]
    ):
        sums.add(result, batch)
    return sums.errors()


def row_of(job: Job, system: str, split: str, report: dict[str, Any], errors: dict[str, float]) -> dict[str, Any]:
    """One row of results.json."""
    return {
        "system": system,
        "backbone": job.model["backbone"],
        "task": job.arm.name,
        "labels": job.labels,
        "seed": job.seed,
        "force_mae_mev_per_angstrom": round(errors["force_mae_mev_per_angstrom"], 4),
        "energy_mae_mev": round(errors["energy_mae_mev"], 4) if "energy_mae_mev" in errors else None,
        "train_seconds": round(report["seconds"], 1),
        "split": split,
        "minutes": job.minutes,
        "steps": report["steps_done"],
        "labelled_frames": 0 if job.arm.bare else report["train_frames"],
        "processor": processor(),
        "date": date.today().isoformat(),  # machines with one name for their processor need not be equally fast
    }


def key_of(row: dict[str, Any]) -> tuple[str, str, str, int, int, float, str]:
    key = row["system"], row["backbone"], row["task"], row["labels"], row["seed"], row["minutes"]
    return *key, row.get("processor", "")


def rows() -> list[dict[str, Any]]:
    """What was measured so far."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else []


def add(found: list[dict[str, Any]]) -> None:
    """Adds rows to results.json, also beside another process that does."""
    with WRITING, (OUT / "results.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = {key_of(row): row for row in rows()}
        kept.update({key_of(row): row for row in found})
        text = ",\n".join(json.dumps(kept[key], ensure_ascii=False) for key in sorted(kept))
        RESULTS.write_text(f"[\n{text}\n]\n")


def toml(table: dict[str, Any], prefix: str = "") -> str:
    """A nested table as TOML; values are numbers, strings, booleans and lists of strings, which JSON writes alike."""
    lines = [f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in table.items() if not isinstance(v, dict)]
    for name, inner in table.items():
        if isinstance(inner, dict):
            lines += [f"\n[{prefix}{name}]", toml(inner, f"{prefix}{name}.")]
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
