"""A model as `openmmtorch.TorchForce`, in memory or as a file for a plain script."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frames.errors import FramesError
from frames.files import write_atomically
from frames.inference import TorchScriptModel, import_torch
from frames.openmm.guard import import_openmm, import_openmmtorch
from frames.openmm.parameters import checked_parameter, checked_scale
from frames.openmm.particles import Particles, model_particles, read_topology

if TYPE_CHECKING:
    import torch

DESCRIPTION = "torchforce.json"
MOST_FIXED_EDGES = 1 << 19  # with cuda_graphs: a gigabyte of messages of a medium model


@dataclass(frozen=True)
class ProgramOptions:
    """What a TorchForce does beside giving an energy; arguments of `torch_force`, checked.

    Attributes:
        outputs_forces: whether the program gives the forces itself.
        scale_parameter: name of the global parameter that scales the energy, or None.
        scale_default: its value in a new Context.
        cuda_graphs: whether all tensors have fixed shapes.
    """

    outputs_forces: bool = False
    scale_parameter: str | None = None
    scale_default: float = 1.0
    cuda_graphs: bool = False


def torch_force(
    model: str | Path,
    topology_or_elements: Any,
    *,
    atoms: Iterable[int] | None = None,
    periodic: bool | None = None,
    outputs_forces: bool = False,
    scale_parameter: str | None = None,
    scale_default: float = 1.0,
    cuda_graphs: bool = False,
) -> Any:
    """A model file as a TorchForce that is ready for `system.addForce`.

    It takes positions and box from OpenMM, finds the neighbours itself, and computes in the precision of the
    model file. It runs on the Reference and CPU platforms, and on a GPU where openmmtorch has a platform for
    it: TorchForce itself moves the model there.

    Args:
        model: path of a model file.
        topology_or_elements: the OpenMM `Topology` of the whole system, or the elements of all its particles.
        atoms: indices of the particles that the model describes; all by default. The others feel no force from it.
        periodic: whether to use periodic boundaries; by default, whether the topology has box vectors.
            The System has to be given them, by `setDefaultPeriodicBoxVectors`: nothing notices if it was not.
        outputs_forces: whether the model's program computes the forces in the same call as the energy
            (`setOutputsForces`), or TorchForce differentiates it. The results are the same and a step of ethanol takes
            the same time; with it, forces are also computed where a barostat asks for the energy alone.
        scale_parameter: name of a global parameter that the energy is multiplied by; after
            `force.addEnergyParameterDerivative(name)` contexts give dE/d(name). openmmtorch hands its value over in
            single precision: 0.3 scales the energy by 0.30000001.
        scale_default: value of that parameter in a new Context.
        cuda_graphs: whether tensors keep their shapes, as a CUDA graph demands, and the property `useCUDAGraphs` is
            set. Every pair of atoms is then evaluated, near or far, which pays on a GPU for up to some hundred atoms
            and never on a processor. Only OpenMM's CUDA platform replays graphs; others run the same program.

    Raises FramesError if the model file, the topology, an option or the installed versions cannot be used.
    """
    openmmtorch = import_openmmtorch()
    options = checked_options(outputs_forces, scale_parameter, scale_default, cuda_graphs)
    loaded = TorchScriptModel(model)
    particles = model_particles(topology_or_elements, loaded.metadata.elements, atoms=atoms, periodic=periodic)
    reach = _reach(loaded, particles, topology_or_elements) if cuda_graphs else None
    force = openmmtorch.TorchForce(scripted_program(loaded, particles, options, reach))
    force.setUsesPeriodicBoundaryConditions(particles.periodic)
    force.setOutputsForces(outputs_forces)
    if scale_parameter is not None:
        force.addGlobalParameter(scale_parameter, options.scale_default)
    if cuda_graphs:
        force.setProperty("useCUDAGraphs", "true")
        _warn_without_cuda()
    return force


def write_torchforce(
    model: str | Path,
    structure: Any,
    path: str | Path,
    *,
    atoms: Iterable[int] | None = None,
    periodic: bool | None = None,
    outputs_forces: bool = False,
    scale_parameter: str | None = None,
    scale_default: float = 1.0,
    cuda_graphs: bool = False,
) -> Particles:
    """Writes the file that `openmmtorch.TorchForce(path)` loads, without this package, for one given system.

    The script must say what the file cannot, with the lines that `script_lines` gives. The file checks the number of
    particles, the box and the parameter, and holds the options in its extra file `torchforce.json`.

    Args:
        model: path of a model file.
        structure: path of a PDB or mmCIF file, or what `torch_force` takes.
        path: of the file to write.
        atoms, periodic, outputs_forces, scale_parameter, scale_default, cuda_graphs: as for `torch_force`.

    Returns what the file was made for. Raises FramesError if an input cannot be used or the file cannot be
    written.
    """
    import_torch("writing a file for TorchForce")
    import torch

    if Path(path).resolve() == Path(model).resolve():
        raise FramesError(f"{path}: would overwrite the model file that it is made from; choose another name")
    options = checked_options(outputs_forces, scale_parameter, scale_default, cuda_graphs)
    loaded = TorchScriptModel(model)
    topology = read_topology(structure) if isinstance(structure, str | Path) else structure
    particles = model_particles(topology, loaded.metadata.elements, atoms=atoms, periodic=periodic)
    reach = _reach(loaded, particles, topology) if cuda_graphs else None
    program = scripted_program(loaded, particles, options, reach)
    extra = {DESCRIPTION: json.dumps(_describe(loaded, particles, options), indent=1)}
    write_atomically(path, lambda temporary: torch.jit.save(program, str(temporary), _extra_files=extra))
    return particles


def script_lines(path: str | Path, particles: Particles, options: ProgramOptions) -> list[str]:
    """The lines of Python with which a script makes its force from the file that `write_torchforce` wrote."""
    lines = [f"force = openmmtorch.TorchForce({str(path)!r})"]
    if particles.periodic:
        lines.append("force.setUsesPeriodicBoundaryConditions(True)")
    if options.outputs_forces:
        lines.append("force.setOutputsForces(True)")
    if options.scale_parameter is not None:
        lines.append(f"force.addGlobalParameter({options.scale_parameter!r}, {options.scale_default!r})")
    if options.cuda_graphs:
        lines.append('force.setProperty("useCUDAGraphs", "true")')
    return lines


def scripted_program(
    model: TorchScriptModel,
    particles: Particles,
    options: ProgramOptions = ProgramOptions(),
    reach: list[int] | None = None,
) -> torch.jit.ScriptModule:
    """The TorchScript program for one system, as a single function.

    openmmtorch freezes the module that it is given. In a frozen module, PyTorch (2.9) follows dangling
    pointers when an error occurs inside a function that the freezing has inlined, and the process ends
    instead of reporting the error. A program that was inlined before it was saved has no such functions.
    """
    import torch

    from frames.export import script_module
    from frames.openmm.module import EnergyAndForcesProgram, ForceProgram

    program = (EnergyAndForcesProgram if options.outputs_forces else ForceProgram)(
        model.module,
        atomic_numbers=particles.atomic_numbers,
        atoms=particles.atoms,
        particles=particles.total,
        cutoff=model.metadata.cutoff,
        dtype=model.dtype,
        periodic=particles.periodic,
        scaled=options.scale_parameter is not None,
        reach=reach,
    )
    scripted = script_module(program)
    torch._C._jit_pass_inline(scripted.graph)
    return scripted


def checked_options(outputs_forces: Any, scale_parameter: Any, scale_default: Any, cuda_graphs: Any) -> ProgramOptions:
    """Raises FramesError for options that mean nothing, alone or together."""
    for name, flag in (("outputs_forces", outputs_forces), ("cuda_graphs", cuda_graphs)):
        if not isinstance(flag, bool):
            raise FramesError(f"{name} = {flag!r}; expected True or False")
    checked_parameter(scale_parameter)
    default = checked_scale(scale_default, scale_parameter)
    if cuda_graphs and scale_parameter is not None:
        raise FramesError(
            "cuda_graphs with scale_parameter: a CUDA graph keeps the value that the parameter had when it was "
            "recorded; leave one of them out"
        )
    return ProgramOptions(outputs_forces, scale_parameter, default, cuda_graphs)


def _reach(model: TorchScriptModel, particles: Particles, topology: Any) -> list[int]:
    """Periodic images each way along each lattice vector that tensors of fixed shape must hold."""
    if model.metadata.backbone_settings.get("smooth_cutoff") is False:
        raise FramesError(
            f"{model.path}: cuda_graphs needs messages that vanish at the cutoff, which this model was trained without"
        )
    if not particles.periodic:
        reach = [0, 0, 0]
    else:
        box = topology.getPeriodicBoxVectors() if hasattr(topology, "getPeriodicBoxVectors") else None
        if box is None:
            raise FramesError("cuda_graphs with periodic boundaries: expected a topology that has the box vectors")
        reach = _image_steps(box, model.metadata.cutoff)
    images = (2 * reach[0] + 1) * (2 * reach[1] + 1) * (2 * reach[2] + 1)
    edges = len(particles.atomic_numbers) ** 2 * images
    if edges > MOST_FIXED_EDGES:
        raise FramesError(
            f"cuda_graphs: {edges} pairs of atoms would be evaluated in every step, {MOST_FIXED_EDGES} at most are "
            "sensible; leave it out for a system of this size"
        )
    return reach


def _image_steps(box: Any, cutoff: float) -> list[int]:
    """See `neighbours.image_steps`; the box as a topology has it."""
    from frames.openmm.neighbours import image_steps

    unit = import_openmm().unit
    rows = np.array([vector.value_in_unit(unit.angstrom) for vector in box])
    normals = np.cross(np.roll(rows, -1, 0), np.roll(rows, -2, 0))
    heights = abs(np.linalg.det(rows)) / np.linalg.norm(normals, axis=1)
    return image_steps(heights.tolist(), cutoff)


def _warn_without_cuda() -> None:
    openmm = import_openmm()
    names = [openmm.Platform.getPlatform(k).getName() for k in range(openmm.Platform.getNumPlatforms())]
    if "CUDA" not in names:
        warnings.warn(
            "cuda_graphs: this OpenMM has no CUDA platform; the force gives the same results on the others, without "
            "graphs, and slower than with cuda_graphs=False",
            stacklevel=3,
        )


def _describe(model: TorchScriptModel, particles: Particles, options: ProgramOptions) -> dict[str, Any]:
    return {
        "format": "frames-torchforce",
        "format_version": 1,
        "particles": particles.total,
        "atoms": particles.atoms,
        "atomic_numbers": particles.atomic_numbers,
        "periodic": particles.periodic,
        "outputs_forces": options.outputs_forces,
        "scale_parameter": options.scale_parameter,
        "scale_default": options.scale_default,
        "cuda_graphs": options.cuda_graphs,
        "units": {"length": "nm", "energy": "kJ/mol"},
        "model": model.metadata.model_dump(),
    }
