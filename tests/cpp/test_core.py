"""Builds the C++ tests of the core with the address and undefined-behaviour sanitizers, and runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FUZZED_FILES = int(os.environ.get("FRAMES_FUZZ", "4000"))  # a full campaign: FRAMES_FUZZ=100000


def run(*command: str | Path, timeout: float = 1200) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def programs() -> Path:
    """Folder of the test programs, built anew where a source changed (the first time takes a minute)."""
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    cmake, ninja = shutil.which("cmake", path=tools), shutil.which("ninja", path=tools)
    if not cmake or not ninja or not (shutil.which("c++") or "CXX" in os.environ):
        pytest.skip("cmake, ninja and a C++ compiler are needed")
    build = ROOT / "build" / "tests"
    options = ["-DFRAMES_TESTS=ON", "-DFRAMES_TORCHSCRIPT=OFF", "-DFRAMES_LAMMPS=OFF", "-DFRAMES_OPENMM=OFF"]
    options += ["-DFRAMES_SANITIZE=address,undefined", "-DCMAKE_BUILD_TYPE=RelWithDebInfo"]
    options += [f"-DPython_EXECUTABLE={sys.executable}", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
    run(cmake, "-S", ROOT, "-B", build, "-G", "Ninja", *options)
    run(cmake, "--build", build, "--parallel", "2", "--target", "core_tests", "fuzz_model_file")
    return build / "tests" / "cpp"


def test_core(programs: Path) -> None:
    assert ", 0 failed" in run(programs / "core_tests")


def test_mutated_model_files_are_refused_with_a_message(programs: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    sys.path.insert(0, str(ROOT / "tests" / "engines"))
    from toy_potential import write_toy_model

    model = write_toy_model(tmp_path / "toy.pt")
    output = run(programs / "fuzz_model_file", model.path, str(FUZZED_FILES))
    assert output.startswith(f"{FUZZED_FILES} mutated files")
