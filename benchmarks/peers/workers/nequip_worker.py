"""A NequIP or Allegro model in ASE. Arguments: model file, route (aotinductor, compile, eager), threads, system."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from nequip.integrations.ase import NequIPCalculator
from serve import serve


def main(model: str, route: str, threads: str, system: str) -> None:
    torch.set_num_threads(int(threads))
    options: dict[str, Any] = {
        "device": "cpu",
        "chemical_species_to_atom_type_map": True,
        "neighborlist_backend": "vesin",
    }
    if route == "aotinductor":
        calculator = NequIPCalculator.from_compiled_model(model, **options)
    else:
        calculator = NequIPCalculator._from_saved_model(model, compile_mode=route, **options)

    def graph(atoms: Any) -> Callable[[], Any]:
        data = calculator.atoms_to_data(atoms)
        return lambda: calculator.call_model(data.copy())

    serve(calculator, system, graph)


if __name__ == "__main__":
    main(*sys.argv[1:5])
