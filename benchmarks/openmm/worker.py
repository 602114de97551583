"""One route on one system in a process of its own. Arguments: route, model file, system, platform, threads.

Runs in our environment and in those of the peers, so a route imports what it needs. Requests are lines of JSON as in
`benchmarks/peers/workers/serve.py`: {"do": "steps", "count": n}; each answer is {"seconds": s}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import ase.io
import numpy as np

STEP = 1e-6  # ps: so short that a model that was never trained on a system cannot change its geometry during a run
WARM_UP = 5.0  # seconds at most, unless a few steps take longer


def frames_force(model: str, atoms: Any, **options: Any) -> Any:
    from frames.openmm import FramesForce

    return FramesForce(model, atoms.numbers, periodic=bool(atoms.pbc.any()), **options)


def torch_force(model: str, atoms: Any, **options: Any) -> Any:
    from frames.openmm import torch_force as make

    return make(model, atoms.numbers, periodic=bool(atoms.pbc.any()), **options)


def python_force(model: str, atoms: Any) -> Any:
    """A Python callback around the TorchScript program, which OpenMM calls in every step, as OpenMM-ML makes one for
    models of PyTorch."""
    import openmm

    from frames.inference import TorchScriptModel
    from frames.units import conversion

    loaded = TorchScriptModel(model)
    periodic = bool(atoms.pbc.any())
    energy_unit, force_unit = conversion("eV", "kJ/mol"), conversion("eV", "kJ/mol") * conversion("nm", "Å")

    def compute(state: Any) -> tuple[Any, Any]:
        positions = 10 * state.getPositions(asNumpy=True)._value
        cell = 10 * state.getPeriodicBoxVectors(asNumpy=True)._value if periodic else None
        found = loaded.evaluate(atoms.numbers, positions, cell, periodic)
        return found.energy * energy_unit, found.forces * force_unit

    force = openmm.PythonForce(compute)
    force.setUsesPeriodicBoundaryConditions(periodic)
    return force


# What gives a force …
FORCES: dict[str, Callable[[str, Any], Any]] = {
    "FramesForce": frames_force,
    "FramesForce, neighbour list in every step": lambda model, atoms: frames_force(model, atoms, skin=0.0),
    "FramesForce, torchscript": lambda model, atoms: frames_force(model, atoms, backend="torchscript"),
    "TorchForce": torch_force,
    "TorchForce, outputs forces": lambda model, atoms: torch_force(model, atoms, outputs_forces=True),
    "PythonForce": python_force,
    "no force": lambda model, atoms: None,
}
# … and what a potential of OpenMM-ML is called with.
POTENTIALS: dict[str, dict[str, Any]] = {
    "mace": {},
    "nequip": {"lengthScale": 0.1, "energyScale": 96.48533212331},
}


def system_of(route: str, model: str, atoms: Any) -> Any:
    import openmm

    if route in POTENTIALS:
        from openmmml import MLPotential

        potential = MLPotential(route, modelPath=model, **POTENTIALS[route])
        return potential.createSystem(topology_of(atoms), removeCMMotion=False)
    system = openmm.System()
    for mass in atoms.get_masses():
        system.addParticle(mass)
    if atoms.pbc.any():
        system.setDefaultPeriodicBoxVectors(*(np.asarray(atoms.cell) * 0.1))
    force = FORCES[route](model, atoms)
    if force is not None:
        system.addForce(force)
    return system


def topology_of(atoms: Any) -> Any:
    from openmm import app

    topology = app.Topology()
    residue = topology.addResidue("MOL", topology.addChain())
    for atom in atoms:
        topology.addAtom(f"{atom.symbol}{atom.index}", app.Element.getBySymbol(atom.symbol), residue)
    if atoms.pbc.any():
        topology.setPeriodicBoxVectors(np.asarray(atoms.cell) * 0.1)
    return topology


def main(route: str, model: str, system: str, platform: str, threads: str) -> None:
    if route not in ("no force", "FramesForce", "FramesForce, neighbour list in every step"):
        import torch  # before openmm, which then finds the plug-in of TorchForce

        torch.set_num_threads(int(threads))
    import openmm

    atoms = ase.io.read(system)
    properties = {"Threads": threads} if platform == "CPU" else {}
    chosen = openmm.Platform.getPlatformByName(platform)
    context = openmm.Context(system_of(route, model, atoms), openmm.VerletIntegrator(STEP), chosen, properties)
    context.setPositions(atoms.positions * 0.1)
    context.setVelocitiesToTemperature(300, 1)

    def steps(count: int) -> float:
        """Seconds. The energy is asked for, so that nothing is left to be done."""
        start = time.perf_counter()
        context.getIntegrator().step(count)
        context.getState(energy=True)
        return time.perf_counter() - start

    since, done = time.perf_counter(), 0
    while done < 5 or (done < 200 and time.perf_counter() - since < WARM_UP):
        steps(1)
        done += 1
    answers = os.fdopen(int(os.environ["ANSWERS"]), "w")
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps({"seconds": steps(json.loads(line)["count"])}), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:6])
