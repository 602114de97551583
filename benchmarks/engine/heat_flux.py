"""What a step with the heat flux costs: nine-component virials of the atoms in every step, against a plain step.

`python benchmarks/engine/heat_flux.py [--rounds N] [--model FILE]` writes heat_flux.json beside this file, in about a
minute. Full LAMMPS steps of water with the native engine on one thread, with and without heat flux in turns; the ratio
is the median of those of each round.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from run import OUT, REPEATS, ROOT, Case, Replicated

from frames.bench import processor

HERE = Path(__file__).resolve().parent
COPIES = (1, 2)  # of the box along each axis
BLOCK_SECONDS = 1.0
EVERY_STEP = """compute kinetic all ke/atom
compute potential all pe/atom
compute virials all centroid/stress/atom NULL virial
compute flux all heat/flux kinetic potential virials
fix flux all ave/time 1 1 1 c_flux[1] c_flux[2] c_flux[3]"""


def main(
    rounds: Annotated[int, typer.Option(help="Turns of every case.")] = 7,
    model: Annotated[Path, typer.Option(help="Model file with H, C and O.")] = ROOT / "models/ethanol/ethanol.pt",
) -> None:
    """Measures and writes heat_flux.json."""
    pair = f"pair_style frames backend native\npair_coeff * * {model.resolve()} H C O"
    results: dict[str, Any] = {"processor": processor(), "rounds": rounds, "atoms": {}}
    for copies in COPIES:
        atoms = REPEATS[copies]
        case = Case(copies)
        sessions = [Replicated(text, case, OUT / name) for name, text in
                    (("plain", pair), ("flux", f"{pair}\n{EVERY_STEP}"))]  # fmt: skip
        steps = max(10, round(BLOCK_SECONDS / (3e-5 * atoms)))
        times = np.array([[session.blocks(steps, 1)[0] for session in sessions] for _ in range(rounds)])
        plain, flux = np.median(times, axis=0)
        low, ratio, high = np.quantile(times[:, 1] / times[:, 0], [0.25, 0.5, 0.75])
        results["atoms"][str(atoms)] = {
            "ms_per_step": float(plain),
            "ms_per_step_with_heat_flux": float(flux),
            "ratio": float(ratio),
            "ratio_spread": float(high - low) / 2,
        }
    (HERE / "heat_flux.json").write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    typer.run(main)
