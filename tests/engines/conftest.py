"""Fixtures that the tests of several engines share."""

from __future__ import annotations

import locale
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def native_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Untrained models that the native engine evaluates, by dtype."""
    pytest.importorskip("torch")
    from native_models import write_native_models

    return write_native_models(tmp_path_factory.mktemp("native"))


@pytest.fixture(autouse=True)
def _locale_stays() -> Iterator[None]:
    """pocl, OpenCL on the processor, sets the locale of the process to C: text of later tests would be ASCII."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)
