"""What a FramesForce refuses, and with which message; versions that do not fit; a machine without PyTorch."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("frames._openmm")

import openmm
from frames._openmm_version import OPENMM
from openmm_systems import ANGSTROM, DEVICES, TRY_CUDA, ethanol, has_cuda, new_context, system_of, topology_of

from frames.errors import FramesError
from frames.openmm import FramesForce
from frames.openmm.guard import check_openmm_fits

MODEL = Path(__file__).resolve().parents[2] / "models" / "ethanol" / "ethanol.pt"
NUMBERS = ethanol().numbers


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "absent.pt"}, "absent.pt: no such model file"),
        ({"model": __file__}, "not a readable archive"),
        ({"model": 7}, "expected the path of a model file, not 7 of type int"),
        ({"model": None}, "expected the path of a model file, not None"),
        ({"given": "ethanol.pdb"}, "expected an OpenMM Topology or a list of elements, not 'ethanol.pdb'"),
        ({"given": 3}, "expected an OpenMM Topology or a list of elements, not 3"),
        ({"given": ["C", "Si"]}, r"particle 1 \(Si\) is Si, which the model does not know; its elements are"),
        ({"given": ["C", "Q"]}, "'Q' is no chemical symbol"),
        ({"given": ["C", None]}, r"particle 1 \(None\) has no element, as a virtual site; leave it out by"),
        ({"given": []}, "the topology has no atoms"),
        ({"atoms": []}, "atoms is empty"),
        ({"atoms": 3}, "atoms = 3; expected the indices of the particles"),
        ({"atoms": [True, False]}, "atoms: true and false are no indices; numpy.flatnonzero gives those of a mask"),
        ({"atoms": np.ones(9, bool)}, "atoms: true and false are no indices"),
        ({"given": [6.7] * 9}, "6.7 is no element; expected a symbol"),
        ({"atoms": [0, 9]}, "9 is no particle of this system; expected integers from 0 to 8"),
        ({"atoms": [0, -1]}, "-1 is no particle of this system"),
        ({"atoms": [0, 0]}, "particle 0 is listed more than once"),
        ({"atoms": [0.5]}, "0.5 is no particle of this system"),
        ({"periodic": None}, "with a list of elements, say periodic=True or periodic=False"),
        ({"periodic": "yes"}, "periodic = 'yes'; expected True, False, or None"),
        ({"backend": "cuda"}, "backend 'cuda'; expected one of auto, native, torchscript"),
        ({"precision": "float32"}, "precision 'float32'; expected 'single', 'double', or None"),
        ({"precision": "mixed"}, "precision 'mixed'; expected"),
        ({"backend": "torchscript", "precision": "double"}, "torchscript: computes in single precision"),
        ({"scale_parameter": ""}, "scale_parameter = ''; expected a name of letters"),
        ({"scale_parameter": "2x"}, "scale_parameter = '2x'; expected a name"),
        ({"scale_parameter": "a+b"}, "scale_parameter = 'a.b'; expected a name"),
        ({"scale_parameter": 1}, "scale_parameter = 1; expected a name"),
        ({"scale_parameter": "s", "scale_default": "full"}, "scale_default = 'full'; expected a finite number"),
        ({"scale_parameter": "s", "scale_default": float("inf")}, "scale_default = inf; expected a finite number"),
        ({"scale_default": 0.5}, "scale_default = 0.5 without scale_parameter; name the parameter"),
        ({"skin": -0.1}, "skin = -0.1; expected a length in nm, 0 or more"),
        ({"skin": float("nan")}, "skin = nan; expected a length in nm"),
        ({"skin": "wide"}, "skin = 'wide'; expected a length in nm"),
        ({"skin": 1 * openmm.unit.kelvin}, "skin = 1 K; expected a length"),
        ({"bonds": "topology"}, "bonds = 'topology'; expected 'topology' with an OpenMM Topology, or pairs"),
        ({"bonds": [(0, 9)]}, "bonds: expected pairs of two different particles, integers from 0 to 8"),
        ({"bonds": [(1, 1)]}, "bonds: expected pairs of two different particles"),
        ({"bonds": [(0, 1, 2)]}, "bonds: expected pairs of two different particles"),
        ({"bonds": 3}, "bonds: expected pairs of two different particles"),
        ({"embed": "yes"}, "embed = 'yes'; expected True"),
    ],
)
def test_refuses(options: dict[str, Any], message: str) -> None:
    settings = {"model": MODEL, "given": NUMBERS, "periodic": False, **options}
    with pytest.raises(FramesError, match=message):
        FramesForce(settings.pop("model"), settings.pop("given"), **settings)


def test_refuses_a_backend_that_cannot_evaluate_the_model(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from toy_potential import write_toy_model

    toy = write_toy_model(tmp_path / "toy.pt").path
    with pytest.raises(FramesError, match=r"toy.pt: no backend .*native: evaluates backbone cartesian, not toy\)"):
        FramesForce(toy, NUMBERS, periodic=False, backend="native")


@pytest.mark.skipif(TRY_CUDA, reason="FRAMES_OPENMM_CUDA is set: forces are to be tried there")
def test_refuses_the_cuda_platform() -> None:
    if not has_cuda():
        pytest.skip("OpenMM has no CUDA platform here, or no GPU for it")
    system = system_of(9, None)
    system.addForce(FramesForce(MODEL, NUMBERS, periodic=False))
    with pytest.raises(openmm.OpenMMException, match="cannot be used on the CUDA platform yet"):
        new_context(system, openmm.VerletIntegrator(0.001), "CUDA")


def without_last_atom(positions: np.ndarray) -> np.ndarray:
    return positions[:-1]


def with_nan(positions: np.ndarray) -> np.ndarray:
    positions[2, 1] = np.nan
    return positions


def with_coinciding_atoms(positions: np.ndarray) -> np.ndarray:
    positions[5] = positions[4]
    return positions


def far_away(positions: np.ndarray) -> np.ndarray:
    positions[0] += 1e8
    return positions


# the CPU platform looks at the positions itself; that of OpenCL calls the force from a thread of its own
@pytest.mark.parametrize("platform", ["Reference", *DEVICES])
@pytest.mark.parametrize("derivative", [False, True])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_last_atom, "was made for 9 particles but the system has 8; make it again from the topology"),
        (with_nan, r"position of particle 2 \(O\) is not finite; the simulation has become unstable"),
        (with_coinciding_atoms, r"not finite at .*closest are particle 4 \(H\) and particle 5 \(H\), 0 nm apart"),
        (far_away, "a position is not finite or farther than 1e6"),
    ],
)
def test_simulation_stops_with_a_message(
    spoil: Callable[[np.ndarray], np.ndarray], message: str, derivative: bool, platform: str
) -> None:
    force = FramesForce(MODEL, topology_of(ethanol()), scale_parameter="s")
    if derivative:
        force.addEnergyParameterDerivative("s")
    positions = spoil(ethanol().positions.copy())
    system = system_of(len(positions), None)
    system.addForce(force)
    integrator = openmm.VerletIntegrator(0.001)
    with pytest.raises(openmm.OpenMMException, match=f"FramesForce: .*{message}"):
        context = new_context(system, integrator, platform)
        context.setPositions(positions / ANGSTROM)
        integrator.step(1)


def test_box_without_volume_stops_with_a_message() -> None:
    force = FramesForce(MODEL, NUMBERS, periodic=True)
    system = system_of(9, np.diag([0.02, 0.02, 0.02]))
    system.addForce(force)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(ethanol().positions / ANGSTROM)
    with pytest.raises(openmm.OpenMMException, match="FramesForce: the periodic cell is too small for the cutoff"):
        context.getState(energy=True)


def test_force_removed_while_its_context_lives() -> None:
    """The Context goes on with the settings that it has been made with."""
    script = f"""
import openmm
from frames.openmm import FramesForce
system = openmm.System()
for _ in range(9):
    system.addParticle(12.0)
force = FramesForce({str(MODEL)!r}, {NUMBERS!r}, periodic=False, bonds=[(0, 1)])
system.addForce(force)
context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatform("Reference"))
context.setPositions({(ethanol().positions / ANGSTROM).tolist()!r})
context.getState(energy=True)
system.removeForce(0)
rubbish = [openmm.CustomBondForce("k*r") for _ in range(200)] + [bytearray(200 + 8 * k) for k in range(300)]
for _ in range(2):
    context.getState(energy=True)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_questions_that_have_no_answer() -> None:
    force = FramesForce(MODEL, NUMBERS, periodic=False)
    with pytest.raises(FramesError, match="'lambda' is no parameter of this force, which was made without scale_param"):
        force.addEnergyParameterDerivative("lambda")
    scaled = FramesForce(MODEL, NUMBERS, periodic=False, scale_parameter="mu")
    with pytest.raises(FramesError, match="'lambda' is no parameter of this force, whose parameter is 'mu'"):
        scaled.addEnergyParameterDerivative("lambda")
    with pytest.raises(FramesError, match="is no FramesForce; expected one that this package made"):
        FramesForce.cast(openmm.HarmonicBondForce())
    with pytest.raises(FramesError, match=r"is no FramesForce"):
        FramesForce.cast("force")
    system = system_of(9, None)
    system.addForce(force)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    with pytest.raises(FramesError, match="the force was not evaluated in this Context yet; ask for its energy first"):
        force.getAtomEnergies(context)
    with pytest.raises(FramesError, match="this force is not part of that Context"):
        scaled.getAtomEnergies(context)
    with pytest.raises(FramesError, match="expected an OpenMM Context, not System; that of a Simulation"):
        force.getBackend(system)


@pytest.mark.parametrize("installed", ["8.5", "8.5.2", "8.7.0", "9.6", "8.60.0"])
def test_other_minor_versions_of_openmm_are_refused(installed: str) -> None:
    with pytest.raises(FramesError, match=f"OpenMM {installed} is installed, but FramesForce was compiled for"):
        check_openmm_fits(installed, "8.6")


def test_this_version_of_openmm_fits() -> None:
    check_openmm_fits(openmm.Platform.getOpenMMVersion(), OPENMM)
    check_openmm_fits("8.6", "8.6")
    check_openmm_fits("8.6.1", "8.6")


ABSENT = """
import sys
sys.modules[{absent!r}] = None
from frames.errors import FramesError
try:
    from frames.openmm import FramesForce
except FramesError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("absent", "message"),
    [
        ("openmm", r"OpenMM cannot be imported .*: pip install openmm==8.6.\*"),
        ("frames._openmm", "the compiled OpenMM force cannot be loaded .*install frames-md again"),
        ("frames._openmm_version", "this installation has no compiled OpenMM force: .*install frames-md again"),
    ],
)
def test_says_what_to_install(absent: str, message: str) -> None:
    script = ABSENT.format(absent=absent)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(message, done.stdout), done.stdout


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import openmm
from frames.openmm import FramesForce
system = openmm.System()
for _ in range(9):
    system.addParticle(12.0)
system.addForce(FramesForce({model!r}, {numbers}, periodic=False))
context = openmm.Context(system, openmm.VerletIntegrator(0.0005), openmm.Platform.getPlatformByName("CPU"))
context.setPositions({positions})
context.getIntegrator().step(5)
libraries = open("/proc/self/maps").read()
print(context.getState(energy=True).getPotentialEnergy()._value, "torch" in libraries)
"""


def test_runs_without_pytorch() -> None:
    positions = (ethanol().positions / ANGSTROM).tolist()
    script = WITHOUT_TORCH.format(model=str(MODEL), numbers=NUMBERS, positions=positions)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    energy, torch_is_loaded = done.stdout.split()
    assert float(energy) < -29_000
    assert torch_is_loaded == "False"
