"""Few labels and cheap dynamics: `python benchmarks/training/correction.py [ethanol|3bpa|md17_ethanol|md17_aspirin]`.

What docs/training.md describes under "Few labels of an expensive method", by the same commands: dynamics by GFN2-xTB
and a model of it; two models of the difference between the labels and GFN2-xTB, one from that model and one from
scratch, so that their errors differ; dynamics corrected by their mean, a model trained on that, and at last on the
labels themselves. Adds its errors on the test frames to accuracy.json and accuracy.md. What is done is kept: the same
command goes on after a stop, inside a training too.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from accuracy import ASPIRIN, MD17_ETHANOL, RESULTS, RMD17, THREE_BPA, frames, row, scores, train, write_table
from frames_of import OUT, prepare_xtb

from frames.data import read

DATA = {  # by name: that of the row, the labels, and the dynamics by GFN2-xTB
    "ethanol": ("rmd17_ethanol", RMD17, "ethanol"),
    "3bpa": ("3bpa", THREE_BPA, "3bpa"),
    "md17_ethanol": ("md17_ethanol", MD17_ETHANOL, "ethanol"),
    "md17_aspirin": ("md17_aspirin", ASPIRIN, "md17_aspirin"),
}
EVERY = 5  # frames of the cheap dynamics between two that are learnt

BLOCKS = """path = "{path}"
labelled = 3500           # of each of its runs, all in blocks of time
validation_fraction = 0.05
test_fraction = 0.1
validation_frames = 50
test_frames = 250"""

TRAINING = """output = "{output}"

[data]
{data}

[model]
{model}

[auxiliary]
task = "none"

[training]
minutes = {minutes}
clock = "cpu"
steps = 1000000
threads = 1
{training}
"""


def main(
    name: Annotated[str, typer.Argument(help=f"Of {', '.join(DATA)}.")] = "ethanol",
    cheap_minutes: Annotated[float, typer.Option(help="CPU time of the model of GFN2-xTB.")] = 12.0,
    difference_minutes: Annotated[float, typer.Option(help="CPU time of each model of the difference.")] = 10.0,
    minutes: Annotated[float, typer.Option(help="CPU time of the training on corrected dynamics.")] = 45.0,
    final_minutes: Annotated[float, typer.Option(help="CPU time of the last one, on the labels themselves.")] = 5.0,
) -> None:
    """Does what is missing, and writes the row."""
    if name not in DATA:
        sys.exit(f"{name}: unknown; known are {', '.join(DATA)}")
    title, data, dynamics_of = DATA[name]
    files, dynamics, folder = data.prepare(), prepare_xtb(dynamics_of), OUT / f"correction_{name}"
    folder.mkdir(exist_ok=True)
    cheap = trained(folder / "cheap", BLOCKS.format(path=dynamics), 'preset = "medium"', cheap_minutes)

    roles = ("train", "validation", *data.tests.values())
    difference = {role: folder / f"difference_{role}.h5" for role in roles}
    for role in roles:
        label(files[role], difference[role], "--method", "GFN2-xTB", "--subtract")
    start = f'start = "{cheap / "best.pt"}"'
    of_difference = [
        trained(folder / f"difference_{k}", split(difference), model, difference_minutes, settings)
        for k, (model, settings) in enumerate(
            (
                (start, "seed = 1\nlearning_rate = 2e-3\nweight_decay = 0.01"),
                ('preset = "medium"', "seed = 2\nweight_decay = 0.02"),
            ),
            start=1,
        )
    ]
    models = [exported(place) for place in of_difference]

    corrected = folder / "corrected.h5"
    given = [argument for model in models for argument in ("--model", str(model))]
    label(dynamics, corrected, *given, "--add", "--every", str(EVERY))
    settings = "learning_rate = 2e-3"
    of_dynamics = trained(folder / "model", split({**files, "train": corrected}), start, minutes, settings)
    start = f'start = "{of_dynamics / "best.pt"}"'
    last = trained(folder / "final", split(files), start, final_minutes, "learning_rate = 3e-4")
    before = (cheap, *of_difference, of_dynamics)
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[f"{title}, corrected dynamics"] = {
        **row(last),
        "errors": scores(last, {k: files[role] for k, role in data.tests.items()}),
        "before": [{key: row(place)[key] for key in ("minutes", "test")} for place in before],
        "mean_difference_force_mae": mean_error(models, difference[next(iter(data.tests.values()))], folder),
        "frames_of_dynamics": sum(len(run) for run in read(corrected)),
    }
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    write_table(results)


def label(source: Path, target: Path, *options: str) -> None:
    """`frames data label`, unless it is done."""
    if not target.exists():
        frames("data", "label", source, target, *options)


def split(files: dict[str, Path]) -> str:
    """The [data] table of frames that are split already."""
    return "\n".join(f'{role} = "{files[role]}"' for role in ("train", "validation", "test"))


def trained(folder: Path, data: str, model: str, minutes: float, training: str = "") -> Path:
    """A training by these tables; goes on, or finds it done. Returns its folder."""
    config = folder.with_suffix(".toml")
    text = TRAINING.format(output=folder.name, data=data, model=model, minutes=minutes, training=training)
    if config.exists() and config.read_text() != text:  # what follows was made from it
        sys.exit(f"{config}: was made with other settings; remove {folder.parent} to start anew, or give those again")
    config.write_text(text)
    return train(config)


def exported(folder: Path) -> Path:
    """Its model file."""
    model = folder / "model.pt"
    if not model.exists():
        frames("export", folder / "best.pt", "-o", model)
    return model


def mean_error(models: list[Path], difference: Path, folder: Path) -> float:
    """meV/Å: what the mean of the models leaves of the difference, on test frames."""
    left = folder / "left.h5"
    given = [argument for model in models for argument in ("--model", str(model))]
    label(difference, left, *given, "--subtract")
    return round(1e3 * float(np.abs(np.concatenate([run.forces.ravel() for run in read(left)])).mean()), 3)


if __name__ == "__main__":
    typer.run(main)
