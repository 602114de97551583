"""A MACE model in ASE. Arguments: model file, route (torchscript, compile, eager), threads, system or "-"."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from e3nn.util import jit
from mace.calculators import MACECalculator
from serve import serve


def main(model: str, route: str, threads: str, system: str) -> None:
    torch.set_num_threads(int(threads))
    torch.set_default_dtype(torch.float32)
    options: dict[str, Any] = {"device": "cpu", "default_dtype": "float32"}
    if route == "torchscript":
        eager = torch.load(model, weights_only=False).eval()
        calculator = MACECalculator(models=[jit.compile(eager)], **options)
    elif route == "compile":
        calculator = MACECalculator(model_paths=model, compile_mode="default", **options)
    else:
        calculator = MACECalculator(model_paths=model, **options)

    def graph(atoms: Any) -> Callable[[], Any]:
        batch = calculator._atoms_to_batch(atoms)

        def evaluate() -> Any:
            copy = calculator._clone_batch(batch)
            # the same arguments as in the calculator, or torch.compile would start again
            return calculator.models[0](
                copy.to_dict(),
                compute_stress=True,
                training=calculator.use_compile,
                compute_edge_forces=False,
                compute_atomic_stresses=False,
            )

        return evaluate

    serve(calculator, system, graph)


if __name__ == "__main__":
    main(*sys.argv[1:5])
