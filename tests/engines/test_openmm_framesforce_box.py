"""The box of a Context beside that of the topology: nothing takes it over, and OpenMM's default is a cube of 2 nm."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("frames._openmm")

import openmm
from openmm_systems import ANGSTROM, context_of, energy_of, ethanol, jittered_lattice, reference, topology_of

from frames.openmm import FramesForce

MODEL = Path(__file__).resolve().parents[2] / "models" / "ethanol" / "ethanol.pt"


@pytest.mark.parametrize("derivative", [False, True])
@pytest.mark.parametrize("copied", [False, True])
def test_box_that_the_system_was_not_given(copied: bool, derivative: bool) -> None:
    crystal = jittered_lattice("crystal", (3, 3, 3), [[6.5, 0, 0], [1.0, 6.5, 0], [0, 0, 7.0]], 1)
    force = FramesForce(MODEL, topology_of(crystal), scale_parameter="s")
    assert np.allclose(np.array(force.settings.topology_box) * ANGSTROM, crystal.cell)
    if derivative:
        force.addEnergyParameterDerivative("s")
    context = context_of(copy.deepcopy(force) if copied else force, replace(crystal, cell=None))
    for _ in range(2):  # whoever catches it gets no number either
        with pytest.raises(
            openmm.OpenMMException, match=r"a cube of 2 nm, .*\(0.65, 0, 0\) \(0.1, 0.65, 0\) .*topology.getPer"
        ):
            context.getState(energy=True)
    context.setPeriodicBoxVectors(*(crystal.cell / ANGSTROM))
    assert energy_of(context) == pytest.approx(reference(MODEL, crystal)[0], abs=1e-3)
    context.setPeriodicBoxVectors(*np.diag([2.0, 2.0, 2.0]))  # by now it is meant
    assert np.isfinite(energy_of(context))


def test_cube_of_two_nanometres_that_is_meant() -> None:
    case = jittered_lattice("cube", (2, 2, 2), [[20.000001, 0, 0], [0, 20, 0], [0, 0, 20]], 1)
    open_case = replace(ethanol(), cell=np.diag([9.0, 9.0, 9.0]))
    for force, structure in (
        (FramesForce(MODEL, topology_of(case)), case),
        (FramesForce(MODEL, case.numbers, periodic=True), case),
        (FramesForce(MODEL, topology_of(open_case), periodic=False), open_case),
    ):
        context = context_of(force, replace(structure, cell=None))
        assert np.isfinite(energy_of(context))
