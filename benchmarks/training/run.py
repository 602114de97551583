"""What a training step costs: `python benchmarks/training/run.py [--only small,5] [--seconds N]`.

rMD17 ethanol, presets small and medium, batches of 5 and 32, plain and compiled, one thread and two, each in a process
of its own with an empty compilation cache. Writes results.json and table.md beside this file. A row that is there is
kept; `--again` measures it anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import product
from typing import Annotated, Any

import numpy as np
import typer
from frames_of import HERE, prepare

from frames.bench import processor

RESULTS = HERE / "results.json"
PRESETS, BATCHES, THREADS = ("small", "medium"), (5, 32), (1, 2)
PEERS = {"NequIP l=1, 32 features, 4 layers, compiled": 22, "MACE 32x0e+32x1o": 87}  # ms per batch of 5, two cores
PARTS = ("batch", "energies and forces", "gradient of the loss", "optimizer", "average", "losses and the rest")


def main(
    only: Annotated[str | None, typer.Option(help="Rows whose name holds all of these words, with commas.")] = None,
    seconds: Annotated[float, typer.Option(help="Of each measurement.")] = 10.0,
    again: Annotated[bool, typer.Option("--again", help="Measure rows that are there too.")] = False,
    one: Annotated[str | None, typer.Option("--one", hidden=True)] = None,
) -> None:
    """Measures what is missing, and writes the table."""
    if one is not None:
        print(json.dumps(measure(**json.loads(one), seconds=seconds)))
        return
    prepare()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for preset, batch, compiled, threads in product(PRESETS, BATCHES, (False, True), THREADS):
        name = f"{preset} batch{batch} {'compiled' if compiled else 'plain'} {threads}thread"
        wanted = only is None or all(word in name for word in only.split(","))
        if wanted and (again or name not in results):
            settings = {"preset": preset, "batch": batch, "compiled": compiled, "threads": threads}
            results[name] = {**settings, "machine": machine(), **in_own_process(settings, seconds)}
            print(f"{name}: {results[name]['ms']:.1f} ms", flush=True)
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "table.md").write_text(table(list(results.values())))


def in_own_process(settings: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Measures in a process with so many threads, and nothing compiled before."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(settings["threads"]),
            "TORCHINDUCTOR_CACHE_DIR": cache,
        }
        command = [sys.executable, __file__, "--one", json.dumps(settings), "--seconds", str(seconds)]
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(preset: str, batch: int, compiled: bool, threads: int, seconds: float) -> dict[str, Any]:
    """Lower quartile of the time of a step, its parts, and the time of the compilation."""
    import torch

    from frames.config import parse_config
    from frames.training.dataset import load_training_data
    from frames.training.trainer import Trainer

    torch.set_num_threads(threads)
    raw = {
        "output": "unused",
        "data": {role: str(path) for role, path in prepare().items()},
        "model": {"preset": preset},
        "auxiliary": {"task": "none"},
        "training": {"batch_size": batch, "compile": compiled, "threads": threads},
    }
    config = parse_config(raw, "benchmark")
    trainer = Trainer(config, load_training_data(config))
    start = time.perf_counter()
    if compiled:
        trainer.compile()
    compilation = time.perf_counter() - start
    for _ in range(950 // batch + 5):  # an epoch, so that every neighbour list is there
        trainer.advance()
    whole, cpu = timed_steps(trainer, 0.7 * seconds)
    # one thread never waits, so that its CPU time is the time on a quiet machine
    step = cpu if threads == 1 else whole
    return {
        "ms": round(1e3 * step, 3),
        "wall_ms": round(1e3 * whole, 3),
        "frames_per_s": round(batch / step, 1),
        "compilation_s": round(compilation, 1) if compiled else None,
        "parts_ms": parts(trainer, 0.3 * seconds),
    }


def timed_steps(trainer: Any, seconds: float) -> tuple[float, float]:
    """Lower quartiles of the wall time and of the CPU time of a step: other work on the machine only adds to them."""
    spent: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(spent) < 20:
        wall, cpu = time.perf_counter(), time.process_time()
        trainer.advance()
        spent.append((time.perf_counter() - wall, time.process_time() - cpu))
    found = np.percentile(spent, 25, axis=0)
    return float(found[0]), float(found[1])


def parts(trainer: Any, seconds: float) -> dict[str, float]:
    """Where the time goes, ms: lower quartiles, by clocks around the functions that `advance` calls."""
    import torch

    spent: dict[str, float] = defaultdict(float)

    def watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                spent[name] += time.perf_counter() - start

        return call

    for owner, attribute, name in (
        (trainer.store, "batch", "batch"),
        (trainer, "evaluate", "energies and forces"),
        (torch.Tensor, "backward", "gradient of the loss"),
        (torch.nn.utils, "clip_grad_norm_", "optimizer"),
        (trainer.optimizer, "step", "optimizer"),
        (trainer.average, "update", "average"),
    ):
        setattr(owner, attribute, watched(name, getattr(owner, attribute)))
    rows: list[list[float]] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(rows) < 20:
        spent.clear()
        start = time.perf_counter()
        trainer.advance()
        spent[PARTS[-1]] = time.perf_counter() - start - sum(spent.values())
        rows.append([spent[name] for name in PARTS])
    return dict(zip(PARTS, np.round(1e3 * np.percentile(rows, 25, axis=0), 3).tolist(), strict=True))


def table(rows: list[dict[str, Any]]) -> str:
    """table.md."""
    machines = " and ".join(sorted({row["machine"] for row in rows}))
    lines = [
        f"rMD17 ethanol, float32, cutoff 5 Å, {machines}: lower quartiles, of CPU time where there is one thread.",
        "Written by run.py from results.json.",
        "",
        "| preset | batch | threads | plain, ms | compiled, ms | compiled, frames/s | compilation, s |",
        "|---|---|---|---|---|---|---|",
    ]
    by_key = {(r["preset"], r["batch"], r["threads"], r["compiled"]): r for r in rows}
    keys = [key for key in product(PRESETS, BATCHES, THREADS) if (*key, False) in by_key or (*key, True) in by_key]
    for key in keys:
        plain, compiled = by_key.get((*key, False)), by_key.get((*key, True))
        cells = [f"{plain['ms']:.1f}" if plain else "–"]
        cells += (
            [f"{compiled['ms']:.1f}", f"{compiled['frames_per_s']:.0f}", f"{compiled['compilation_s']:.0f}"]
            if compiled
            else ["–"] * 3
        )
        lines.append("| " + " | ".join([*map(str, key), *cells]) + " |")
    peers = ", ".join(f"{name} {ms} ms" for name, ms in PEERS.items())
    lines += ["", f"Beside it, for a batch of 5 on two cores of a machine like this one: {peers}.", ""]
    lines += ["Where the time of a compiled step goes, one thread, ms:", ""]
    lines += ["| preset | batch | " + " | ".join(PARTS) + " |", "|---|---|" + "---|" * len(PARTS)]
    for preset, batch, threads in keys:
        found = by_key.get((preset, batch, threads, True))
        if threads == 1 and found:
            cells = [f"{found['parts_ms'][name]:.2f}" for name in PARTS]
            lines.append(f"| {preset} | {batch} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def machine() -> str:
    """Cores and processor."""
    return f"{os.cpu_count()} cores ({processor()})"


if __name__ == "__main__":
    typer.run(main)
