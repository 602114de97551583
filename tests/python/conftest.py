"""A trajectory with exact forces, small enough to train on in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
from morse import run_morse

from frames.data.readers.hdf5 import write
from frames.data.trajectory import Trajectory


@pytest.fixture(scope="session")
def morse_trajectory() -> Trajectory:
    return run_morse(400)


@pytest.fixture
def traced_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training graphs are traced and padded, but not compiled, which takes half a minute each."""
    from frames.training.compiled import CompiledPotential

    monkeypatch.setattr(CompiledPotential, "_compile", staticmethod(lambda function: function))


@pytest.fixture(scope="session")
def morse_file(morse_trajectory: Trajectory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("morse") / "morse.h5"
    write(path, [morse_trajectory])
    return path
