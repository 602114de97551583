"""The plots of a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from frames.plotting import pyplot, save


def plot_learning_curve(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Validation errors of force and energy against the step, on logarithmic axes; written as PNG.

    Raises FramesError if it cannot be written.
    """
    from matplotlib.ticker import FuncFormatter

    figure, left = pyplot().subplots(figsize=(6.5, 4), layout="constrained")
    steps = [row["step"] for row in rows]
    marker = "o" if len(rows) < 30 else ""
    force = [row["validation_force_mae_mev_per_angstrom"] for row in rows]
    energy = [row.get("validation_energy_mae_mev", float("nan")) for row in rows]
    left.plot(steps, force, color="tab:blue", marker=marker, markersize=3)
    left.set(xlabel="step", yscale="log")
    left.set_ylabel("validation force MAE (meV/Å)", color="tab:blue")
    axes = [left]
    if any(value == value for value in energy):  # not learnt from motion alone
        right = left.twinx()
        right.plot(steps, energy, color="tab:orange", marker=marker, markersize=3)
        right.set(yscale="log")
        right.set_ylabel("validation energy MAE (meV)", color="tab:orange")
        axes.append(right)
    for axis in (side.yaxis for side in axes):  # 20 and 0.5, not 2 × 10¹
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "235" else ""))
    left.set_title(f"lowest force MAE {min(force):.1f} meV/Å after {rows[-1]['seconds'] / 60:.1f} min of training")
    left.grid(alpha=0.3, which="both")
    save(figure, path)
