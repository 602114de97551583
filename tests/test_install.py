"""The package in an environment of its own: one `pip install`, no PyTorch, a model that runs in LAMMPS, OpenMM and
ASE."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ase.build import molecule

from frames.ase import FramesCalculator

ROOT = Path(__file__).resolve().parent.parent

WITHOUT_TORCH = """
import importlib.util, sys
from ase.build import molecule
from frames.ase import FramesCalculator
assert importlib.util.find_spec("torch") is None
atoms = molecule("CH3CH2OH", calculator=FramesCalculator(sys.argv[1]))
print(atoms.get_potential_energy())
"""

OPENMM_WITHOUT_TORCH = """
import sys
import openmm
from ase.build import molecule
from frames.openmm import FramesForce
atoms = molecule("CH3CH2OH")
system = openmm.System()
for mass in atoms.get_masses():
    system.addParticle(mass)
system.addForce(FramesForce(sys.argv[1], atoms.numbers, periodic=False))
context = openmm.Context(system, openmm.VerletIntegrator(0.0005))
context.setPositions(atoms.positions * openmm.unit.angstrom)
print(context.getState(energy=True).getPotentialEnergy() / openmm.unit.AVOGADRO_CONSTANT_NA / openmm.unit.ev)
"""


@pytest.mark.slow
def test_one_pip_command_without_pytorch(tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    # nothing of the environment that runs the tests
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(*command: str | Path, folder: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)

    def succeed(*command: str | Path, folder: Path = tmp_path) -> str:
        done = run(*command, folder=folder)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        return done.stdout

    succeed(sys.executable, "-m", "venv", environment)
    succeed(
        *(environment / "bin" / "python", "-m", "pip", "install", "--quiet"),
        *(f"--config-settings=build-dir={tmp_path / 'build'}", f"{ROOT}[lammps,openmm]"),
    )
    model = ROOT / "models" / "ethanol" / "ethanol.pt"
    energy = float(succeed(environment / "bin" / "python", "-c", WITHOUT_TORCH, model))
    expected = molecule("CH3CH2OH", calculator=FramesCalculator(model, backend="torchscript")).get_potential_energy()
    assert energy == pytest.approx(expected, abs=1e-4)
    energy = float(succeed(environment / "bin" / "python", "-c", OPENMM_WITHOUT_TORCH, model))
    assert energy == pytest.approx(expected, abs=1e-4)
    printed = succeed(
        environment / "bin" / "lmp", "-in", "in.ethanol_nve", "-log", "none", folder=ROOT / "examples" / "lammps"
    )
    assert "native" in printed and "Loop time" in printed
    assert "PASS" in succeed(environment / "bin" / "frames", "check", model)
    refused = run(environment / "bin" / "frames", "export", "best.pt", "-o", "model.pt")
    assert refused.returncode == 1
    assert refused.stderr.strip() == "frames: error: frames export needs torch: pip install 'frames-md[train]'"
