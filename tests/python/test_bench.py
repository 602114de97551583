"""`frames bench`: what it times, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
from typer.testing import CliRunner

from frames.bench import Sample, enlarge, load_sample, measure
from frames.cli.app import app
from frames.errors import FramesError

MODEL = Path(__file__).parents[2] / "models" / "ethanol" / "ethanol.pt"


def test_the_command(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["bench", str(MODEL), "--seconds", "0.01", "--json", str(tmp_path / "b.json")])
    assert result.exit_code == 0, result.output
    assert "ms per step" in result.output and "atom-steps per second" in result.output
    row = json.loads((tmp_path / "b.json").read_text())["timings"][0]
    assert row["atoms"] == 9 and row["edges"] == 72 and row["ms_per_step"] > 0
    assert row["ns_per_day"] == pytest.approx(0.5e-6 * 86_400e3 / row["ms_per_step"])


@pytest.mark.parametrize("pbc", [(0, 0, 0), (1, 1, 1), (1, 0, 0), (0, 1, 1)])
def test_copies_lie_in_a_box_that_is_one(pbc: tuple[int, int, int]) -> None:
    """Also where the vectors of the periodic directions do not lie along x, y and z."""
    flags = np.array(pbc, bool)
    cell = np.array([[0.0, 0, 6.0], [7.0, 0, 0], [1.0, 8.0, 0]]) * flags[:, None]
    frame = load_sample(MODEL, None)
    large = enlarge(Sample(frame.atomic_numbers, frame.positions, cell, flags), 50)
    assert large.pbc.all() and len(large.atomic_numbers) >= 45
    assert abs(np.linalg.det(large.cell)) > 100.0
    assert measure(MODEL, large, 1, seconds=0.001).edges > 72


def test_a_structure_without_atoms(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "none.xyz", ase.Atoms(), format="extxyz")
    with pytest.raises(FramesError, match=r"none\.xyz: a structure without atoms; there is nothing to time"):
        load_sample(MODEL, tmp_path / "none.xyz")
