"""Few labels and cheap dynamics: `python benchmarks/training/correction.py [ethanol|3bpa] [--members N]`.

What docs/training.md describes under "Few labels of an expensive method", by the same commands: dynamics by GFN2-xTB,
models of the difference between the labels and GFN2-xTB, dynamics corrected by their mean, and the model trained on
that. Adds its errors on the test frames to accuracy.json and accuracy.md. What is done is kept: the same command goes
on after a stop, inside a training too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from accuracy import MAIN, RESULTS, RMD17, THREE_BPA, row, scores, train, write_table
from frames_of import OUT, prepare_xtb

from frames.data import read

DATA = {"ethanol": ("rmd17_ethanol", RMD17), "3bpa": ("3bpa", THREE_BPA)}
EVERY = 5  # frames of the cheap dynamics between two that are learnt

TRAINING = """output = "{output}"

[data]
train = "{train}"
validation = "{validation}"
test = "{test}"

[model]
preset = "medium"

[auxiliary]
task = "none"

[training]
minutes = {minutes}
clock = "cpu"
steps = 1000000
threads = 1
seed = {seed}
weight_decay = {weight_decay}
"""


def main(
    name: Annotated[str, typer.Argument(help=f"Of {', '.join(DATA)}.")] = "ethanol",
    members: Annotated[int, typer.Option(help="Models of the difference.", min=1)] = 3,
    difference_minutes: Annotated[float, typer.Option(help="CPU time of each of them.")] = 10.0,
    minutes: Annotated[float, typer.Option(help="CPU time of the model.")] = 45.0,
) -> None:
    """Does what is missing, and writes the row."""
    if name not in DATA:
        sys.exit(f"{name}: unknown; known are {', '.join(DATA)}")
    title, data = DATA[name]
    files, cheap, folder = data.prepare(), prepare_xtb(name), OUT / f"correction_{name}"
    folder.mkdir(exist_ok=True)
    roles = ("train", "validation", *data.tests.values())
    difference = {role: folder / f"difference_{role}.h5" for role in roles}
    for role in roles:
        label(files[role], difference[role], "--method", "GFN2-xTB", "--subtract")
    models, members_found = [], []
    for seed in range(members):
        place = trained(folder / f"difference_{seed}", difference, difference_minutes, seed, 0.01)
        members_found.append(row(place))
        models.append(exported(place))
    corrected = folder / f"corrected_{members}.h5"
    given = [argument for model in models for argument in ("--model", str(model))]
    label(cheap, corrected, *given, "--add", "--every", str(EVERY))
    place = trained(folder / f"model_{members}", {**files, "train": corrected}, minutes, 0, 0.0)
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    errors = scores(place, {k: files[role] for k, role in data.tests.items()})
    results[f"{title}_corrected"] = {
        **row(place),
        "errors": errors,
        "differences": [{key: found[key] for key in ("minutes", "test")} for found in members_found],
        "mean_difference_force_mae": mean_error(models, difference[next(iter(data.tests.values()))], folder),
        "cheap_frames": sum(len(run) for run in read(corrected)),
    }
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    write_table(results)


def label(source: Path, target: Path, *options: str) -> None:
    """`frames data label`, unless it is done."""
    if not target.exists():
        subprocess.run([sys.executable, "-c", MAIN, "data", "label", source, target, *options], check=True)


def trained(folder: Path, files: dict[str, Path], minutes: float, seed: int, weight_decay: float) -> Path:
    """A training by files that somebody else has split; goes on, or finds it done. Returns its folder."""
    config = folder.with_suffix(".toml")
    roles = {role: str(files[role]) for role in ("train", "validation", "test")}
    config.write_text(
        TRAINING.format(output=folder.name, minutes=minutes, seed=seed, weight_decay=weight_decay, **roles)
    )
    return train(config)


def exported(folder: Path) -> Path:
    """Its model file."""
    model = folder / "model.pt"
    if not model.exists():
        subprocess.run([sys.executable, "-c", MAIN, "export", folder / "best.pt", "-o", model], check=True)
    return model


def mean_error(models: list[Path], difference: Path, folder: Path) -> float:
    """meV/Å: what the mean of the models leaves of the difference, on test frames."""
    left = folder / f"left_{len(models)}.h5"
    given = [argument for model in models for argument in ("--model", str(model))]
    label(difference, left, *given, "--subtract")
    return round(1e3 * float(np.abs(np.concatenate([run.forces.ravel() for run in read(left)])).mean()), 3)


if __name__ == "__main__":
    typer.run(main)
