"""Makes the data of systems of the study, in out/data: `python benchmarks/study/prepare.py ethanol md17_ethanol`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from systems import BY_NAME, DATA, Missing


def main(names: Annotated[list[str], typer.Argument(help=f"Of {', '.join(BY_NAME)}.")]) -> None:
    """Writes what is absent of these systems."""
    for name in names:
        if name not in BY_NAME:
            sys.exit(f"{name}: unknown; known are {', '.join(BY_NAME)}")
        try:
            BY_NAME[name].prepare()
        except Missing as reason:
            sys.exit(f"{name}: {reason}")
    print(f"in {DATA}: {', '.join(sorted(path.name for path in DATA.glob('*.h5')))}")


if __name__ == "__main__":
    typer.run(main)
