"""Fixtures that every test folder shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Where a script names no platform, OpenMM takes the one that it holds for the fastest; tests and the scripts that they
# start do not depend on the devices of a machine. What is to run on a platform names it.
os.environ.setdefault("OPENMM_DEFAULT_PLATFORM", "CPU")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real reference data that lies beside the repository; tests skip where it is absent."""
    folder = Path(os.environ.get("FRAMES_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"reference data not found: {folder} (set FRAMES_SHARED_DATA to its folder)")
    return folder
