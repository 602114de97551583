"""Why the presets of `cartesian` are what they are: force error against time, for many widths and depths.

`python benchmarks/tradeoff/run.py [--minutes N] [--longer N] [--jobs N]` generates the trajectory (GFN2-xTB ethanol),
trains every variant on the same frames for the same time on one core, then a few of them for longer, and writes
results.json and tradeoff.png beside this file. A training that is there is kept, so that a run that was interrupted
goes on. The longer trainings take as many steps as would fit their minutes by the clock of the short ones, so that
other work may run beside them.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
DATA = OUT / "ethanol.h5"
FRAMES = Path(sys.executable).with_name("frames")

CONFIG = """output = "{folder}"
[data]
path = "{data}"
labelled = 950
gap = 200
validation_frames = 100
test_frames = 1000
[model]
settings = {{ channels = {channels}, layers = {layers}, radial_functions = {radial} }}
[training]
minutes = {minutes}
steps = {steps}
threads = 1
compile = true
"""


@dataclass(frozen=True)
class Variant:
    """A width, a depth and a number of radial functions."""

    channels: int
    layers: int
    radial: int = 8

    @property
    def name(self) -> str:
        return name_of(self.__dict__)


def name_of(settings: Mapping[str, Any]) -> str:
    """Of a variant or of a row of the results."""
    return f"C{settings['channels']}_L{settings['layers']}_n{settings['radial']}"


PRESETS = {"small": Variant(32, 1), "medium": Variant(64, 2), "large": Variant(128, 3)}
VARIANTS = (
    *PRESETS.values(),
    Variant(16, 2),
    Variant(32, 2),
    Variant(64, 1),
    Variant(64, 3),
    Variant(128, 2),
    Variant(64, 2, 6),
    Variant(64, 2, 12),
)
LONGER = (Variant(64, 1), Variant(64, 2))


def main(
    minutes: Annotated[float, typer.Option(help="Time of each training, compilation included.")] = 5.0,
    longer: Annotated[float, typer.Option(help="The same for a few variants; 0: none.")] = 15.0,
    jobs: Annotated[int, typer.Option(help="Trainings at once, one core each.")] = 2,
) -> None:
    """Trains, times, plots."""
    OUT.mkdir(exist_ok=True)
    generate = ["data", "generate", "--steps", "6000", "--dt", "0.5", "--temperature", "500", "--seed", "0", "-o", DATA]
    call(OUT / "generate.log", *generate)
    with ThreadPoolExecutor(jobs) as pool:
        trained = list(pool.map(lambda variant: train(variant, minutes), VARIANTS))
        chosen = LONGER if longer else ()
        again = list(pool.map(lambda variant: train(variant, longer, steps_in(variant, minutes, longer)), chosen))
    costs = time_all([folder / "model.pt" for folder in trained])
    rows = {}
    for variant, folder, cost in zip(VARIANTS, trained, costs, strict=True):
        report = json.loads((folder / "report.json").read_text())
        rows[variant.name] = {
            **variant.__dict__,
            "preset": next((name for name, preset in PRESETS.items() if preset == variant), None),
            **report,
            **cost,
        }
    results: dict[str, Any] = {"minutes": minutes, "variants": rows}
    if longer:
        reports = [json.loads((folder / "report.json").read_text()) for folder in again]
        found = {variant.name: report for variant, report in zip(chosen, reports, strict=True)}
        results["longer"] = {"minutes": longer, "variants": found}
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    plot(results)


def steps_in(variant: Variant, minutes: float, longer: float) -> int:
    """Steps that fit the longer time, at the rate of the shorter run and after the same start."""
    with (OUT / f"{variant.name}_{minutes:g}min" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    first, last = ((int(rows[k]["step"]), float(rows[k]["seconds"])) for k in (0, -1))
    rate = (last[0] - first[0]) / (last[1] - first[1])
    return int(first[0] + rate * (60 * longer - first[1]))


def train(variant: Variant, minutes: float, steps: int | None = None) -> Path:
    """Trains and exports one variant, for minutes or for steps if given; returns its folder."""
    from frames.training.checkpoint import load_checkpoint

    folder = OUT / f"{variant.name}_{minutes:g}min"
    if not (folder / "report.json").exists():
        folder.mkdir(exist_ok=True)
        (folder / "config.toml").write_text(
            CONFIG.format(
                folder=folder,
                data=DATA,
                minutes=1e4 if steps else minutes,
                steps=steps or 1_000_000,
                channels=variant.channels,
                layers=variant.layers,
                radial=variant.radial,
            )
        )
        call(folder / "train.log", "train", folder / "config.toml")
        call(folder / "export.log", "export", folder / "best.pt", "-o", folder / "model.pt")
        report = load_checkpoint(folder / "best.pt").report
        chosen = {"steps": report["step"], **report["test"]}
        (folder / "report.json").write_text(json.dumps(chosen, indent=1))
    print(folder.name, "trained", flush=True)
    return folder


def time_all(models: list[Path], rounds: int = 15) -> list[dict[str, Any]]:
    """ms of an evaluation by the native engine, one thread, models in turns: ethanol, and 27 copies of it."""
    from frames.bench import Sample, enlarge, load_sample
    from frames.inference import find_edges
    from frames.native import NativeModel

    engines = [NativeModel(model, 1) for model in models]
    one = load_sample(models[0], None)
    samples: dict[str, Sample] = {"ethanol": one, "box": enlarge(one, 243)}
    found: list[dict[str, Any]] = [{} for _ in models]
    for name, sample in samples.items():
        edges, vectors = find_edges(sample.positions, sample.cell, sample.pbc, engines[0].metadata.cutoff)
        times: list[list[float]] = [[] for _ in models]
        for engine in engines:
            engine.evaluate_edges(sample.atomic_numbers, edges, vectors)
        for _ in range(rounds):
            for engine, spent in zip(engines, times, strict=True):
                spent += list(engine.time(50 if name == "ethanol" else 5))
        for row, spent in zip(found, times, strict=True):
            row[f"ms_{name}"] = 1e3 * float(np.median(spent))
        print(name, len(sample.atomic_numbers), "atoms", flush=True)
    return found


def plot(results: dict[str, Any]) -> None:
    """Force error against time, one panel for each system, one line for each depth; longer trainings hang below."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator

    rows: dict[str, dict[str, Any]] = results["variants"]
    longer = results.get("longer", {"minutes": 0, "variants": {}})
    figure, panels = plt.subplots(1, 2, figsize=(9, 4.4), sharey=True, layout="constrained")
    titles = {"ms_ethanol": "ethanol, 9 atoms", "ms_box": "27 molecules of ethanol, 243 atoms"}
    for axes, (key, title) in zip(panels, titles.items(), strict=True):
        for layers in sorted({row["layers"] for row in rows.values()}):
            chosen = [row for row in rows.values() if row["layers"] == layers and row["radial"] == 8]
            chosen.sort(key=lambda row: row["channels"])
            x, y = ([row[k] for row in chosen] for k in (key, "force_mae_mev_per_angstrom"))
            label = f"{layers} interaction{'s' if layers > 1 else ''}"
            (line,) = axes.plot(x, y, marker="o", markersize=4, label=label)
            after = [row for row in chosen if name_of(row) in longer["variants"]]
            y = [longer["variants"][name_of(row)]["force_mae_mev_per_angstrom"] for row in after]
            x = [row[key] for row in after]
            axes.plot(x, y, marker="s", markersize=5, linestyle="--", color=line.get_color())
        for row in rows.values():
            place = (row[key], row["force_mae_mev_per_angstrom"])
            text = f"{row['channels']}" + (f", n = {row['radial']}" if row["radial"] != 8 else "")
            if row["radial"] != 8:
                axes.plot(*place, marker="x", color="0.4", linestyle="none")
            if row["preset"]:
                axes.plot(*place, marker="o", markersize=11, markerfacecolor="none", color="0.3", linestyle="none")
                text += f" ({row['preset']})"
            beside = {"xytext": (-8, -12), "ha": "right"} if row["radial"] < 8 else {"xytext": (7, 5)}
            axes.annotate(text, place, textcoords="offset points", fontsize=8, **beside)
        axes.set(xscale="log", yscale="log", xlabel="ms per evaluation, one thread", title=title)
        axes.margins(x=0.25, y=0.1)
        axes.grid(alpha=0.3, which="both")
        for axis, digits in ((axes.xaxis, (1, 2, 5)), (axes.yaxis, (1, 2, 3, 4, 5, 7))):
            axis.set_major_locator(LogLocator(subs=digits))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("")
    panels[0].set_ylabel("force MAE on the later block (meV/Å)")
    explanation = f"channels at the points, {results['minutes']:g} min each"
    if longer["variants"]:
        explanation += f"; squares: {longer['minutes']:g} min"
    lines, names = panels[0].get_legend_handles_labels()
    figure.legend(lines, names, title=explanation, fontsize=8, title_fontsize=8, ncols=3, loc="outside lower center")
    figure.savefig(HERE / "tradeoff.png", dpi=150)
    plt.close(figure)


def call(log: Path, *arguments: object) -> None:
    """Runs `frames` with its output in a file."""
    with log.open("w") as output:
        done = subprocess.run([FRAMES, *map(str, arguments)], stdout=output, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.exit(f"frames {arguments[0]} failed, see {log}:\n{log.read_text()[-500:]}")


if __name__ == "__main__":
    typer.run(main)
