"""Our model in ASE. Arguments: model file, backend (native, torchscript), threads, system."""

from __future__ import annotations

import sys

from serve import serve

from frames.ase import FramesCalculator


def main(model: str, backend: str, threads: str, system: str) -> None:
    if backend == "torchscript":
        import torch

        torch.set_num_threads(int(threads))
    serve(FramesCalculator(model, backend=backend), system, None)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:5])
