"""LAMMPS as a library in a program whose other ranks do something else: `world` is not MPI_COMM_WORLD."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from lammps_run import PROGRAMS, deck, read_dump, read_thermo, require_lammps, run_lammps, run_program, write_data
from lammps_systems import TYPES, crystal, heated
from toy_potential import write_toy_model

from frames.lammps import plugin_folder

PROGRAM = Path(__file__).with_name("split_world.py")
STEPS = "neigh_modify delay 0 every 5\ntimestep 0.0003\nfix nve all nve\nrun 30"


@pytest.fixture(scope="module", autouse=True)
def mpi() -> None:
    require_lammps()
    if not (PROGRAMS / "mpiexec").exists() or not (Path(sys.prefix) / "lib" / "libmpi.so.12").exists():
        pytest.skip("MPICH is not installed in this environment (pip install 'lammps[mpi]')")


@pytest.fixture(params=["native", "torchscript"])
def model(request: pytest.FixtureRequest, native_models: dict[str, Path], tmp_path: Path) -> Path:
    """Both ways of getting at what other ranks own: exchange of features, and a wide shell of ghosts."""
    if request.param == "native":
        return native_models["float64"]
    return write_toy_model(tmp_path / "toy.pt").path


def test_two_ranks_of_three_give_the_forces_of_one(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    atoms = heated(crystal(), 1000)
    one = run_lammps(tmp_path / "one", atoms, model, TYPES, commands=STEPS)
    folder = tmp_path / "two_of_three"
    folder.mkdir()
    write_data(folder / "system.data", atoms, TYPES)
    (folder / "in.test").write_text(deck(atoms, model, TYPES, commands=STEPS))
    monkeypatch.setenv("LAMMPS_PLUGIN_PATH", plugin_folder())  # which the program `lmp` sets by itself
    done = run_program(folder, [sys.executable, PROGRAM, "in.test"], 3)
    assert done.returncode == 0, done.stdout
    assert "on 2 procs" in done.stdout and "pair_style frames" in done.stdout
    thermo, dump = read_thermo(done.stdout), read_dump(folder / "atoms.dump")
    assert np.array_equal(dump["id"], one.atoms["id"])
    forces = np.stack([dump[f"f{axis}"] for axis in "xyz"], axis=1)
    assert np.abs(one.forces).max() > 0.1
    assert np.abs(forces - one.forces).max() < 1e-8
    assert thermo["PotEng"][0] == pytest.approx(one.thermo["PotEng"][0], rel=1e-10)


def test_an_error_in_a_communicator_of_its_own_is_told(
    tmp_path: Path, native_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And ends the program: the rank outside waits for nobody."""
    write_data(tmp_path / "system.data", crystal(), TYPES)
    text = deck(crystal(), native_models["float64"], (14, *TYPES[1:]))
    (tmp_path / "in.test").write_text(text)
    monkeypatch.setenv("LAMMPS_PLUGIN_PATH", plugin_folder())
    done = run_program(tmp_path, [sys.executable, PROGRAM, "in.test"], 3)
    assert done.returncode != 0
    assert "element Si of atom type 1 is unknown to" in done.stdout
