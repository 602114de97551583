"""Computes of pair_style frames that are asked between runs, when atoms or the pair style are no longer what they were.

The values of the last step lie by the indices that its atoms had: written for other atoms they damage memory.
"""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from lammps_run import deck, require_lammps, run_deck, write_data
from lammps_systems import TYPES, crystal
from native_models import write_native_model

COMPUTES = "compute out all frames/atom energy neighbours force_deviation\ncompute dev all frames/deviation"
WRITE = "write_dump all custom out.dump id c_out[*] c_dev"
REFUSED = "forces of step 0 were not computed for the atoms that there are now; use it during a run"


@pytest.fixture(scope="module", autouse=True)
def lammps() -> None:
    require_lammps()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("committee")
    return " ".join(str(write_native_model(folder / f"{seed}.pt", seed=seed)) for seed in (1, 2))


def output(folder: Path, models: str, commands: str, ranks: int = 1) -> str:
    write_data(folder / "system.data", crystal(), TYPES)
    return run_deck(folder, deck(crystal(), models, TYPES, settings=COMPUTES, commands=commands), ranks).output


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(
    "change",
    [
        "delete_atoms group gone",
        "delete_atoms group gone\ncreate_atoms 1 single 1 1 1",
        # as many as before, on other places in the arrays
        "group few id 10:14\ndelete_atoms group few compress no\ncreate_atoms 1 random 5 77 NULL",
    ],
)
def test_atoms_changed(tmp_path: Path, models: str, change: str, ranks: int) -> None:
    # all of them in one half of the box, so that with two ranks only one of them sees a change of its own atoms
    said = output(
        tmp_path,
        models,
        f"region low block INF INF INF INF INF 5\ngroup gone region low\nrun 0\n{change}\n{WRITE}",
        ranks,
    )
    assert REFUSED in said, said[-2000:]


def test_values_are_there_after_a_run(tmp_path: Path, models: str) -> None:
    assert "ERROR" not in output(tmp_path, models, f"run 0\n{WRITE}")
    assert (tmp_path / "out.dump").read_text().count("\n") == 9 + len(crystal())


def test_pair_style_replaced(tmp_path: Path, models: str) -> None:
    """pair_style hybrid makes new sub-styles; those that the computes knew are gone."""
    again = f"pair_style hybrid frames\npair_coeff * * frames {models} O C H"
    said = output(tmp_path, models, f"{again}\nrun 0\n{again}\n{WRITE}")
    assert REFUSED in said, said[-2000:]
    single = f"{again}\nrun 0\npair_style frames\npair_coeff * * {models.split()[0]} O C H\n{WRITE}"
    assert "needs a committee" in output(tmp_path, models, single)
    assert "needs pair_style frames" in output(tmp_path, models, f"run 0\npair_style zero 4.0\npair_coeff * *\n{WRITE}")


WITHOUT_IDS = """
units metal
atom_modify id no
lattice sc 3.0
region box block 0 4 0 4 0 4
create_box 3 box
create_atoms 1 box
mass * 12.0
pair_style frames
pair_coeff * * {models} O C H
{computes}
run 0
write_dump all custom out.dump type c_out[*] c_dev
fix 1 all nve
run 3
"""


@pytest.mark.parametrize("ranks", [1, 2])
def test_atoms_without_ids(tmp_path: Path, models: str, ranks: int) -> None:
    text = WITHOUT_IDS.format(models=models, computes=COMPUTES)
    said = run_deck(tmp_path, text, ranks).output
    assert "ERROR" not in said and "Loop time" in said, said[-2000:]
    assert (tmp_path / "out.dump").read_text().count("\n") == 9 + 64
