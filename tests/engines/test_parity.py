"""A few structures of each kind through all engines, as `benchmarks/openmm/parity.py` takes many."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")  # before openmmtorch, which is linked to its libraries
pytest.importorskip("openmmtorch")
pytest.importorskip("openmmml")
pytest.importorskip("frames._openmm")

from lammps_run import require_lammps

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "openmm"

pytestmark = pytest.mark.torchforce


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_all_engines_agree(precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_lammps()
    monkeypatch.syspath_prepend(str(FOLDER))
    import parity

    sys.modules.pop("parity")  # other folders have names of their own
    models = {name: parity.MODELS / name / f"{name}.pt" for name in ("ethanol", "copper")}
    if precision == "float64":
        models = parity.models_in_double(tmp_path)
    for kind in parity.kinds(2, seed=3):
        energy, force = parity.LIMITS[precision]
        for engine, found in parity.differences(kind, models[kind.model]).items():
            assert found["energy_ev"] < energy, (kind.name, engine)
            assert found["force_ev_per_angstrom"] < force, (kind.name, engine)
