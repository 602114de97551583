"""`frames bench`: what an evaluation of a model costs on this machine, and what bounds it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from frames.artifact import Array, read_model
from frames.data.periodic import completed
from frames.errors import FramesError
from frames.inference import BackendName, Evaluator, check_atoms, find_edges, open_model

SIZES = (9, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)
TIME_STEP = 0.5  # fs, for ns/day
SPACING = 2.0  # Å left between copies of a molecule, the distance of atoms in a liquid that do not bind


def processor() -> str:
    """The processor, as Linux names it, or else Python; with the number of its model, as names may be of families."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    said = {key.strip(): value.strip() for key, value in (line.split(":", 1) for line in lines if ":" in line)}
    name = said.get("model name", platform.processor() or "unknown")
    return f"{name}, model {said['model']}" if "model" in said else name


@dataclass(frozen=True)
class Sample:
    """A structure to time. cell is zero where open."""

    atomic_numbers: Array  # [N]
    positions: Array  # [N,3] Å
    cell: Array  # [3,3] Å
    pbc: Array  # [3]


@dataclass(frozen=True)
class Timing:
    """One structure, one number of threads. Times are medians in ms; spread is half the interquartile range."""

    atoms: int
    edges: int
    backend: str
    threads: int
    ms_per_step: float
    ms_spread: float
    neighbours_ms: float  # a new neighbour list; a run with a skin makes one in ten steps or fewer
    parts_ms: dict[str, float]  # where the time of the native engine goes
    gflops: float | None  # achieved, by the operations of the formulas
    peak_gflops: float | None  # of that many cores, from registers
    workspace_bytes: int | None

    @property
    def atom_steps_per_second(self) -> float:
        return 1e3 * self.atoms / self.ms_per_step

    @property
    def ns_per_day(self) -> float:
        return TIME_STEP * 1e-6 * 86_400e3 / self.ms_per_step

    def row(self) -> dict[str, Any]:
        """Everything as plain numbers, for JSON."""
        derived = {"atom_steps_per_second": self.atom_steps_per_second, "ns_per_day": self.ns_per_day}
        return {**asdict(self), **derived, "time_step_fs": TIME_STEP}


def load_sample(model: str | Path, structure: str | Path | None) -> Sample:
    """A structure file that ASE reads, or the test frame of the model. Raises FramesError."""
    if structure is None:
        frame = read_model(model).test_frame
        return Sample(frame.atomic_numbers, frame.positions, frame.cell, frame.pbc)
    import ase.io

    try:
        atoms = ase.io.read(structure)
    except Exception as error:  # ASE's readers raise whatever they meet
        raise FramesError(
            f"{structure}: ASE cannot read a structure from it ({str(error) or type(error).__name__})"
        ) from None
    if isinstance(atoms, list):
        atoms = atoms[-1]
    if not len(atoms):
        raise FramesError(f"{structure}: a structure without atoms; there is nothing to time")
    return Sample(atoms.numbers, atoms.positions, np.asarray(atoms.cell), atoms.pbc)


def measure(
    model: str | Path, sample: Sample, threads: int, backend: BackendName = "auto", seconds: float = 1.0
) -> Timing:
    """Times evaluations of one structure for about `seconds`. Raises FramesError as `open_model` does."""
    evaluator = _open(model, backend, threads)
    numbers, positions = check_atoms(evaluator.metadata.elements, sample.atomic_numbers, sample.positions)
    find_edges(positions[:2], sample.cell, sample.pbc, evaluator.metadata.cutoff)  # imports what it needs
    start = time.perf_counter()
    edge_index, vectors = find_edges(positions, sample.cell, sample.pbc, evaluator.metadata.cutoff)
    neighbours = time.perf_counter() - start
    evaluator.evaluate_edges(numbers, edge_index, vectors)
    times = _times(evaluator, numbers, edge_index, vectors, seconds)
    low, median, high = 1e3 * np.quantile(times, [0.25, 0.5, 0.75])
    parts: dict[str, float] = {}
    gflops = peak = workspace = None
    if evaluator.backend == "native":
        from frames.native import NativeModel, measure_peak

        assert isinstance(evaluator, NativeModel)
        profile = evaluator.profile(int(np.clip(0.3 * seconds / (1e-3 * median), 3, 1000)))
        parts = {name: 1e3 * spent for name, spent in profile.seconds.items()}
        gflops = 1e-9 * profile.operations / (1e-3 * median)
        peak = 1e-9 * threads * measure_peak(double=evaluator.metadata.dtype == "float64")
        workspace = profile.workspace_bytes
    return Timing(
        len(numbers),
        edge_index.shape[1],
        evaluator.backend,
        threads,
        float(median),
        float(high - low) / 2,
        1e3 * neighbours,
        parts,
        gflops,
        peak,
        workspace,
    )


def enlarge(sample: Sample, atoms: int) -> Sample:
    """A periodic box of copies of the structure with about that many atoms: its own cells, or molecules on a grid."""
    copies = max(1, round(atoms / len(sample.atomic_numbers)))
    if copies == 1:
        return sample
    cell = completed(sample.cell, tuple(sample.pbc))
    for axis in np.flatnonzero(~sample.pbc):  # where it is of length one, across the others
        cell[axis] *= np.ptp(sample.positions @ cell[axis]) + SPACING
    counts = _counts(copies)
    grid = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), -1).reshape(-1, 3)
    positions = (sample.positions[None] + (grid @ cell)[:, None]).reshape(-1, 3)
    numbers = np.tile(sample.atomic_numbers, len(grid))
    return Sample(numbers, positions, cell * np.array(counts)[:, None], np.ones(3, bool))


def plot_scaling(timings: Sequence[Timing], path: Path) -> None:
    """Cost per atom against the number of atoms, one line for each number of threads; written as PNG.

    Raises FramesError if it cannot be written.
    """
    from matplotlib.ticker import LogLocator

    from frames.plotting import pyplot, save

    figure, axes = pyplot().subplots(figsize=(6, 4), layout="constrained")
    for threads in sorted({t.threads for t in timings}):
        chosen = [t for t in timings if t.threads == threads]
        cost = [1e3 * t.ms_per_step / t.atoms for t in chosen]
        label = f"{chosen[0].backend}, {threads} thread{'s' if threads > 1 else ''}"
        axes.plot([t.atoms for t in chosen], cost, marker="o", markersize=4, label=label)
    axes.set(xscale="log", yscale="log", xlabel="atoms", ylabel="µs per atom and step")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    save(figure, path)


def all_threads() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _open(model: str | Path, backend: BackendName, threads: int) -> Evaluator:
    evaluator = open_model(model, backend=backend)
    if evaluator.backend == "native":
        from frames.native import NativeModel

        return NativeModel(model, threads)
    import torch

    torch.set_num_threads(threads)
    return evaluator


def _times(evaluator: Evaluator, numbers: Array, edges: Array, vectors: Array, seconds: float) -> Array:
    """Seconds of single evaluations, neighbour list and assembly of the forces not included."""
    spent: list[float] = []
    while sum(spent) < seconds or len(spent) < 5:
        start = time.perf_counter()
        evaluator.edge_gradients(numbers, edges, vectors)
        spent.append(time.perf_counter() - start)
    return np.array(spent[min(len(spent) // 5, 20) :])


def _counts(copies: int) -> tuple[int, int, int]:
    """Three factors near the cube root whose product is at least the number of copies, and close to it."""
    side = max(1, round(copies ** (1 / 3)))
    second = max(1, round((copies / side) ** 0.5))
    return side, second, max(1, -(-copies // (side * second)))
