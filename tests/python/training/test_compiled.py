"""The compiled step gives what the plain one gives, padding included."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from frames.config import parse_config
from frames.errors import FramesError
from frames.training.compiled import CompiledPotential
from frames.training.dataset import load_training_data
from frames.training.losses import force_loss
from frames.training.trainer import Trainer, _evaluate, _features


def trainer(data: Path, **training: object) -> Trainer:
    raw = {
        "output": "unused",
        "data": {"path": str(data), "gap": 20},
        "model": {"cutoff": 4.0, "settings": {"channels": 16, "layers": 1}},
        "training": {"dtype": "float64", "batch_size": 2, **training},
    }
    config = parse_config(raw, "test")
    return Trainer(config, load_training_data(config))


@pytest.mark.slow
def test_compiled_equals_plain(morse_file: Path) -> None:
    torch.set_num_threads(1)
    run = trainer(morse_file)
    batch = run.store.batch(run.data.train[:2])
    compiled = CompiledPotential(run.potential, batch, batch.edge_vectors.shape[0] + 7)
    assert compiled.edges > batch.edge_vectors.shape[0]
    for step in range(2):  # the second time with changed parameters
        one, two = compiled.evaluate(batch), _evaluate(run.potential, batch, False, create_graph=True)
        for name in ("energies", "forces", "scalars", "vectors"):
            torch.testing.assert_close(getattr(one, name), getattr(two, name), rtol=1e-9, atol=1e-11)
        for first, second in ((force_loss(one, batch), force_loss(two, batch)), (one.vectors.sum(), two.vectors.sum())):
            gradients = [
                torch.autograd.grad(loss, run.parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
                for loss in (first, second)
            ]
            for a, b in zip(*gradients, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)
        features = compiled.features(batch)
        torch.testing.assert_close(features.scalars, _features(run.potential, batch).scalars, rtol=1e-9, atol=1e-11)
        with torch.no_grad():
            for parameter in run.parameters:
                parameter += 0.01 * (step + 1)
    assert not compiled.fits(run.store.batch(run.data.train[:3]))


def test_what_cannot_be_compiled_is_said(morse_file: Path) -> None:
    assert not trainer(morse_file, steps=100).compiles
    assert trainer(morse_file, steps=50_000).compiles
    assert not trainer(morse_file, steps=50_000, compile=False).compiles
    with pytest.raises(FramesError, match=r"training\.compile = true: needs backbone = 'cartesian'"):
        _ = trainer(morse_file, compile=True, virial_weight=1.0).compiles
