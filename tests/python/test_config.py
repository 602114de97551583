"""The configuration: every mistake is one line that names the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from frames.config import load_config
from frames.errors import FramesError

SPLIT = 'output = "run"\n[data]\ntrain = "data.npz"\nvalidation = "data.npz"\n'
GOOD = 'output = "run"\n[data]\npath = "data.npz"\n'


def write(folder: Path, text: str) -> Path:
    (folder / "data.npz").touch()
    path = folder / "config.toml"
    path.write_text(text)
    return path


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config, raw = load_config(write(tmp_path, GOOD + "[model]\ncutoff = 4\n"))
    assert config.data.path == str(tmp_path / "data.npz")
    assert config.output == str(tmp_path / "run")
    assert config.model.cutoff == 4.0
    assert raw["data"]["path"] == "data.npz"


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", 20000),
        ("steps = 30", 30),
        ("minutes = 60", float("inf")),  # time alone says when
        ("minutes = 60\nsteps = 30", 30),
    ],
)
def test_how_long_a_training_is(tmp_path: Path, text: str, steps: float) -> None:
    config, _ = load_config(write(tmp_path, f"{GOOD}[training]\n{text}\n"))
    assert config.training.most_steps == steps


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "[model]\ncutof = 5.0\n", "unknown key model.cutof; known here are backbone, preset, cutoff, settings"),
        (GOOD + "[modell]\ncutoff = 5.0\n", "unknown key modell; known here are output, data, model"),
        (GOOD + '[model]\ncutoff = "5"\n', "model.cutoff = '5': Input should be a valid number"),
        (GOOD + "[model]\ncutoff = -1\n", "model.cutoff = -1: Input should be greater than 0"),
        (GOOD + '[model]\nbackbone = "mace"\n', "model.backbone = 'mace': Input should be 'cartesian' or 'equiformer'"),
        (GOOD + "[training]\nforce_weight = inf\n", "training.force_weight = inf: Input should be a finite number"),
        (GOOD + "[training]\nsteps = true\n", "training.steps = True: Input should be a valid integer"),
        (GOOD + '[auxiliary]\ntask = "magic"\n', "auxiliary.task = 'magic'"),
        ('output = "run"\n', "key data is missing"),
        ('[data]\npath = "data.npz"\n', "key output is missing"),
        ('output = "run"\n[data]\n', "give either path (split by time) or train and validation"),
        ('output = "run"\n[data]\ntrain = "data.npz"\n', "train needs validation beside it"),
        ('output = "run"\n[data]\npath = "gone.npz"\n', "data.path = 'gone.npz': no such file"),
        (GOOD + 'unlabelled = ["gone.npz"]\n', "data.unlabelled = 'gone.npz': no such file"),
        ("output = run\n", "not valid TOML"),
        (SPLIT + "gap = 5\n", "gap belongs to path or to unlabelled; train is split already"),
        (SPLIT + "test_fraction = 0.1\n", "test_fraction belongs to path, which is split by time"),
        (GOOD + "validation_fraction = 0.4\ntest_fraction = 0.7\n", "leave no frames for training"),
        (GOOD + '[auxiliary]\ntask = "none"\nweight = 0.1\n', "weight belongs to a task, and task is 'none'"),
        (GOOD + '[auxiliary]\ntask = "dens"\nstride = 2\n', "stride belongs to the task frames or gaussian or newton"),
        (GOOD + '[auxiliary]\nschedule = "constant"\ndecay_end = 0.5\n', "decay_end belongs to schedule = 'decay'"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FramesError) as caught:
        load_config(write(tmp_path, text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "config.toml" in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FramesError, match=r"gone\.toml: no such configuration file"):
        load_config(tmp_path / "gone.toml")
