"""What `frames train` says of a training that went on for too long."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_training import table, toml
from typer.testing import CliRunner

from frames.cli.app import app
from frames.training.stopping import note_on_length

# P2S5 of LiPS20, 300 labels: step, validation error, loss
BY_HEART = [(250, 354.24, 1050.2), (500, 345.89, 443.8), (3250, 371.98, 94.2), (4117, 375.48, 78.0)]


def rows(*columns: tuple[float, float, float]) -> list[dict[str, float]]:
    names = ("step", "validation_force_mae_mev_per_angstrom", "force_loss")
    return [dict(zip(names, values, strict=True)) for values in columns]


def test_frames_that_are_learnt_by_heart() -> None:
    assert note_on_length(rows(*BY_HEART)) == (
        "the validation error of the forces was lowest at step 500 of 4117, 345.9 meV/Å, and 375.5 at the end, while "
        "the loss fell: from there on the training learnt its frames by heart. A longer one gives no more; labels of "
        "other structures may, and so may training.weight_decay = 0.01"
    )


@pytest.mark.parametrize(
    "columns",
    [
        [(100, 50.0, 60.0), (200, 40.0, 30.0), (300, 35.0, 10.0), (400, 33.0, 5.0)],  # still falling
        [(100, 33.1, 60.0), (200, 33.0, 30.0), (300, 33.2, 10.0), (400, 33.3, 5.0)],  # flat
        [(100, 50.0, 60.0), (200, 40.0, 30.0), (300, 33.0, 10.0), (400, 35.0, 5.0)],  # lowest in the second half
        BY_HEART[1:],  # too few
        [],
    ],
)
def test_nothing_is_said_without_reason(columns: list[tuple[float, float, float]]) -> None:
    assert note_on_length(rows(*columns)) is None


def test_the_command_says_that_a_training_diverged(morse_file: Path, tmp_path: Path) -> None:
    wild = {"steps": 60, "validate_every": 5, "checkpoint_every": 60, "learning_rate": 0.1}
    config = tmp_path / "config.toml"
    config.write_text(toml(table(morse_file, tmp_path / "run", training=wild)))
    result = CliRunner().invoke(app, ["train", str(config)], env={"COLUMNS": "400"})
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "note: the validation error of the forces was lowest at step" in said
    assert "at the end, and the loss rose, too: try a lower training.learning_rate" in said
