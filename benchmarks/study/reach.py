"""Forces from the motion of runs that are not stored at every step: `python benchmarks/study/reach.py`.

How far they are off the true ones, root mean squares, in per cent: from three frames, from central differences over
more, and with weights that are fitted to the forces of 100 frames of the first half (frames/data/stencil.py), all
judged on the second half. Writes reach.md and reach.json.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from systems import BY_NAME, DATA, HERE

from frames.data import Trajectory, read
from frames.data.motion import fit_stencil, forces_from_motion
from frames.data.timeline import chains

MOLECULES = ("ethanol", "chain")
EVERY = (1, 2, 3, 4, 5, 6, 8)  # steps of 0.5 fs
LABELS = 100


@dataclass(frozen=True)
class Way:
    """Of taking forces from the motion."""

    name: str
    reach: int
    fitted: bool = False


WAYS = (
    Way("three frames", 1),
    Way("central, reach 2", 2),
    Way("central, reach 4", 4),
    Way("fitted, reach 2", 2, True),
    Way("fitted, reach 4", 4, True),
    Way("fitted, reach 6", 6, True),
)


def main() -> None:
    """Measures and writes."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in MOLECULES:
        BY_NAME[name].prepare()
        (run,) = read(DATA / f"{name}.h5")
        found[name] = {f"{0.5 * n:g}": {way.name: per_cent_off(run[::n], way) for way in WAYS} for n in EVERY}
    (HERE / "reach.json").write_text(json.dumps(found, indent=1) + "\n")
    lines = [
        "Written by reach.py: forces from the motion, per cent off the true ones, by time between frames; the dynamics",
        f"had steps of 0.5 fs. Weights are fitted to {LABELS} frames of the first half; judged on the second half.",
    ]
    for name, rows in found.items():
        lines += ["", f"| {BY_NAME[name].title}, fs | " + " | ".join(way.name for way in WAYS) + " |"]
        lines.append("|---|" + "---|" * len(WAYS))
        lines += [
            f"| {step} | " + " | ".join(f"{row[way.name]:.2g}" for way in WAYS) + " |" for step, row in rows.items()
        ]
    (HERE / "reach.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def per_cent_off(run: Trajectory, way: Way) -> float:
    """100 × ‖forces from motion − stored‖ / ‖stored‖ over the second half of the run."""
    around = chains(run, range(-way.reach, way.reach + 1))
    half = len(around) // 2
    stencil = None
    if way.fitted:
        labelled = around[np.linspace(0, half - 2 * way.reach - 1, LABELS).astype(int)]
        assert run.forces is not None
        stencil = fit_stencil([(run, labelled, run.forces[labelled[:, way.reach]])], way.reach)
    judged = around[half:]
    assert run.forces is not None
    stored = run.forces[judged[:, way.reach]]
    off = forces_from_motion(run, judged, stencil) - stored
    return float(100 * np.sqrt(np.square(off).sum() / np.square(stored).sum()))


if __name__ == "__main__":
    main()
