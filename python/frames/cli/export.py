"""`frames export`."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from frames.cli.errors import need_torch
from frames.errors import FramesError

if TYPE_CHECKING:
    from frames.openmm.torchforce import ProgramOptions

console = Console()


def export(
    checkpoint: Annotated[Path, typer.Argument(help="best.pt of a training run.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Model file to write.")],
    dtype: Annotated[str, typer.Option(help="Arithmetic of the model: float32 or float64.")] = "float32",
    torchforce: Annotated[
        Path | None,
        typer.Option(
            help="PDB or mmCIF file: write a file that a plain OpenMM TorchForce script loads, for this system."
        ),
    ] = None,
    outputs_forces: Annotated[
        bool, typer.Option("--outputs-forces", help="With --torchforce: the program computes the forces itself.")
    ] = False,
    scale_parameter: Annotated[
        str | None, typer.Option(help="With --torchforce: a global parameter that multiplies the energy.")
    ] = None,
    scale_default: Annotated[float, typer.Option(help="Value of that parameter in a new Context.")] = 1.0,
    cuda_graphs: Annotated[
        bool, typer.Option("--cuda-graphs", help="With --torchforce: tensors keep their shapes, for CUDA graphs.")
    ] = False,
) -> None:
    """Write the model file that LAMMPS, OpenMM and ASE load."""
    need_torch("export")
    from frames.openmm.torchforce import ProgramOptions, checked_options
    from frames.training.publish import export_checkpoint

    if dtype not in ("float32", "float64"):
        raise FramesError(f"--dtype {dtype}: expected float32 or float64")
    precision: Literal["float32", "float64"] = "float64" if dtype == "float64" else "float32"
    options = checked_options(outputs_forces, scale_parameter, scale_default, cuda_graphs)
    if torchforce is not None:
        _export_torchforce(checkpoint, output, precision, torchforce, options)
        return
    if options != ProgramOptions():
        raise FramesError(
            "--outputs-forces, --scale-parameter and --cuda-graphs describe a file for TorchForce; expected "
            "--torchforce FILE beside them, or leave them out"
        )
    metadata = export_checkpoint(checkpoint, output, precision)
    console.print(
        f"{output}: {metadata.backbone}, elements {metadata.elements}, cutoff {metadata.cutoff} Å, {metadata.dtype}"
    )


def _export_torchforce(
    checkpoint: Path, output: Path, precision: Literal["float32", "float64"], structure: Path, options: ProgramOptions
) -> None:
    """A file for one system; prints the lines that a script which loads it needs."""
    from frames.openmm.torchforce import script_lines, write_torchforce
    from frames.training.publish import export_checkpoint

    if not structure.is_file():
        raise FramesError(f"--torchforce {structure}: no such file; expected a PDB or mmCIF file of the system")
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.pt"
        export_checkpoint(checkpoint, model, precision)
        particles = write_torchforce(model, structure, output, **asdict(options))
    console.print(f"{output}: TorchForce program for {particles.total} particles of {structure.name}; load it with")
    for line in script_lines(output, particles, options):
        console.print(f"    {line}", markup=False, highlight=False, soft_wrap=True)
