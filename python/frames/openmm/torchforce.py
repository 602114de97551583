"""A model as `openmmtorch.TorchForce`, in memory or as a file for a plain script."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frames.errors import FramesError
from frames.files import write_atomically
from frames.inference import TorchScriptModel, import_torch
from frames.openmm.guard import import_openmmtorch
from frames.openmm.particles import Particles, model_particles, read_topology

if TYPE_CHECKING:
    import torch

DESCRIPTION = "torchforce.json"


def torch_force(
    model: str | Path,
    topology_or_elements: Any,
    *,
    atoms: Iterable[int] | None = None,
    periodic: bool | None = None,
) -> Any:
    """A model file as a TorchForce that is ready for `system.addForce`.

    It takes positions and box from OpenMM, finds the neighbours itself, and computes in the precision of the
    model file. It runs on the Reference and CPU platforms, and on a GPU where openmmtorch has a platform for
    it: TorchForce itself moves the model there.

    Args: model: path of a model file. topology_or_elements: the OpenMM `Topology` of the whole system, or the
        elements of all its particles. atoms: indices of the particles that the model describes; all by
        default. The others feel no force from it. periodic: whether to use periodic boundaries; by default,
        whether the topology has box vectors.

    Raises FramesError if the model file, the topology or the installed versions cannot be used.
    """
    openmmtorch = import_openmmtorch()
    loaded = TorchScriptModel(model)
    particles = model_particles(topology_or_elements, loaded.metadata.elements, atoms=atoms, periodic=periodic)
    force = openmmtorch.TorchForce(scripted_program(loaded, particles))
    force.setUsesPeriodicBoundaryConditions(particles.periodic)
    return force


def write_torchforce(
    model: str | Path,
    structure: Any,
    path: str | Path,
    *,
    atoms: Iterable[int] | None = None,
    periodic: bool | None = None,
) -> Particles:
    """Writes the file that `openmmtorch.TorchForce(path)` loads, without this package, for one given system.

    If the system is periodic, the script must call `force.setUsesPeriodicBoundaryConditions(True)`; the file
    checks that, and the number of particles.

    Args:
        model: path of a model file.
        structure: path of a PDB or mmCIF file, or what `torch_force` takes.
        path: of the file to write.
        atoms, periodic: as for `torch_force`.

    Returns what the file was made for. Raises FramesError if an input cannot be used or the file cannot be
    written.
    """
    import_torch("writing a file for TorchForce")
    import torch

    if Path(path).resolve() == Path(model).resolve():
        raise FramesError(f"{path}: would overwrite the model file that it is made from; choose another name")
    loaded = TorchScriptModel(model)
    topology = read_topology(structure) if isinstance(structure, str | Path) else structure
    particles = model_particles(topology, loaded.metadata.elements, atoms=atoms, periodic=periodic)
    program = scripted_program(loaded, particles)
    extra = {DESCRIPTION: json.dumps(_describe(loaded, particles), indent=1)}
    write_atomically(path, lambda temporary: torch.jit.save(program, str(temporary), _extra_files=extra))
    return particles


def scripted_program(model: TorchScriptModel, particles: Particles) -> torch.jit.ScriptModule:
    """The TorchScript program for one system, as a single function.

    openmmtorch freezes the module that it is given. In a frozen module, PyTorch (2.9) follows dangling
    pointers when an error occurs inside a function that the freezing has inlined, and the process ends
    instead of reporting the error. A program that was inlined before it was saved has no such functions.
    """
    import torch

    from frames.export import script_module
    from frames.openmm.module import ForceProgram

    program = ForceProgram(
        model.module,
        atomic_numbers=particles.atomic_numbers,
        atoms=particles.atoms,
        particles=particles.total,
        cutoff=model.metadata.cutoff,
        dtype=model.dtype,
        periodic=particles.periodic,
    )
    scripted = script_module(program)
    torch._C._jit_pass_inline(scripted.graph)
    return scripted


def _describe(model: TorchScriptModel, particles: Particles) -> dict[str, Any]:
    return {
        "format": "frames-torchforce",
        "format_version": 1,
        "particles": particles.total,
        "atoms": particles.atoms,
        "atomic_numbers": particles.atomic_numbers,
        "periodic": particles.periodic,
        "units": {"length": "nm", "energy": "kJ/mol"},
        "model": model.metadata.model_dump(),
    }
