"""Accuracy per minute: `python benchmarks/training/accuracy.py [NAME] [--processes N]`.

Trains by NAME.toml (rmd17_ethanol if not given) beside this file, with several processes through torchrun if asked,
and adds the curve and the errors on the test frames to accuracy.json.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from frames_of import HERE, OUT, prepare
from run import machine

from frames.config import load_config
from frames.training.checkpoint import load_checkpoint

RESULTS = HERE / "accuracy.json"
MAIN = "from frames.cli import main; main()"


def main(
    name: Annotated[str, typer.Argument(help="Configuration without its suffix.")] = "rmd17_ethanol",
    processes: Annotated[int, typer.Option(help="Processes that share each batch.", min=1)] = 1,
) -> None:
    """Trains, or goes on, and writes the row of the configuration."""
    prepare()
    config = HERE / f"{name}.toml"
    folder = Path(load_config(config)[0].output)
    entry = OUT / "train.py"
    entry.write_text(f"{MAIN}\n")
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    resume = ["--resume"] if (folder / "last.pt").exists() else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1"} if processes > 1 else None
    subprocess.run([*start, entry, "train", config, *resume], check=True, env=environment)
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[f"{name}, {processes} processes" if processes > 1 else name] = row(folder)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


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


if __name__ == "__main__":
    typer.run(main)
