"""The compiled step gives what the plain one gives: padding, mixed sizes, periodic batches, virials."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from morse import LENGTH, NUMBERS, morse
from rich.console import Console

from frames.config import parse_config
from frames.data.readers.hdf5 import write
from frames.data.trajectory import Trajectory
from frames.errors import FramesError
from frames.nn.potential import Derivatives
from frames.training.batch import Batch
from frames.training.buckets import MOST, PADDING, Shape, choose_buckets
from frames.training.compiled import CompiledPotential
from frames.training.dataset import load_training_data
from frames.training.loop import Run, _cause
from frames.training.losses import force_loss
from frames.training.trainer import Trainer, _evaluate, _features, predictions


def trainer(data: dict[str, object], task: str = "frames", **training: object) -> Trainer:
    raw = {
        "output": "unused",
        "data": data,
        "model": {"cutoff": 4.0, "settings": {"channels": 16, "layers": 1}},
        "auxiliary": {"task": task},
        "training": {"dtype": "float64", "batch_size": 2, **training},
    }
    config = parse_config(raw, "test")
    return Trainer(config, load_training_data(config))


def one_molecule(path: Path) -> dict[str, object]:
    return {"path": str(path), "gap": 20}


def mixed_sizes(folder: Path) -> dict[str, object]:
    """Molecules of two to four atoms, and four atoms in periodic boxes, whose number of edges varies."""
    random = np.random.default_rng(0)
    corners = LENGTH * np.array([[0, 0, 0], [1, 0, 0], [0.5, 0.87, 0], [0.5, 0.29, 0.82]])
    runs = []
    for atoms, side in ((2, None), (3, None), (4, None), (4, 3.6)):
        r = corners[:atoms] + 0.05 * random.standard_normal((30, atoms, 3))
        labels = [morse(frame) for frame in r]
        run = Trajectory(
            NUMBERS[:atoms], r, energies=np.array([e for e, _ in labels]), forces=np.array([f for _, f in labels])
        )
        if side is not None:
            lengths = side * (1 + 0.2 * random.random(30))
            cells = lengths[:, None, None] * np.eye(3)
            run = replace(run, cells=cells, pbc=np.array([True] * 3))
        runs.append(replace(run, virials=random.standard_normal((30, 3, 3))))
    for name, part in (("train", slice(0, 25)), ("validation", slice(25, 30))):
        write(folder / f"{name}.h5", [run[np.arange(30)[part]] for run in runs])
    return {name: str(folder / f"{name}.h5") for name in ("train", "validation")}


def assert_same(one: Derivatives, two: Derivatives, batch: Batch, parameters: list[torch.nn.Parameter]) -> None:
    """Values, and gradients of losses on forces, virials and features."""
    names = [name for name in Derivatives._fields if getattr(two, name) is not None]
    for name in names:
        torch.testing.assert_close(getattr(one, name), getattr(two, name), rtol=1e-9, atol=1e-11)
    losses = [
        (
            force_loss(found, batch),
            found.vectors.pow(2).sum(),
            *([found.virials.abs().sum()] if found.virials is not None else []),
        )
        for found in (one, two)
    ]
    for first, second in zip(*losses, strict=True):
        gradients = [
            torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
            for loss in (first, second)
        ]
        for a, b in zip(*gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.slow
def test_compiled_equals_plain(morse_file: Path) -> None:
    """Two shapes, each used before and after a change of the parameters."""
    torch.set_num_threads(1)
    run = trainer(one_molecule(morse_file))
    batches = [run.store.batch(run.data.train[:frames]) for frames in (2, 3)]
    shapes = [Shape(len(batch.atomic_numbers) + 3, len(batch.edge_vectors) + 7) for batch in batches]
    compiled = CompiledPotential(run.potential, shapes)
    for step in range(2):
        for batch, shape in zip(batches, shapes, strict=True):
            assert compiled.shape_for(batch) == shape
            plain = _evaluate(run.potential, batch, False, create_graph=True)
            assert_same(compiled.evaluate(batch), plain, batch, run.parameters)
            features = compiled.features(batch)
            torch.testing.assert_close(features.scalars, _features(run.potential, batch).scalars, rtol=1e-9, atol=1e-11)
        with torch.no_grad():
            for parameter in run.parameters:
                parameter += 0.01 * (step + 1)
    assert not compiled.fits(run.store.batch(run.data.train[:4]))


@pytest.mark.usefixtures("traced_only")
def test_padding_changes_nothing_for_mixed_sizes(tmp_path: Path) -> None:
    run = trainer(mixed_sizes(tmp_path), "none", virial_weight=1.0, batch_size=3)
    run.compile()
    assert run.compiled is not None and 1 < len(run.compiled.shapes) <= MOST
    used, padded = set(), 0
    for step in range(12):
        batch = run.store.batch(run._frames_of_step(step))
        shape = run.compiled.shape_for(batch)
        used.add(shape)
        padded += shape != Shape(len(batch.atomic_numbers), len(batch.edge_vectors))
        plain = _evaluate(run.potential, batch, True, create_graph=True)
        assert_same(run.compiled.evaluate(batch), plain, batch, run.parameters)
    assert len(used) > 1 and padded > 0


def test_errors_of_virials_are_reported(tmp_path: Path) -> None:
    run = trainer(mixed_sizes(tmp_path), "none", virial_weight=1.0, batch_size=3)
    off = []
    for frame in run.data.validation:
        ((batch, result),) = predictions(run.potential, run.store, [frame])
        assert batch.virials is not None and result.virials is not None
        off.append(float((result.virials - batch.virials).abs().mean()) / len(batch.atomic_numbers))
    found = run.errors(run.data.validation)["virial_mae_mev_per_atom"]
    assert found == pytest.approx(1e3 * sum(off) / len(off)) and found > 0


@pytest.mark.usefixtures("traced_only")
@pytest.mark.parametrize("task", ["frames", "newton", "dens"])
def test_training_is_the_same(morse_file: Path, task: str) -> None:
    data = {**one_molecule(morse_file), "labelled": 30, "unlabelled_rest": True}
    plain, compiled = (trainer(data, task, batch_size=3) for _ in range(2))
    compiled.compile()
    for _ in range(4):
        assert compiled.advance() == pytest.approx(plain.advance(), rel=1e-7)


@pytest.mark.usefixtures("traced_only")
def test_compiled_training_takes_one_thread(morse_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More make it slower; where the compilation fails, the number is chosen by time as without it."""
    threads = torch.get_num_threads()

    def said(name: str) -> str:
        raw = {
            "output": str(tmp_path / name),
            "data": one_molecule(morse_file),
            "model": {"cutoff": 4.0, "settings": {"channels": 16, "layers": 1}},
            "training": {"steps": 2},
        }
        console = Console(file=io.StringIO(), width=200)
        Run(parse_config(raw, "test"), raw, console).execute(resume=False)
        return str(console.file.getvalue())  # type: ignore[attr-defined]

    def failing(self: Trainer) -> None:
        raise RuntimeError("no compiler")

    monkeypatch.setattr("frames.training.trainer.COMPILE_FROM", 2)
    try:
        torch.set_num_threads(2)
        assert "threads for training: 1 (the fastest for a compiled step" in said("run")
        assert torch.get_num_threads() == 1
        torch.set_num_threads(2)
        monkeypatch.setattr(Trainer, "compile", failing)
        text = said("failed")
        assert "training goes on without compilation, which failed: no compiler" in text
        assert "(a gradient takes 1: " in text and ", 2: " in text
    finally:
        torch.set_num_threads(threads)


def test_a_compilation_takes_half_of_the_minutes_at_most(morse_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a busy machine would end with a model that was never trained, and say nothing."""
    monkeypatch.setattr(Trainer, "compile", lambda self: time.sleep(0.1))
    raw = {
        "output": "unused",
        "data": one_molecule(morse_file),
        "model": {"cutoff": 4.0, "settings": {"channels": 16, "layers": 1}},
        "training": {"minutes": 0.001, "compile": True},
    }
    run = Run(parse_config(raw, "test"), raw, Console(file=io.StringIO()))
    run._compile()
    assert run.trainer.seconds == pytest.approx(0.03) and run.trainer.progress == pytest.approx(0.5)


def test_what_a_compilation_failed_of() -> None:
    """PyTorch wraps the error of a compiler that ran in another process into pages of text."""
    nested = (
        "SubprocException: An exception occurred in a subprocess:\n\nTraceback (most recent call last):\n"
        '  File "worker.py", line 1, in run\n    raise error\nsubprocess.CalledProcessError: gcc returned 1\n\n\n'
        "Set TORCHDYNAMO_VERBOSE=1 for the internal stack trace"
    )
    assert _cause(RuntimeError(nested)) == "subprocess.CalledProcessError: gcc returned 1"
    assert _cause(RuntimeError("no compiler\nat all")) == "no compiler"
    assert _cause(RuntimeError()) == "RuntimeError"


def test_a_batch_that_no_shape_holds_is_evaluated_plainly(morse_file: Path) -> None:
    run = trainer(one_molecule(morse_file))
    batch = run.store.batch(run.data.train[:2])
    run.compiled = CompiledPotential(run.potential, [Shape(len(batch.atomic_numbers) - 1, 1000)])
    assert not run.compiled.fits(batch)
    torch.testing.assert_close(
        run.evaluate(batch).forces, _evaluate(run.potential, batch, False, create_graph=True).forces
    )


def test_one_shape_is_kept_as_it_is() -> None:
    assert choose_buckets([Shape(45, 355)] * 20) == [Shape(45, 355)]
    assert choose_buckets([]) == []


def test_buckets_hold_everything_with_little_padding() -> None:
    random = np.random.default_rng(0)
    batches = [Shape(int(n), int(11 * n + random.integers(30))) for n in random.integers(20, 400, 300)]
    most = 12
    found = choose_buckets(batches, most)
    taken = [next(shape for shape in found if shape.holds(batch)) for batch in batches]
    needed, spent = (sum(shape.work for shape in shapes) for shapes in (batches, taken))
    assert 4 < len(found) < most
    assert needed < spent < (1 + PADDING + 0.02) * needed  # edges are rounded up after the choice
    few = choose_buckets(batches, 3)
    assert len(few) == 3
    assert all(any(shape.holds(batch) for shape in few) for batch in batches)


def test_what_cannot_be_compiled_is_said(morse_file: Path) -> None:
    data = one_molecule(morse_file)
    assert not trainer(data, steps=100).compiles
    assert trainer(data, steps=50_000).compiles
    assert not trainer(data, steps=50_000, compile=False).compiles
    run = trainer(data, compile=True)
    run.spec = replace(run.spec, backbone="equiformer")
    with pytest.raises(FramesError, match=r"training\.compile = true: needs backbone = 'cartesian'"):
        _ = run.compiles


def test_code_for_two_threads_is_not_taken_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch keeps compiled code on disk, with the number of threads in it."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    threads = torch.get_num_threads()
    x = torch.linspace(0, 1, 100_000)
    found = {}
    try:
        for n in (2, 1):
            torch.set_num_threads(n)
            torch._dynamo.reset()
            torch.testing.assert_close(CompiledPotential._compile(lambda x: x.sin().exp())(x), x.sin().exp())
            found[n] = {path for path in tmp_path.rglob("*.cpp") if "sin" in path.read_text()}
    finally:
        torch.set_num_threads(threads)
    assert any("num_threads(2)" in path.read_text() for path in found[2])
    assert found[1] - found[2] and all("num_threads" not in path.read_text() for path in found[1] - found[2])
