"""pair_style frames on several MPI ranks: the same numbers as on one, whatever the decomposition."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

pytest.importorskip("torch")

from lammps_run import PROGRAMS, Run, deck, require_lammps, run_deck, run_lammps, write_data
from lammps_systems import TYPES, chain, crystal, ethanol, heated, jittered, narrow, slab, triclinic
from toy_potential import ToyModel, write_toy_model

MOVING = "neigh_modify delay 0 every 1\ntimestep 0.0002\nfix nve all nve\nrun 200"
PRESSURES = ["Pxx", "Pyy", "Pzz", "Pxy", "Pxz", "Pyz"]

ATOM_STRESSES = """compute s all stress/atom NULL virial
compute ssum all reduce sumsq c_s[*]
compute c all centroid/stress/atom NULL virial
compute csum all reduce sumsq c_c[*]
thermo_style custom step pe pxx pyy pzz pxy pxz pyz c_ssum[*] c_csum[*]
thermo_modify format float %.15g
run 0"""


@pytest.fixture(scope="module", autouse=True)
def mpi() -> None:
    require_lammps()
    if not (PROGRAMS / "mpiexec").exists():
        pytest.skip("mpiexec is not installed in this environment (pip install 'lammps[mpi]')")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ToyModel:
    return write_toy_model(tmp_path_factory.mktemp("ranks") / "toy.pt")


def assert_same(run: Run, reference: Run, forces: float) -> None:
    assert np.abs(run.forces - reference.forces).max() < forces
    assert np.abs(run.atoms["c_pe"] - reference.atoms["c_pe"]).max() < 10 * forces
    for name in ["PotEng", *PRESSURES]:
        assert run.thermo[name][0] == pytest.approx(reference.thermo[name][0], rel=1e-10, abs=1e-5)


@pytest.mark.parametrize("structure", [ethanol, crystal, triclinic, narrow, slab, chain])
def test_ranks_agree_on_one_structure(tmp_path: Path, model: ToyModel, structure: Callable[[], Atoms]) -> None:
    one = run_lammps(tmp_path / "1", structure(), model.path, TYPES)
    for ranks, newton in ((2, "off"), (4, "on")):
        run = run_lammps(tmp_path / f"{ranks}{newton}", structure(), model.path, TYPES, ranks, newton=newton)
        assert_same(run, one, 1e-10)


@pytest.mark.parametrize("newton", ["off", "off on", "on off"])
def test_newton_does_not_matter(tmp_path: Path, model: ToyModel, newton: str) -> None:
    reference = run_lammps(tmp_path / "reference", narrow(), model.path, TYPES)
    for ranks in (1, 2):
        run = run_lammps(tmp_path / str(ranks), narrow(), model.path, TYPES, ranks, newton=newton)
        assert_same(run, reference, 1e-10)


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_agree_after_atoms_have_crossed_borders(tmp_path: Path, model: ToyModel, ranks: int) -> None:
    atoms = heated(crystal(), 1500)
    grid = "processors 1 * *"
    one = run_lammps(tmp_path / "1", atoms, model.path, TYPES, commands=MOVING)
    many = run_lammps(tmp_path / "n", atoms, model.path, TYPES, ranks, before=grid, commands=MOVING)
    assert crossings(atoms, one) >= 3
    assert np.abs(many.forces - one.forces).max() < 1e-6
    assert np.abs(many.thermo["TotEng"] - one.thermo["TotEng"]).max() < 1e-6
    assert np.abs(many.thermo["Press"] - one.thermo["Press"]).max() < 1e-6 * np.abs(one.thermo["Press"]).max()


def crossings(atoms: Atoms, run: Run) -> int:
    """Atoms that ended in another half of the box than they started in, along z."""
    half = atoms.cell[2, 2] / 2
    before, after = atoms.positions[:, 2] % (2 * half) > half, run.positions[:, 2] % (2 * half) > half
    return int((before != after).sum())


def test_moving_slab_leaves_ranks_without_atoms(tmp_path: Path, model: ToyModel) -> None:
    atoms = heated(slab(), 600)
    moving = MOVING.replace("run 200", "run 20")
    one = run_lammps(tmp_path / "1", atoms, model.path, TYPES, commands=moving)
    four = run_lammps(tmp_path / "4", atoms, model.path, TYPES, 4, before="processors 1 1 4", commands=moving)
    assert histogram_has_empty_rank(four.output)
    assert np.abs(four.forces - one.forces).max() < 1e-6


def histogram_has_empty_rank(output: str) -> bool:
    line = next(line for line in output.splitlines() if line.startswith("Nlocal:"))
    return float(line.split()[5]) == 0.0


def test_balanced_and_tiled_decompositions(tmp_path: Path, model: ToyModel) -> None:
    atoms = heated(jittered((7, 7, 6), np.diag([16.0, 16.0, 14.0]), 8), 800)
    moving = MOVING.replace("run 200", "run 20")
    one = run_lammps(tmp_path / "1", atoms, model.path, TYPES, commands=moving)
    tiled = run_lammps(
        tmp_path / "tiled", atoms, model.path, TYPES, 4,
        settings="comm_style tiled\nfix balance all balance 5 1.0 rcb", commands=moving,
    )  # fmt: skip
    assert np.abs(tiled.forces - one.forces).max() < 1e-6
    assert np.abs(tiled.thermo["Press"] - one.thermo["Press"]).max() < 1e-3


@pytest.mark.parametrize("style", ["frames", "hybrid/overlay frames zero 4.0"])
@pytest.mark.parametrize("newton", ["on", "off", "off on", "on off"])
def test_atom_stresses_do_not_depend_on_ranks(
    tmp_path: Path, native_models: dict[str, Path], newton: str, style: str
) -> None:
    """Where pairs and bonds differ in `newton`, pair_style hybrid passes on less than computes ask for."""
    model = native_models["float64"]
    one = run_lammps(tmp_path / "1", triclinic(), model, TYPES, commands=ATOM_STRESSES)
    text = deck(triclinic(), model, TYPES, newton=newton, style=style, commands=ATOM_STRESSES)
    if style != "frames":
        text = text.replace("pair_coeff * *", "pair_coeff * * zero\npair_coeff * * frames")
    write_data(tmp_path / "system.data", triclinic(), TYPES)
    two = run_deck(tmp_path, text, 2)
    assert two.status == 0, two.output
    for name, values in one.thermo.items():
        assert two.thermo[name][0] == pytest.approx(values[0], rel=1e-9, abs=1e-4), name


def test_deleted_atoms(tmp_path: Path, model: ToyModel) -> None:
    commands = "run 0\ngroup gone id 3 7 20:30\ndelete_atoms group gone compress no\nrun 0"
    one = run_lammps(tmp_path / "1", crystal(), model.path, TYPES, commands=commands)
    two = run_lammps(tmp_path / "2", crystal(), model.path, TYPES, 2, commands=commands)
    assert len(one.forces) == len(crystal()) - 13
    assert np.abs(two.forces - one.forces).max() < 1e-10
    assert two.thermo["PotEng"][1] == pytest.approx(one.thermo["PotEng"][1], rel=1e-12)


def test_next_pair_style_gets_its_ghost_shell_back(tmp_path: Path, model: ToyModel) -> None:
    commands = "run 0\npair_style lj/cut 3.0\npair_coeff * * 0.01 2.0\nrun 0"
    run = run_lammps(tmp_path, crystal(), model.path, TYPES, 2, commands=commands)
    shells = [line.split("=")[1].strip() for line in run.output.splitlines() if "ghost atom cutoff" in line]
    assert shells == ["9", "4"]
