"""What single precision costs: energies and forces of both backends against the same model in double precision.

`python benchmarks/engine/rounding.py [--count N]` writes rounding.json beside this file, in about a minute. It takes
crystals of copper, whose atoms are alike, so that rounding adds up, and molecules of ethanol, from benchmarks/openmm,
with the models of this repository. To say why programs compute radial functions in double precision, it then computes
all in double precision but for one part of these functions at a time.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "openmm"))

from parity import MODELS, kinds, models_in_double  # noqa: E402

from frames.artifact import read_model  # noqa: E402
from frames.inference import find_edges, open_model  # noqa: E402
from frames.nn.build import build_potential  # noqa: E402
from frames.nn.potential import Potential  # noqa: E402
from frames.nn.radial import RadialBasis, envelope  # noqa: E402

KINDS = ("crystal", "triclinic crystal", "molecule")
PARTS = ("frequencies", "argument", "cosine", "envelope")
BACKENDS = ("native", "torchscript")


class PartlySingle(RadialBasis):
    """Radial functions in float64 but for one part in float32, or none."""

    part = ""

    def forward(self, distances: torch.Tensor) -> torch.Tensor:
        def rounded(part: str, values: torch.Tensor) -> torch.Tensor:
            return values.to(torch.float32) if self.part == part else values

        r = distances.unsqueeze(1)
        u = rounded("argument", (1.0 + self.stretch) * r / (r + self.stretch * self.cutoff)).to(torch.float64)
        angle = u * rounded("frequencies", self.frequencies).to(torch.float64)
        cosine = torch.cos(rounded("cosine", angle)).to(torch.float64)
        return cosine * (math.sqrt(2.0) * envelope(rounded("envelope", r), self.cutoff).to(torch.float64))


def in_double(path: Path) -> Potential:
    """The potential of a model file in float64, with `PartlySingle` radial functions."""
    file = read_model(path)
    meta = file.metadata
    potential = build_potential(meta.backbone, meta.backbone_settings, meta.elements, meta.cutoff, torch.float64)
    shapes = {key: value.shape for key, value in potential.state_dict().items()}  # numbers are stored as [1]
    potential.load_trained({key: torch.from_numpy(file.weights[key]).reshape(shapes[key]) for key in shapes})
    potential.backbone.basis.__class__ = PartlySingle
    return potential.eval().requires_grad_(False)


def main(
    count: Annotated[int, typer.Option(help="Structures of each kind.")] = 40,
    output: Annotated[Path, typer.Option(help="File for the results.")] = HERE / "rounding.json",
) -> None:
    """Measures and writes the largest differences from double precision."""
    results: dict[str, Any] = {"structures_of_each_kind": count, "largest_difference_from_float64": {}}
    with tempfile.TemporaryDirectory() as folder:
        doubles = models_in_double(Path(folder))
        for kind in kinds(count):
            if kind.name not in KINDS:
                continue
            path = MODELS / kind.model / f"{kind.model}.pt"
            truth, potential = open_model(doubles[kind.model], backend="torchscript"), in_double(path)
            models = {name: open_model(path, backend=name) for name in BACKENDS}  # type: ignore[arg-type]
            energies: dict[str, list[float]] = {name: [] for name in (*BACKENDS, *PARTS)}
            forces: dict[str, list[float]] = {name: [] for name in BACKENDS}
            for atoms in kind.structures:
                cell = atoms.cell.array if atoms.pbc.any() else None
                graph = (atoms.numbers, *find_edges(atoms.positions, cell, atoms.pbc, truth.metadata.cutoff))
                wanted = truth.evaluate_edges(*graph)
                for name, model in models.items():
                    found = model.evaluate_edges(*graph)
                    energies[name].append(found.energy - wanted.energy)
                    forces[name].append(float(np.abs(found.forces - wanted.forces).max()))
                tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in graph]
                for part in PARTS:
                    potential.backbone.basis.part = part
                    energies[part].append(float(potential(*tensors).sum()) - wanted.energy)
            results["largest_difference_from_float64"][kind.name] = {
                "atoms": len(kind.structures[0]),
                **{
                    name: {
                        "energy_ev": float(np.abs(energies[name]).max()),
                        "mean_energy_ev": float(np.mean(energies[name])),
                        **({"force_ev_per_angstrom": max(forces[name])} if name in forces else {}),
                    }
                    for name in energies
                },
            }
    output.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    typer.run(main)
