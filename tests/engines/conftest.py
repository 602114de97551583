"""Fixtures that the tests of several engines share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def native_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Untrained models that the native engine evaluates, by dtype."""
    pytest.importorskip("torch")
    from native_models import write_native_models

    return write_native_models(tmp_path_factory.mktemp("native"))
