"""Trains a MACE model for a given time with MACE's own model, loader and losses. One argument: a JSON file.

`mace_run_train` counts epochs and cannot be told to stop after some minutes with its schedule at its end; the loop
here does what it does (Adam with amsgrad, clipped gradients, averaged weights, the best on validation), by the clock.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import torch
from e3nn import o3
from mace import data, modules, tools
from mace.tools import torch_geometric
from schedule import factor, now
from torch_ema import ExponentialMovingAverage

ELEMENTS = [1, 6, 8]
CUTOFF = 5.0


def main(settings: dict[str, Any]) -> None:
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    table = tools.AtomicNumberTable(ELEMENTS)
    training, validation = (_graphs(settings[key], table) for key in ("train", "validation"))
    loader = torch_geometric.dataloader.DataLoader(training, batch_size=settings["batch"], shuffle=True, drop_last=True)
    checking = torch_geometric.dataloader.DataLoader(validation, batch_size=50, shuffle=False, drop_last=False)
    model = _model(settings, loader, training)
    losses = {
        "mse": lambda: modules.WeightedEnergyForcesLoss(energy_weight=1.0, forces_weight=100.0),
        "l1": lambda: modules.WeightedEnergyForcesL1L2Loss(energy_weight=1.0, forces_weight=10.0),
    }
    loss_function = losses[settings["loss"]]()
    optimizer = torch.optim.Adam(model.parameters(), lr=settings["learning_rate"], amsgrad=True)
    ema = ExponentialMovingAverage(model.parameters(), decay=0.99)
    best, steps, since = float("inf"), 0, now(settings["clock"])
    budget, next_check = 60 * settings["minutes"], 0.1
    fraction = 0.0
    while fraction < 1:
        for batch in loader:
            fraction = (now(settings["clock"]) - since) / budget
            if fraction >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = settings["learning_rate"] * factor(fraction)
            optimizer.zero_grad(set_to_none=True)
            loss = loss_function(batch, model(batch.to_dict(), training=True))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
            ema.update()
            steps += 1
        if fraction >= next_check or fraction >= 1:
            next_check = fraction + 0.05
            with ema.average_parameters():
                error = _force_error(model, checking)
                if error < best:
                    best = error
                    torch.save(model, settings["out"])
            print(f"{100 * fraction:.0f} % {steps} steps, validation {1e3 * best:.2f} meV/Å", flush=True)
    Path(settings["report"]).write_text(json.dumps({"steps": steps}))


def _graphs(path: str, table: Any) -> list[Any]:
    keys = data.KeySpecification(info_keys={"energy": "energy"}, arrays_keys={"forces": "forces"})
    graphs = []
    for atoms in ase.io.iread(path, ":"):
        atoms.info["energy"] = atoms.get_potential_energy()
        atoms.arrays["forces"] = atoms.get_forces()
        configuration = data.config_from_atoms(atoms, key_specification=keys)
        graphs.append(data.AtomicData.from_config(configuration, z_table=table, cutoff=CUTOFF))
    return graphs


def _model(settings: dict[str, Any], loader: Any, graphs: list[Any]) -> torch.nn.Module:
    forces = np.concatenate([g.forces.numpy() for g in graphs])
    per_atom = [float(g.energy) / len(g.forces) for g in graphs]
    return modules.ScaleShiftMACE(
        atomic_inter_scale=float(np.sqrt((forces**2).mean())),
        atomic_inter_shift=float(np.mean(per_atom)),
        r_max=CUTOFF,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=settings["max_ell"],
        interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        interaction_cls_first=modules.interaction_classes["RealAgnosticInteractionBlock"],
        num_interactions=2,
        num_elements=len(ELEMENTS),
        hidden_irreps=o3.Irreps(settings["hidden_irreps"]),
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=np.zeros((1, len(ELEMENTS))),
        avg_num_neighbors=float(np.mean([g.edge_index.shape[1] / len(g.forces) for g in graphs])),
        atomic_numbers=ELEMENTS,
        correlation=settings["correlation"],
        gate=torch.nn.functional.silu,
    )


def _force_error(model: torch.nn.Module, loader: Any) -> float:
    """Mean absolute error of the force components, eV/Å."""
    errors = [(model(b.to_dict(), training=False)["forces"] - b["forces"]).detach().abs().mean() for b in loader]
    return float(torch.stack(errors).mean())


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
