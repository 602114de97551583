"""Generated trajectories: the physics, and the same numbers after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.data import atomic_masses

from frames import FramesError
from frames.data import generate as generate_module
from frames.data import read
from frames.data.generate import Settings, generate
from frames.data.molecules import molecule
from frames.data.selftest import self_test
from frames.data.trajectory import Trajectory
from frames.data.xtb import Xtb
from frames.units import AMU_ANGSTROM2_PER_FS2, BOLTZMANN

pytest.importorskip("tblite", reason="generating trajectories needs tblite")

WATER = Settings(molecule="water", steps=20, temperature_k=300.0, equilibration_steps=50)
ARRAYS = ("positions", "velocities", "energies", "forces", "times")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate_module, "FRAMES_PER_PART", 5)


def _assert_identical(one: Trajectory, other: Trajectory) -> None:
    for key in ARRAYS:
        np.testing.assert_array_equal(getattr(one, key), getattr(other, key), err_msg=key)


def test_water(tmp_path: Path) -> None:
    settings = replace(WATER, steps=60)
    seen = []
    assert generate(settings, tmp_path / "water.h5", lambda stage, done, total: seen.append((stage, done, total)))
    assert seen[0] == ("equilibrating", 0, 60) and seen[-1] == ("generating", 60, 60)
    assert [path.name for path in tmp_path.iterdir()] == ["water.h5"]
    (found,) = read(tmp_path / "water.h5")
    assert len(found) == 60 and found.metadata["method"] == "GFN2-xTB" and found.metadata["ms_per_step"] > 0
    result = self_test(found)
    assert result.verdict == "OK" and result.verlet is not None
    assert result.verlet.fitted_step == pytest.approx(0.5, rel=1e-9) and result.verlet.residual < 1e-9
    assert found.velocities is not None and found.energies is not None
    masses = atomic_masses[found.atomic_numbers][:, None] * AMU_ANGSTROM2_PER_FS2
    kinetic = 0.5 * (masses * found.velocities**2).sum(axis=(1, 2))
    assert np.ptp(found.energies + kinetic) < 0.05 * np.ptp(kinetic)
    # Three vibrations with k_B T each above the minimum.
    potential = Xtb("GFN2-xTB", found.atomic_numbers, found.positions[0])
    relaxed = min(potential(positions)[0] for positions in found.positions)
    assert found.energies[0] + kinetic[0] - relaxed == pytest.approx(3 * BOLTZMANN * 300, rel=0.15)
    momentum = (masses * found.velocities).sum(axis=1)
    centre = (masses * found.positions).sum(axis=1)
    spin = (masses * np.cross(found.positions, found.velocities)).sum(axis=1)
    for vanishing in (momentum, centre, spin):
        assert np.abs(vanishing).max() < 1e-4 * masses.sum()


def test_complete_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "water.h5"
    assert generate(WATER, path)
    before = path.stat().st_mtime_ns
    assert not generate(WATER, path)
    assert path.stat().st_mtime_ns == before
    with pytest.raises(FramesError, match=r"water\.h5: made with temperature_k = 300\.0, and 400\.0 is asked for"):
        generate(replace(WATER, temperature_k=400.0), path)


_CHILD = """
import os, signal, sys
from pathlib import Path
from frames.data import generate as module
module.FRAMES_PER_PART = 5
settings = module.Settings(molecule="water", steps=20, temperature_k=300.0, equilibration_steps=50)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started without it

def kill(stage, done, total):
    if stage == sys.argv[2] and done == int(sys.argv[3]):
        os.kill(os.getpid(), getattr(signal, sys.argv[4]))

module.generate(settings, Path(sys.argv[1]), kill)
"""


def _killed(path: Path, stage: str, step: int, with_signal: str = "SIGKILL") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", textwrap.dedent(_CHILD), str(path), stage, str(step), with_signal]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("stage", "step"), [("equilibrating", 0), ("generating", 3), ("generating", 12)])
def test_killed_run_goes_on_with_the_same_numbers(tmp_path: Path, stage: str, step: int) -> None:
    generate(WATER, tmp_path / "whole.h5")
    killed = tmp_path / "killed.h5"
    assert _killed(killed, stage, step).returncode == -signal.SIGKILL
    assert not killed.exists()
    parts = sorted((tmp_path / "killed.h5.parts").glob("part-*.h5"))
    assert len(parts) == {0: 0, 3: 1, 12: 3}[step]
    if parts:
        with pytest.raises(FramesError, match=r"killed\.h5\.parts: made with seed = 0, and 1 is asked for"):
            generate(replace(WATER, seed=1), killed)
    assert generate(WATER, killed)
    _assert_identical(read(killed)[0], read(tmp_path / "whole.h5")[0])
    assert not (tmp_path / "killed.h5.parts").exists()


def test_interrupted_run_says_how_to_go_on(tmp_path: Path) -> None:
    result = _killed(tmp_path / "stopped.h5", "generating", 12, "SIGINT")
    assert result.returncode == 1
    assert "interrupted; what is done is in" in result.stderr and "the same command goes on" in result.stderr


def test_seed_decides(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        generate(replace(WATER, seed=seed, steps=6), tmp_path / f"{name}.h5")
    a, b, c = (read(tmp_path / f"{name}.h5")[0] for name in "abc")
    _assert_identical(a, b)
    assert np.abs(a.positions[0] - c.positions[0]).max() > 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"molecule": "unobtainium"}, "unknown molecule 'unobtainium'; known are .*ethanol"),
        ({"molecule": "absent.xyz"}, r"absent\.xyz: no such file"),
        ({"method": "B3LYP"}, "unknown method 'B3LYP'; known are GFN2-xTB, GFN1-xTB, IPEA1-xTB"),
        ({"steps": 0}, "steps must be positive, got 0"),
        ({"time_step_fs": -0.5}, r"time_step_fs must be positive, got -0\.5"),
        ({"temperature_k": float("nan")}, "temperature_k must be positive, got nan"),
        ({"equilibration_steps": -1}, "equilibration_steps must not be negative"),
        ({"seed": -1}, "seed must not be negative, got -1"),
    ],
)
def test_settings_that_cannot_be_used(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(FramesError, match=message):
        generate(replace(WATER, **changes), tmp_path / "x.h5")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(FramesError, match=r"x\.npz: generated trajectories are HDF5 files"):
        generate(WATER, tmp_path / "x.npz")
    (tmp_path / "file").touch()
    with pytest.raises(FramesError, match=r"x\.h5\.parts: cannot be made \(Not a directory\)"):
        generate(WATER, tmp_path / "file" / "x.h5")


_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from frames.data import generate as module
module.FRAMES_PER_PART = 5
settings = module.Settings(molecule="water", steps=20, temperature_k=300.0, equilibration_steps=50)

def fill(stage, done, total):
    if done == 12:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

module.generate(settings, Path(sys.argv[1]), fill)
"""


def test_full_disk_keeps_what_is_done(tmp_path: Path) -> None:
    path = tmp_path / "full.h5"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(path)], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "FramesError" in result.stderr and "cannot be written" in result.stderr
    assert len(list((tmp_path / "full.h5.parts").iterdir())) == 3
    assert generate(WATER, path)
    generate(WATER, tmp_path / "whole.h5")
    _assert_identical(read(path)[0], read(tmp_path / "whole.h5")[0])


def test_xyz_file_as_a_start(tmp_path: Path) -> None:
    path = tmp_path / "my water.xyz"
    path.write_text("3\n\nO 0 0 0\nH 0.97 0 0\nH -0.24 0.93 0\n")
    assert generate(replace(WATER, molecule=str(path), steps=3), tmp_path / "x.h5")
    path.write_text("3\n\nO 0 0 0\nH 0.99 0 0\nH -0.24 0.93 0\n")
    with pytest.raises(FramesError, match="made with geometry = "):
        generate(replace(WATER, molecule=str(path), steps=3), tmp_path / "x.h5")
    path.write_text("1\n\nO 0 0 0\n1\n\nO 0 0 0\n")
    with pytest.raises(FramesError, match="must hold one geometry of one molecule, holds 2"):
        molecule(str(path))


@pytest.mark.parametrize(
    ("name", "formula", "bonds"), [("uracil", 12, 12), ("malonaldehyde", 9, 8), ("aspirin", 21, 21), ("ethanol", 9, 8)]
)
def test_molecules_are_whole_and_near_a_minimum(name: str, formula: int, bonds: int) -> None:
    from ase.data import covalent_radii

    numbers, positions = molecule(name)
    assert len(numbers) == formula
    i, j = np.triu_indices(len(numbers), k=1)
    distance = np.linalg.norm(positions[i] - positions[j], axis=1)
    assert np.count_nonzero(distance < 1.2 * (covalent_radii[numbers][i] + covalent_radii[numbers][j])) == bonds
    assert np.abs(Xtb("GFN2-xTB", numbers, positions)(positions)[1]).max() < 1.5
