"""Accuracy per minute: `python benchmarks/training/accuracy.py [NAME] [--processes N]`.

Trains by NAME.toml beside this file (rmd17_ethanol if not given, 3bpa, or md17_aspirin), with several processes through
torchrun if asked, and adds the curve and the errors on all test frames to accuracy.json and accuracy.md. A training
that was stopped goes on.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from frames_of import HERE, OUT, prepare, prepare_3bpa, prepare_aspirin, prepare_md17_ethanol
from run import machine

from frames.config import load_config
from frames.training.checkpoint import load_checkpoint

RESULTS = HERE / "accuracy.json"
MAIN = "from frames.cli import main; main()"
PUBLISHED = """\
Published, not measured here, from labels alone and long trainings: force MAE on rMD17 ethanol MACE 2.1, Allegro 2.1,
NequIP 2.8 (1,000 labels); force RMSE on 3BPA at 300 and 600 K MACE about 8.8 and 21.8, NequIP 10.8 and 26.4."""
COLUMNS = ("energy_mae", "energy_rmse", "force_mae", "force_rmse")


@dataclass(frozen=True)
class Data:
    """Frames of a training: what makes the files, and the tests by the name of their row."""

    prepare: Callable[[], dict[str, Path]]
    tests: dict[str, str]


RMD17 = Data(prepare, {"": "test"})
THREE_BPA = Data(prepare_3bpa, {"300 K": "test", "600 K": "600K"})
ASPIRIN = Data(prepare_aspirin, {"": "test"})
MD17_ETHANOL = Data(prepare_md17_ethanol, {"": "test"})
DATA = {"rmd17_ethanol": RMD17, "3bpa": THREE_BPA, "md17_aspirin": ASPIRIN}


def main(
    name: Annotated[str, typer.Argument(help=f"Of {', '.join(DATA)}.")] = "rmd17_ethanol",
    processes: Annotated[int, typer.Option(help="Processes that share each batch.", min=1)] = 1,
) -> None:
    """Trains, or goes on, and writes the row of the configuration."""
    if name not in DATA:
        sys.exit(f"{name}: unknown; known are {', '.join(DATA)}")
    data = DATA[name]
    files = data.prepare()
    folder = train(HERE / f"{name}.toml", processes)
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    key = f"{name}, {processes} processes" if processes > 1 else name
    results[key] = {**row(folder), "errors": scores(folder, {k: files[role] for k, role in data.tests.items()})}
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    write_table(results)


def train(config: Path, processes: int = 1) -> Path:
    """Trains by a configuration, or goes on, or finds it done. Returns its folder."""
    folder = Path(load_config(config)[0].output)
    best = folder / "best.pt"
    if not (best.exists() and "test" in load_checkpoint(best).report):
        entry = OUT / "train.py"
        entry.write_text(f"{MAIN}\n")
        start = [sys.executable]
        if processes > 1:
            start += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        resume = ["--resume"] if (folder / "last.pt").exists() else []
        environment = {**os.environ, "OMP_NUM_THREADS": "1"} if processes > 1 else None
        call([*start, entry, "train", config, *resume], environment)
    return folder


def frames(*arguments: str | Path) -> None:
    """A command of the package."""
    call([sys.executable, "-c", MAIN, *arguments])


def call(command: Sequence[str | Path], environment: dict[str, str] | None = None) -> None:
    """Ends where the command fails, which has said why."""
    if failed := subprocess.run(command, check=False, env=environment).returncode:
        sys.exit(failed)


def row(folder: Path) -> dict[str, Any]:
    """Errors on the test frames, and the validation error against time, at most 60 points of it."""
    report = load_checkpoint(folder / "best.pt").report
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    every = -(-len(rows) // 60)
    curve = [
        [round(float(r["seconds"]) / 60, 2), round(float(r["validation_force_mae_mev_per_angstrom"]), 3)]
        for r in [*rows[:-1:every], rows[-1]]
    ]
    return {
        "machine": machine(),
        "minutes": round(report["seconds"] / 60, 2),
        "steps": report["steps_done"],
        "split": report["split"],
        "test": {key: round(value, 3) for key, value in report["test"].items()},
        "validation_force_mae_by_minutes": curve,
    }


def scores(folder: Path, tests: dict[str, Path]) -> dict[str, dict[str, float]]:
    """Errors of the exported model, by `frames evaluate`: {"test": {"energy_rmse": meV, "force_mae": meV/Å, ...}}."""
    model, found = folder / "model.pt", {}
    frames("export", folder / "best.pt", "-o", model)
    for name, path in tests.items():
        numbers = folder / "errors.json"
        frames("evaluate", model, path, "--json", numbers)
        errors = {e["name"]: e for e in json.loads(numbers.read_text())["errors"]}
        found[name] = {
            f"{what}_{kind}": round(errors[what][kind], 3) for what in ("energy", "force") for kind in ("mae", "rmse")
        }
    return found


def of_training(test: dict[str, float]) -> dict[str, float]:
    """Of rows from before the exported model was scored: what the training itself found."""
    names = {
        "energy_mae": "energy_mae_mev",
        "force_mae": "force_mae_mev_per_angstrom",
        "force_rmse": "force_rmse_mev_per_angstrom",
    }
    return {name: test[key] for name, key in names.items()}


def write_table(results: dict[str, Any]) -> None:
    """accuracy.md."""
    lines = [
        "Written by accuracy.py and correction.py from accuracy.json: preset `medium`, one seed. Minutes are of one",
        "core; before the last plus those of models of GFN2-xTB and of the difference to it (correction.py).",
        "",
        "| training | frames | minutes | energy MAE, meV | RMSE | force MAE, meV/Å | RMSE |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, found in results.items():
        minutes = " + ".join(f"{one['minutes']:g}" for one in (*found.get("before", ()), found))
        for test, errors in found.get("errors", {"": of_training(found["test"])}).items():
            numbers = [f"{errors[name]:.2f}" if name in errors else "–" for name in COLUMNS]
            lines.append(f"| {key} | {test or 'test'} | {minutes} | {' | '.join(numbers)} |")
    lines += ["", PUBLISHED]
    (HERE / "accuracy.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    typer.run(main)
