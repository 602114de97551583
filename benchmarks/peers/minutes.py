"""Force error against training time, FRAMES beside NequIP and MACE: `python benchmarks/peers/minutes.py`.

Trains each for 5, 15 and 60 minutes of CPU time on one core, two at a time, on the frames of README.md, the longest
first, so that both cores are busy to the end. Compilation is not counted, for any of them. What was trained before with
the same settings is not trained again, so the command goes on after a stop. Writes minutes.json and minutes.md beside
this file. Two and a quarter hours in all.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer
from catalogue import ENGINES, MODELS
from engine import Budget
from environments import ensure
from errors import PeerError
from systems import training_frames
from training import trained

HERE = Path(__file__).resolve().parent
OURS = "frames_cartesian_medium"
NAMES = (OURS, "nequip_l1_32x4", "mace_64x0e_64x1o")
TIMES = (5.0, 15.0, 60.0)
Errors = dict[str, dict[str, float]]
"""{minutes: {model: force MAE on the test frames, meV/Å}}"""


def main(
    times: Annotated[list[float] | None, typer.Option("--minutes", help="Of each training; 5, 15 and 60.")] = None,
    jobs: Annotated[int, typer.Option(help="Trainings at once, one core each.", min=1)] = 2,
) -> None:
    """Trains what is missing, and writes the table."""
    path = HERE / "minutes.json"
    found: Errors = json.loads(path.read_text()) if path.exists() else {}
    models = [model for model in MODELS if model.name in NAMES]
    try:
        training_frames()
        for model in models:
            ensure(ENGINES[model.engine].environment)
        with ThreadPoolExecutor(jobs) as pool:
            started = {
                (f"{minutes:g}", model.name): pool.submit(
                    trained, ENGINES[model.engine], model, "l1", Budget(minutes, "cpu"), 1
                )
                for minutes in sorted(times or TIMES, reverse=True)
                for model in models
            }
        for (minutes, name), training in started.items():
            found.setdefault(minutes, {})[name] = round(training.result().test, 2)
    except PeerError as error:
        typer.echo(f"minutes: {error}", err=True)
        raise typer.Exit(1) from None
    found = dict(sorted(found.items(), key=lambda item: float(item[0])))
    path.write_text(json.dumps(found, indent=1) + "\n")
    (HERE / "minutes.md").write_text(table(found))


def table(found: Errors) -> str:
    """Models down, minutes across; in brackets what share of a peer's error ours is."""
    lines = [
        "Written by minutes.py: force MAE in meV/Å on 1,000 test frames of rMD17 ethanol after so many minutes of one",
        "core (CPU time), one training each; all minimise absolute errors. In brackets: ours over that of the peer.",
        "",
        f"| | {' | '.join(f'{minutes} min' for minutes in found)} |",
        "|---|" + "---|" * len(found),
    ]
    for name in NAMES:
        cells = [
            f"{row[name]:.1f}" + ("" if name == OURS else f" ({row[OURS] / row[name]:.2f})") for row in found.values()
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
