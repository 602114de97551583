"""Builds the C++ test of the native engine with the address and undefined-behaviour sanitizers, and runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_native_engine_under_sanitizers() -> None:
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    cmake, ninja = shutil.which("cmake", path=tools), shutil.which("ninja", path=tools)
    if not cmake or not ninja or not (shutil.which("c++") or "CXX" in os.environ):
        pytest.skip("cmake, ninja and a C++ compiler are needed")
    build = ROOT / "build" / "tests"  # shared with the tests of the core
    options = ["-DFRAMES_TESTS=ON", "-DFRAMES_TORCHSCRIPT=OFF", "-DFRAMES_LAMMPS=OFF", "-DFRAMES_OPENMM=OFF"]
    options += ["-DFRAMES_SANITIZE=address,undefined", "-DCMAKE_BUILD_TYPE=RelWithDebInfo"]
    options += [f"-DPython_EXECUTABLE={sys.executable}", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
    for command in (
        [cmake, "-S", ROOT, "-B", build, "-G", "Ninja", *options],
        [cmake, "--build", build, "--parallel", "2", "--target", "native_test"],
        [build / "tests" / "cpp" / "native" / "native_test"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "all checks passed" in done.stdout
