"""Force error against training time, FRAMES beside NequIP and MACE: `python benchmarks/peers/minutes.py`.

Trains each for 5, 15 and 60 minutes of CPU time on one core, two at a time, on the frames of README.md, the longest
first, so that both cores are busy to the end. Compilation is not counted, for any of them. Writes minutes.json and
minutes.md beside this file after each training, and leaves out what is there: the command goes on after a stop, and
--again starts anew. Two and a quarter hours in all.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated, Any

import typer
from catalogue import ENGINES, MODELS
from engine import Budget, Model
from environments import ensure
from errors import PeerError
from systems import training_frames
from training import trained

from frames.bench import processor

HERE = Path(__file__).resolve().parent
OURS = "frames_cartesian_medium"
NAMES = (OURS, "nequip_l1_32x4", "mace_64x0e_64x1o")
TIMES = (5.0, 15.0, 60.0)
Errors = dict[str, dict[str, Any]]
"""{minutes: {model: force MAE on the test frames, meV/Å, "processor": of the last of them}}"""


def main(
    times: Annotated[list[float] | None, typer.Option("--minutes", help="Of each training; 5, 15 and 60.")] = None,
    jobs: Annotated[int, typer.Option(help="Trainings at once, one core each.", min=1)] = 2,
    again: Annotated[bool, typer.Option("--again", help="Also what has its number already.")] = False,
) -> None:
    """Trains what is missing, and writes the table."""
    path = HERE / "minutes.json"
    found: Errors = json.loads(path.read_text()) if path.exists() and not again else {}
    missing = [
        (minutes, model)
        for minutes in sorted(times or TIMES, reverse=True)
        for model in MODELS
        if model.name in NAMES and model.name not in found.get(f"{minutes:g}", {})
    ]
    reasons = []
    try:
        training_frames()
        for _, model in missing:
            ensure(ENGINES[model.engine].environment)
    except PeerError as error:
        typer.echo(f"minutes: {error}", err=True)
        raise typer.Exit(1) from None
    with ThreadPoolExecutor(jobs) as pool:
        started = {pool.submit(_error, model, minutes): (f"{minutes:g}", model.name) for minutes, model in missing}
        for training in as_completed(started):
            minutes, name = started[training]
            try:
                found.setdefault(minutes, {})[name] = training.result()
                found[minutes]["processor"] = processor()
            except PeerError as error:
                reasons.append(f"{name}, {minutes} minutes: {error}")
                continue
            found = dict(sorted(found.items(), key=lambda item: float(item[0])))
            path.write_text(json.dumps(found, indent=1) + "\n")
            (HERE / "minutes.md").write_text(table(found))
    for reason in reasons:
        typer.echo(f"minutes: {reason}", err=True)
    raise typer.Exit(bool(reasons))


def _error(model: Model, minutes: float) -> float:
    """meV/Å on the test frames."""
    return round(trained(ENGINES[model.engine], model, "l1", Budget(minutes, "cpu"), 1).test, 2)


def table(found: Errors) -> str:
    """Models down, minutes across; in brackets what share of a peer's error ours is."""
    lines = [
        "Written by minutes.py: force MAE in meV/Å on 1,000 test frames of rMD17 ethanol after so many minutes of one",
        "core (CPU time), one training each; all minimise absolute errors. In brackets: ours over that of the peer.",
        "",
        f"| | {' | '.join(f'{minutes} min' for minutes in found)} |",
        "|---|" + "---|" * len(found),
    ]
    lines += [f"| {name} | {' | '.join(_cell(row, name) for row in found.values())} |" for name in NAMES]
    lines.append(f"| processor | {' | '.join(row.get('processor', 'not recorded') for row in found.values())} |")
    return "\n".join(lines) + "\n"


def _cell(row: dict[str, Any], name: str) -> str:
    if name not in row:
        return "–"
    return f"{row[name]:.1f}" + ("" if name == OURS or OURS not in row else f" ({row[OURS] / row[name]:.2f})")


if __name__ == "__main__":
    typer.run(main)
