"""Runs the decks of examples/lammps, shortened by the variables that they offer."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import molecule
from lammps_run import PROGRAMS, Floats, read_thermo, require_lammps, run_program

from frames.ase import FramesCalculator

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "lammps"
MODELS = ROOT / "models"
MODEL = MODELS / "ethanol" / "ethanol.pt"
ETHANOL = ("nve", "npt", "zbl", "water", "neb", "committee", "heat_flux", "replicate")
TESTED = {"copper_npt", *(f"ethanol_{name}" for name in ETHANOL)}


@pytest.fixture(scope="module", autouse=True)
def lammps() -> None:
    require_lammps()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the examples beside the models, as in the repository."""
    copy = tmp_path / "examples" / "lammps"
    shutil.copytree(EXAMPLES, copy)
    (tmp_path / "models").symlink_to(MODELS)
    return copy


def run(folder: Path, name: str, ranks: int = 1, partitions: str = "", **variables: object) -> str:
    """Runs a deck and returns what it prints."""
    deck = f"in.{name}" if name in TESTED else f"in.ethanol_{name}"
    command: list[str | Path] = [PROGRAMS / "lmp", "-in", deck]
    command += ["-partition", partitions] if partitions else []
    for variable, value in variables.items():
        command += ["-var", variable, str(value)]
    done = run_program(folder, command, ranks)
    assert done.returncode == 0, done.stdout
    return done.stdout


def sections(printed: str) -> list[dict[str, Floats]]:
    """Thermo lines of each run or minimisation of a deck."""
    parts = re.split(r"(?m)^ *Step ", printed)[1:]
    return [read_thermo("Step " + part) for part in parts]


def test_every_deck_is_run_here() -> None:
    assert {path.name.removeprefix("in.") for path in EXAMPLES.glob("in.*")} == TESTED
    listed = (ROOT / "examples" / "README.md").read_text()
    assert all(f"in.{name}" in listed for name in TESTED)


def test_nve_conserves_energy(folder: Path) -> None:
    printed = run(folder, "nve")
    (thermo,) = sections(printed)
    assert len(thermo["TotEng"]) == 11
    assert np.ptp(thermo["TotEng"]) < 0.02
    assert "native" in printed


def test_npt(folder: Path) -> None:
    """The box moves, in all its edges, and stays a solid."""
    thermo = sections(run(folder, "npt", steps=200))[-1]
    assert 5 < thermo["Temp"][-1] < 40
    assert all(np.ptp(thermo[name]) > 1e-4 for name in ("Lx", "Ly", "Lz", "Xy", "Xz", "Yz"))
    assert 1.5 < thermo["Density"][-1] < 1.7


@pytest.mark.parametrize("ranks", [1, 2])
def test_copper_at_constant_pressure(folder: Path, ranks: int) -> None:
    thermo = sections(run(folder, "copper_npt", ranks, steps=300))[-1]
    assert 150 < thermo["Temp"][-1] < 450
    assert all(np.ptp(thermo[name]) > 1e-4 for name in ("Lx", "Ly", "Lz", "Xy", "Xz", "Yz"))
    assert 3.58 < thermo["v_edge"][-1] < 3.66


def test_zbl_turns_a_fast_atom_back(folder: Path) -> None:
    quiet, collision = sections(run(folder, "zbl"))[-2:]
    assert (quiet["c_zbl"] == 0).all()
    assert collision["c_zbl"].max() > 1.0
    assert 0.1 < collision["v_distance"].min() < 0.6
    assert collision["v_distance"][-1] > 1.0
    assert np.ptp(collision["TotEng"]) < 0.1


def test_water(folder: Path) -> None:
    """The model's energy of the molecule is that of ethanol; the classical one is that of some 200 waters."""
    printed = run(folder, "water", steps=100)
    thermo = sections(printed)[-1]
    waters = int(re.findall(r"(\d+) atoms in group water", printed)[0]) // 3
    isolated = FramesCalculator(MODEL).get_potential_energy(molecule("CH3CH2OH")) * 23.060548
    assert np.abs(thermo["c_model"] - isolated).max() < 20.0  # kcal/mol
    assert -14 < thermo["c_classical"][-1] / waters < -5
    assert 150 < thermo["Temp"][-1] < 450


def test_neb(folder: Path) -> None:
    """The methyl group's barrier; forwards and backwards are the same by symmetry."""
    run(folder, "neb", ranks=5, partitions="5x1", steps=40)
    lines = [line.split() for line in (folder / "log.lammps").read_text().splitlines()]
    header = next(line for line in lines if line[:1] == ["Step"])
    forwards, backwards = (float(lines[-1][header.index(name)]) for name in ("EBF", "EBR"))
    assert forwards == pytest.approx(backwards, abs=2e-3)
    assert forwards == pytest.approx(0.0894, abs=2e-3)  # of the converged band


def test_committee(folder: Path) -> None:
    printed = run(folder, "committee", steps=200, threshold=0.01)
    assert "mean of 2 models, native" in printed
    thermo = sections(printed)[-1]
    assert (thermo["c_deviation"] > 0).all()
    assert np.loadtxt(folder / "deviation.txt").shape[1] == 2
    frames = ase.io.read(folder / "candidates.extxyz", ":")
    assert all(frame.symbols.get_chemical_formula() == "C2H6O" for frame in frames)


def test_heat_flux(folder: Path) -> None:
    printed = run(folder, "heat_flux", steps=800, length=50)
    (found,) = re.findall(r"conductivity from this run (\S+) (\S+) (\S+) W", printed)
    assert np.isfinite([float(value) for value in found]).all()
    flux = np.stack([sections(printed)[-1][f"v_j{axis}"] for axis in "xyz"])
    assert 0.1 < np.abs(flux).max() < 200.0  # thousands with the reference energies of the atoms in it
    rows = np.array([line.split() for line in (folder / "heat_flux_correlation.txt").read_text().splitlines()[-50:]])
    assert (rows[:, 3:].astype(float)[0] > 0).all()  # squares at time zero


@pytest.mark.parametrize("ranks", [1, 2])
def test_replicate(folder: Path, ranks: int) -> None:
    """Molecules too far from each other to be seen: the energy is that of one times their number."""
    (thermo,) = sections(run(folder, "replicate", ranks, n=4, steps=10))
    one = FramesCalculator(MODEL).get_potential_energy(molecule("CH3CH2OH"))
    assert thermo["PotEng"][0] == pytest.approx(64 * one, abs=1e-3)
    assert (thermo["c_ghosts[2]"][0] > 0) == (ranks > 1)
