"""The plots of `frames evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from frames.evaluation.accuracy import Predictions
from frames.evaluation.stability import Stability
from frames.plotting import pyplot, save

MOST_POINTS = 20_000


def plot_accuracy(found: Predictions, folder: Path) -> list[Path]:
    """parity.png (prediction against label) and errors.png (how errors are distributed, by element)."""
    plt = pyplot()
    written = []
    panels = [name for name, values in (("energy", found.energies), ("force", found.forces)) if len(values)]
    figure, axes = plt.subplots(1, len(panels), figsize=(4.6 * len(panels), 4.4), squeeze=False, layout="constrained")
    for ax, name in zip(axes[0], panels, strict=True):
        if name == "energy":
            zero = found.energies[:, 0].mean()
            _parity(ax, found.energies[:, 0] - zero, found.energies[:, 1] - zero, "energy − mean label (eV)")
        else:
            for z in np.unique(found.elements).tolist():
                chosen = found.forces[found.elements == z]
                _parity(ax, chosen[:, 0].ravel(), chosen[:, 1].ravel(), "force (eV/Å)", chemical_symbols[z])
            ax.legend(markerscale=4)
    written.append(save(figure, folder / "parity.png"))
    if len(found.forces):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 4), layout="constrained")
        size = 1e3 * np.linalg.norm(found.forces[:, 1] - found.forces[:, 0], axis=1)
        low = max(np.percentile(size, 0.1), 1e-3)
        bins = np.geomspace(low, max(size.max(), 1.1 * low), 60)
        for z in np.unique(found.elements).tolist():
            left.hist(size[found.elements == z], bins, histtype="step", density=True, label=chemical_symbols[z])
        left.set(xscale="log", xlabel="error of the force on an atom (meV/Å)", ylabel="density")
        left.legend()
        step = max(1, len(size) // MOST_POINTS)
        right.plot(np.linalg.norm(found.forces[::step, 0], axis=1), size[::step], ".", markersize=2, alpha=0.4)
        right.set(xlabel="labelled force (eV/Å)", ylabel="error (meV/Å)", yscale="log")
        written.append(save(figure, folder / "errors.png"))
    return written


def plot_stability(found: Stability, folder: Path) -> Path:
    """distances.png: h(r) of the run and of the reference."""
    plt = pyplot()
    figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
    ax.plot(found.distances[:, 0], found.distances[:, 2], color="0.5", linewidth=3, label="reference")
    ax.plot(found.distances[:, 0], found.distances[:, 1], color="tab:blue", label="model")
    ax.set(xlabel="r (Å)", ylabel="h(r) (1/Å)", title=f"{found.picoseconds:g} ps, error of h(r) {found.h_error:.3f}")
    ax.legend()
    return save(figure, folder / "distances.png")


def _parity(ax: Any, label: Any, prediction: Any, what: str, name: str | None = None) -> None:
    step = max(1, len(label) // MOST_POINTS)
    ax.plot(label[::step], prediction[::step], ".", markersize=2, alpha=0.5, label=name)
    ends = [float(np.min(label)), float(np.max(label))]
    ax.plot(ends, ends, color="0.4", linewidth=0.8)
    ax.set(xlabel=f"label: {what}", ylabel=f"model: {what}")
