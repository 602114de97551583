"""Runs with migration on one and on several ranks, a short form of `benchmarks/ranks/study.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from lammps_run import Run, require_lammps
from native_models import rewrite_model, write_native_model
from rank_study import SYSTEMS, VARIANTS, digits_lost, owners, run_system

ROOT = Path(__file__).resolve().parents[2]
STEPS = 100
FORCES = 1e-6  # eV/Å


@pytest.fixture(scope="module", autouse=True)
def lammps() -> None:
    require_lammps()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """By whether it is trained; both in double precision."""
    folder = tmp_path_factory.mktemp("models")
    trained = rewrite_model(ROOT / "models" / "ethanol" / "ethanol.pt", folder / "ethanol.pt")
    return {False: write_native_model(folder / "untrained.pt"), True: trained}


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory, models: dict[bool, Path]) -> dict[tuple[str, bool], Run]:
    """Of one rank, by system and whether the box is triclinic."""
    found = {}
    for system in SYSTEMS.values():
        for variant in (VARIANTS["bricks"], VARIANTS["triclinic"]):
            folder = tmp_path_factory.mktemp("reference")
            run = run_system(folder, system, variant, models[system.trained], 1, STEPS)
            found[system.name, variant.triclinic] = run
    return found


@pytest.mark.parametrize(
    ("system", "variant", "ranks"),
    [
        ("crystal", "bricks", 3),
        ("crystal", "tiled", 4),
        ("crystal", "triclinic", 2),
        ("slab", "newton off", 4),
        ("slab", "tiled", 3),
        ("molecule", "bricks", 8),
        ("molecule", "newton off", 2),
        ("molecule", "triclinic", 4),
        ("deleted", "newton off", 3),
        ("deleted", "tiled", 2),
    ],
)
def test_ranks_agree(
    tmp_path: Path,
    models: dict[bool, Path],
    references: dict[tuple[str, bool], Run],
    system: str,
    variant: str,
    ranks: int,
) -> None:
    case, how = SYSTEMS[system], VARIANTS[variant]
    one = references[system, how.triclinic]
    run = run_system(tmp_path, case, how, models[case.trained], ranks, STEPS, "processors * * 1" if ranks == 8 else "")
    assert digits_lost(run, one) < 1e-10
    assert np.array_equal(run.atoms["id"], one.atoms["id"])
    assert np.abs(run.forces - one.forces).max() < FORCES
    assert owners(tmp_path, ranks).changes > 0
