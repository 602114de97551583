"""Training on a GPU gives what training on the processor gives; skipped where there is none."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from backbones import CARTESIAN, EQUIFORMER
from rich.console import Console

from frames.config import parse_config
from frames.inference import open_model
from frames.training.auxiliary.tasks import TASKS
from frames.training.checkpoint import load_checkpoint
from frames.training.dataset import load_training_data
from frames.training.loop import Run
from frames.training.publish import export_checkpoint
from frames.training.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA device here")


def table(data: Path, model: dict[str, Any], task: str, /, **training: Any) -> dict[str, Any]:
    return {
        "output": str(data.parent / "unused"),
        "data": {"path": str(data), "gap": 20, "labelled": 60, "unlabelled_rest": task == "newton"},
        "model": model,
        "auxiliary": {"task": task},
        "training": {"dtype": "float64", "batch_size": 4, "threads": 1, **training},
    }


def trainer(raw: dict[str, Any]) -> Trainer:
    config = parse_config(raw, "test")
    return Trainer(config, load_training_data(config))


@pytest.mark.parametrize("model", [CARTESIAN, EQUIFORMER], ids=["cartesian", "equiformer"])
@pytest.mark.parametrize("task", ["none", *TASKS])
def test_losses_of_the_first_steps(morse_file: Path, task: str, model: dict[str, Any]) -> None:
    one = trainer(table(morse_file, model, task))
    two = trainer(table(morse_file, model, task, device="cuda"))
    assert next(two.potential.parameters()).is_cuda
    for _ in range(5):
        assert two.advance() == pytest.approx(one.advance(), rel=1e-6)
    assert two.errors(two.data.validation) == pytest.approx(one.errors(one.data.validation), rel=1e-6)


@pytest.mark.parametrize("task", ["none", "frames", "newton"])
def test_losses_of_the_compiled_step(morse_file: Path, task: str) -> None:
    one = trainer(table(morse_file, CARTESIAN, task, device="cuda"))
    two = trainer(table(morse_file, CARTESIAN, task, device="cuda"))
    two.compile()
    assert two.compiled is not None
    for _ in range(20):
        assert two.advance() == pytest.approx(one.advance(), rel=1e-6)


def test_from_training_to_a_model_file(morse_file: Path, tmp_path: Path) -> None:
    """Checkpoints do not remember the device: one of a GPU goes on without it, and its model file runs anywhere."""
    raw = table(morse_file, CARTESIAN, "none", device="cuda", steps=60, validate_every=20, checkpoint_every=20)
    raw["output"] = str(tmp_path / "run")
    report = Run(parse_config(raw, "test"), raw, Console(file=io.StringIO())).execute(resume=False)
    checkpoint = load_checkpoint(tmp_path / "run" / "best.pt")
    assert checkpoint.report["test"] == report["test"]
    assert all(not tensor.is_cuda for tensor in (*checkpoint.model.values(), *checkpoint.averaged.values()))
    export_checkpoint(tmp_path / "run" / "best.pt", tmp_path / "model.pt")
    frame = checkpoint.frame
    arrays = [frame[name].numpy() for name in ("atomic_numbers", "positions", "cell", "pbc")]
    found = {
        device: open_model(tmp_path / "model.pt", device=device, backend="torchscript").evaluate(*arrays)
        for device in ("cpu", "cuda")
    }
    assert found["cuda"].energy == pytest.approx(found["cpu"].energy, abs=1e-5)
    assert found["cuda"].forces == pytest.approx(found["cpu"].forces, abs=1e-5)
