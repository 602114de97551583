"""The plots of the demo; the learning curve is drawn by `frames train`."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

from engines import LABELS, Run

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def plot_forces(reference: np.ndarray, predicted: np.ndarray, path: Path) -> None:
    """Predicted against reference force components, eV/Å."""
    figure, axes = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
    x, y = reference.reshape(-1), predicted.reshape(-1)
    limit = 1.05 * max(np.abs(x).max(), np.abs(y).max())
    axes.plot([-limit, limit], [-limit, limit], color="0.6", linewidth=1)
    axes.scatter(x, y, s=6, alpha=0.6, linewidths=0)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    axes.set(xlabel="GFN2-xTB force (eV/Å)", ylabel="model force (eV/Å)")
    axes.set_title(f"{len(reference)} frames of the unseen block: MAE {1e3 * np.abs(x - y).mean():.1f} meV/Å")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def plot_energy(runs: dict[str, Run], path: Path) -> None:
    """Total energy per atom in time, relative to its start, one panel for each engine."""
    figure, panels = plt.subplots(len(runs), 1, figsize=(6.5, 4.5), sharex=True, sharey=True, layout="constrained")
    for axes, (name, run) in zip(panels, runs.items(), strict=True):
        per_atom = 1e3 * (run.energies - run.energies[0]) / run.atoms
        axes.plot(run.times, per_atom, linewidth=0.8)
        axes.axhline(0, color="0.7", linewidth=0.8)
        axes.set_title(f"{LABELS[name]}: drift {run.drift(run.atoms):+.3f} meV/atom/ps")
        axes.set_ylabel("ΔE (meV/atom)")
    panels[-1].set_xlabel("time (ps)")
    figure.savefig(path, dpi=150)
    plt.close(figure)
