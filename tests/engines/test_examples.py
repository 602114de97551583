"""Runs the examples of OpenMM and ASE, and holds the model that they use against the method that it was trained on.

The decks of LAMMPS are run in test_lammps_examples.py."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.units import kB

from frames.ase import FramesCalculator
from frames.check import check_model

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
MODEL = ROOT / "models" / "ethanol" / "ethanol.pt"
COPPER_AT_300_K = 3.614  # Å, lattice constant by EMT itself (models/copper/README.md)


def run(*command: str | Path, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.torchforce
def test_openmm(tmp_path: Path) -> None:
    printed = run(sys.executable, EXAMPLES / "openmm" / "ethanol_langevin.py", folder=tmp_path)
    assert re.findall(r"^(\S+) ps", printed, re.MULTILINE) == ["0.10", "0.20", "0.30", "0.40", "0.50"]


def test_openmm_conserves_energy(tmp_path: Path) -> None:
    pytest.importorskip("frames._openmm")
    printed = run(sys.executable, EXAMPLES / "openmm" / "ethanol_nve.py", folder=tmp_path)
    total = np.array([float(x) for x in re.findall(r"total energy (\S+) eV", printed)])
    assert len(total) == 10
    assert np.ptp(total) < 0.02
    assert "native" in printed
    rows = np.loadtxt(tmp_path / "ethanol_atoms.csv", delimiter=",", skiprows=1)
    assert rows.shape == (10, 12)
    assert np.allclose(rows[:, 2], rows[:, 3:].sum(axis=1), atol=1e-3)


def test_openmm_metadynamics(tmp_path: Path) -> None:
    """The barrier of a methyl-like rotor; 180 degrees is -180 degrees."""
    pytest.importorskip("frames._openmm")
    printed = run(sys.executable, EXAMPLES / "openmm" / "ethanol_metadynamics.py", folder=tmp_path)
    rows = re.findall(r"(-?\d+) degrees +(\S+) kJ/mol", printed)
    profile = {int(angle): float(value) for angle, value in rows}
    assert list(profile) == [-180, -120, -60, 0, 60, 120, 180]
    assert profile[-180] == profile[180]
    assert 1 < max(profile.values()) < 25


def test_openmm_ligand_in_water(tmp_path: Path) -> None:
    """dE/dλ is the difference of two energies of which the model's holds those of the isolated atoms."""
    pytest.importorskip("frames._openmm")
    pytest.importorskip("openmmml")
    printed = run(sys.executable, EXAMPLES / "openmm" / "ethanol_in_water.py", folder=tmp_path)
    assert "9 of them by the model" in printed
    slopes = [float(x) for x in re.findall(r"dE/dlambda (\S+) kJ/mol", printed)]
    assert len(slopes) == 5 and np.ptp(slopes) < 200
    assert np.mean(slopes) == pytest.approx(
        FramesCalculator(MODEL).get_potential_energy(molecule("CH3CH2OH")) * 96.485, abs=150
    )


def test_openmm_crystal(tmp_path: Path) -> None:
    """The lattice constant is that of the method that the model was trained on; without a barostat it is kept."""
    pytest.importorskip("frames._openmm")
    printed = run(sys.executable, EXAMPLES / "openmm" / "copper_nvt_npt.py", folder=tmp_path)
    before, after = printed.split("NPT")
    rows = [re.findall(r"ps +(\S+) K  lattice constant (\S+) Å", part) for part in (before, after)]
    assert "native" in before
    assert {length for _, length in rows[0]} == {"3.6500"}
    assert len(rows[1]) == 6
    assert np.mean([float(temperature) for temperature, _ in rows[1]]) == pytest.approx(300, abs=45)
    assert np.mean([float(length) for _, length in rows[1][2:]]) == pytest.approx(COPPER_AT_300_K, abs=0.01)


def test_openmm_free_energy(tmp_path: Path) -> None:
    """The derivative is the finite difference; the energy is linear in λ, so <dE/dλ> falls with λ."""
    pytest.importorskip("frames._openmm")
    printed = run(sys.executable, EXAMPLES / "openmm" / "ethanol_free_energy.py", folder=tmp_path)
    derivative, difference = re.findall(r"at 0.5: (\S+) kJ/mol, from energies (\S+) kJ/mol", printed)[0]
    assert float(derivative) == pytest.approx(float(difference), abs=0.01)
    means = [float(x) for x in re.findall(r"<dE/dlambda> +(\S+) ±", printed)]
    assert len(means) == 5 and means[0] > means[-1]
    assert np.ptp(means) < 100
    assert len(re.findall(r"free energy of the change (\S+) kJ/mol", printed)) == 1


def test_openmm_committee_stops(tmp_path: Path) -> None:
    pytest.importorskip("frames._openmm")
    printed = run(sys.executable, EXAMPLES / "openmm" / "ethanol_committee.py", folder=tmp_path)
    assert "2000 steps at 300 K: the models agree" in printed
    assert re.search(r"stopped: step \d+: the committee's forces on particle \d \([CHO]\) deviate by", printed)
    rows = np.loadtxt(tmp_path / "committee.csv", delimiter=",", skiprows=1)
    assert rows[:100, 2].max() < 400 < rows[-1, 2]
    if (tmp_path / "committee.h5").exists():
        mdtraj = pytest.importorskip("mdtraj")
        assert mdtraj.load(str(tmp_path / "committee.h5")).n_atoms == 9


def test_vibrations_are_those_of_gfn2_xtb(tmp_path: Path) -> None:
    """Second derivatives at a minimum that was no training frame; experiment has the O-H stretch at 3676 1/cm."""
    printed = run(sys.executable, EXAMPLES / "ase" / "ethanol_vibrations.py", folder=tmp_path)
    found = [float(x) for x in re.findall(r"^ +\d+ +[\d.]+ +([\d.]+)$", printed, re.MULTILINE)]
    assert len(found) == 3 * 9 - 6 + (len(found) - 21)
    tblite = pytest.importorskip("tblite.ase")
    from ase.optimize import BFGS
    from ase.vibrations import Vibrations

    atoms = molecule("CH3CH2OH", calculator=tblite.TBLite(method="GFN2-xTB", verbosity=0))
    BFGS(atoms, logfile=None).run(fmax=0.001)
    vibrations = Vibrations(atoms, name=str(tmp_path / "xtb"))
    vibrations.run()
    expected = np.sort(vibrations.get_frequencies().real)[-21:]
    assert np.abs(np.sort(found)[-21:] - expected).mean() < 12


@pytest.mark.parametrize("path", sorted((ROOT / "models").glob("*/*.pt")), ids=lambda path: path.stem)
def test_model_passes_its_check(path: Path) -> None:
    _, findings = check_model(path)
    assert all(finding.passed for finding in findings)


def test_errors_are_those_of_its_card() -> None:
    """Frames of another run than that of the training, at 400 K."""
    tblite = pytest.importorskip("tblite.ase")
    from ase.md.langevin import Langevin
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
    from ase.units import fs

    atoms = molecule("CH3CH2OH", calculator=tblite.TBLite(method="GFN2-xTB", verbosity=0))
    generator = np.random.default_rng(3)
    MaxwellBoltzmannDistribution(atoms, temperature_K=400, rng=generator)
    dynamics = Langevin(atoms, 0.5 * fs, temperature_K=400, friction=0.02 / fs, rng=generator)
    model = FramesCalculator(MODEL)
    errors = []
    for _ in range(25):
        dynamics.run(40)
        copy = Atoms(atoms.symbols, atoms.positions, calculator=model)
        errors.append(copy.get_forces() - atoms.get_forces())
    assert np.abs(errors).mean() < 8e-3
    assert 0.5 * 400 < atoms.get_kinetic_energy() / (1.5 * kB * len(atoms)) < 2 * 400
