"""The main table as one picture: what every arm gains or costs on every system."""

from __future__ import annotations

import numpy as np
from systems import HERE
from values import TITLES, BySeed, beyond_spread, changes, fits

PICTURE = HERE / "main.png"
DARKEST = 60.0  # per cent; larger changes have its colour


def draw(systems: dict[str, dict[str, BySeed]], arms: tuple[str, ...]) -> None:
    """Writes `PICTURE`: mean change of the force error against `none` in per cent, bold beyond the spread.

    Args:
        systems: errors by system, arm and seed; from top to bottom.
        arms: from left to right; "n/a" where a system cannot be trained so.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    means = np.full((len(systems), len(arms)), np.nan)
    figure, axes = plt.subplots(figsize=(9.5, 0.36 * len(systems) + 1.6), layout="constrained")
    for line, (name, values) in enumerate(systems.items()):
        for column, arm in enumerate(arms):
            if not fits(name, arm):
                axes.text(column, line, "n/a", ha="center", va="center", fontsize=8, color="0.5")
                continue
            of_seeds = changes(values.get(arm, {}), values["none"])
            if not len(of_seeds):
                continue
            means[line, column] = mean = of_seeds.mean()
            strong = bool(beyond_spread(values[arm], values["none"]))
            axes.text(
                column,
                line,
                f"{mean:+.0f}" if round(mean) else "0",
                ha="center",
                va="center",
                fontsize=9,
                color="white" if abs(mean) > 0.6 * DARKEST else "black",
                fontweight="bold" if strong else "normal",
            )
    image = axes.imshow(means, cmap="RdBu_r", vmin=-DARKEST, vmax=DARKEST, aspect="auto")
    axes.set_xticks(range(len(arms)), arms, rotation=30, ha="left", fontsize=9)
    axes.set_yticks(range(len(systems)), [TITLES[name] for name in systems], fontsize=9)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    figure.colorbar(image, label="force MAE against none, %", extend="max", pad=0.01)
    figure.savefig(PICTURE, dpi=130)
    plt.close(figure)
