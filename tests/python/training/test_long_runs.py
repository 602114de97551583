"""What a long training needs: it stops when nothing more is learnt, and goes on with other data and elements."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from morse import NUMBERS, run_morse
from rich.console import Console

from frames.config import parse_config
from frames.data.readers.hdf5 import write
from frames.data.trajectory import Trajectory
from frames.errors import FramesError
from frames.training.checkpoint import averaged_potential, load_checkpoint
from frames.training.dataset import load_training_data
from frames.training.loop import Run
from frames.training.publish import export_checkpoint
from frames.training.trainer import Trainer

SMALL: dict[str, Any] = {"cutoff": 4.0, "settings": {"channels": 16, "layers": 1, "radial_functions": 6}}


def table(data: Path, output: Path, /, **sections: Any) -> dict[str, Any]:
    training = {"steps": 60, "validate_every": 20, "checkpoint_every": 20, "threads": 1, "batch_size": 4}
    return {
        "output": str(output),
        "data": {"path": str(data), "gap": 20, **sections.get("data", {})},
        "model": sections.get("model", SMALL),
        "auxiliary": {"task": "none", **sections.get("auxiliary", {})},
        "training": {**training, **sections.get("training", {})},
    }


def execute(raw: dict[str, Any], resume: bool = False) -> dict[str, Any]:
    return Run(parse_config(raw, "test"), raw, Console(file=io.StringIO())).execute(resume=resume)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    write(folder / "morse.h5", [run_morse(400)])
    execute(table(folder / "morse.h5", folder / "run", training={"steps": 300}))
    return folder / "run" / "best.pt"


def test_patience(morse_file: Path, tmp_path: Path) -> None:
    """A learning rate with which nothing is learnt: the first validation stays the best."""
    slow = {"steps": 3_000, "validate_every": 5, "checkpoint_every": 50, "patience": 3, "learning_rate": 3.0}
    raw = table(morse_file, tmp_path / "run", training=slow)
    execute(raw)
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[1:]
    forces = [float(row.split(",")[7]) for row in rows]
    assert len(forces) - 1 - int(np.argmin(forces)) == 3
    assert load_checkpoint(tmp_path / "run" / "last.pt").step == 5 * len(forces)
    execute(raw, resume=True)  # is over already
    assert load_checkpoint(tmp_path / "run" / "last.pt").step == 5 * len(forces)


def test_molecules_of_two_sizes_in_one_batch(tmp_path: Path) -> None:
    """The loss of a mixed batch is the mean over its atoms and frames; nothing leaks from one to the other."""
    water = with_elements(run_morse(100), [8, 1, 1])
    write(tmp_path / "both.h5", [run_morse(100, seed=1), water])
    raw = table(tmp_path / "both.h5", tmp_path / "run", data={"gap": 2}, auxiliary={"task": "frames"})
    config = parse_config(raw, "test")
    trainer = Trainer(config, load_training_data(config))
    frames = [(0, 3), (1, 5), (0, 9)]
    mixed = trainer.evaluate(trainer.store.batch(frames))
    alone = [trainer.evaluate(trainer.store.batch([frame])) for frame in frames]
    torch.testing.assert_close(mixed.energies, torch.cat([a.energies for a in alone]), rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(mixed.forces, torch.cat([a.forces for a in alone]), rtol=1e-4, atol=1e-5)
    sizes = set()
    for _ in range(6):
        sizes |= {trainer.data.trajectories[t].atoms for t, _ in trainer._frames_of_step(trainer.step)}
        assert np.isfinite(trainer.advance()["auxiliary_loss"])
    assert sizes == {3, 4}


def with_elements(run: Trajectory, numbers: list[int]) -> Trajectory:
    """The first atoms of a run under other names; labels no longer belong to the motion, so the order is dropped."""
    n = len(numbers)
    return replace(
        run[:],
        atomic_numbers=np.array(numbers),
        positions=run.positions[:, :n],
        forces=run.forces[:, :n],  # type: ignore[index]
        velocities=None,
    )


def test_balance_makes_losses_comparable(morse_file: Path, tmp_path: Path) -> None:
    config = parse_config(table(morse_file, tmp_path, training={"balance": True}), "test")
    data = load_training_data(config)
    trainer = Trainer(config, data)
    energies = np.array([data.trajectories[0].energies[i] for _, i in data.train])  # type: ignore[index]
    assert trainer.scales["energy"] == pytest.approx(energies.std() / len(NUMBERS), rel=1e-6)
    assert trainer.scales["force"] == trainer.scale


def test_fine_tuning_starts_where_the_checkpoint_ended(trained: Path, tmp_path: Path) -> None:
    """The same surface counted from another zero: before the first step it is as good as the checkpoint."""
    run = run_morse(400)[200:]
    write(tmp_path / "other.h5", [replace(run, energies=run.energies + 100.0)])
    gentle = {"learning_rate": 3e-4, "steps": 100}
    raw = table(
        tmp_path / "other.h5", tmp_path / "run", data={"gap": 5}, model={"start": str(trained)}, training=gentle
    )
    config = parse_config(raw, "test")
    trainer = Trainer(config, load_training_data(config))
    checkpoint = load_checkpoint(trained)
    errors = trainer.errors(trainer.data.validation)
    forces = checkpoint.report["validation"]["force_mae_mev_per_angstrom"]
    assert errors["force_mae_mev_per_angstrom"] < 3 * forces
    assert errors["energy_mae_mev"] < 100
    old, new = averaged_potential(checkpoint), dict(trainer.potential.named_parameters())
    assert all(torch.equal(p, new[name]) for name, p in old.named_parameters())
    before = errors["force_mae_mev_per_angstrom"]
    report = execute(raw)
    assert report["validation"]["force_mae_mev_per_angstrom"] < before


def test_fine_tuning_from_a_model_file(trained: Path, morse_file: Path, tmp_path: Path) -> None:
    """The exported file holds what the checkpoint does, and is as good a start."""
    model = tmp_path / "model.pt"
    export_checkpoint(trained, model)
    parameters = []
    for start in (trained, model):
        config = parse_config(table(morse_file, tmp_path / "run", model={"start": str(start)}), "test")
        trainer = Trainer(config, load_training_data(config))
        parameters.append(dict(trainer.potential.state_dict()))
    assert trainer.spec == load_checkpoint(trained).spec
    assert all(torch.equal(p, parameters[1][name]) for name, p in parameters[0].items())


def test_fine_tuning_from_another_program(morse_file: Path, tmp_path: Path) -> None:
    """TorchScript that is no model file is never run, only read."""
    foreign = tmp_path / "foreign.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(foreign)
    config = parse_config(table(morse_file, tmp_path / "run", model={"start": str(foreign)}), "test")
    with pytest.raises(FramesError, match=r"foreign\.pt: the archive holds no frames\.json"):
        Trainer(config, load_training_data(config))


@pytest.mark.parametrize("element", [7, 16])  # between the known ones, and beyond them
def test_fine_tuning_on_a_new_element(trained: Path, tmp_path: Path, element: int) -> None:
    run = run_morse(200, seed=2)
    numbers = np.where(run.atomic_numbers == 8, element, run.atomic_numbers)
    write(tmp_path / "new.h5", [replace(run, atomic_numbers=numbers, times=None)])
    files = {"train": str(tmp_path / "new.h5"), "validation": str(tmp_path / "validation.h5")}
    write(tmp_path / "validation.h5", [replace(run_morse(60, seed=3), atomic_numbers=numbers, times=None)])
    raw = table(Path("unused"), tmp_path / "run", model={"start": str(trained)})
    raw["data"] = files
    config = parse_config(raw, "test")
    trainer = Trainer(config, load_training_data(config))
    assert trainer.spec.elements == tuple(sorted({1, 6, 8, element}))
    old, new = averaged_potential(load_checkpoint(trained)), trainer.potential
    known = run_morse(1)
    batch = trainer.store.batch([(0, 0)])
    numbers_old = torch.as_tensor(known.atomic_numbers)
    # nor do labels of one composition move the zero of the elements that the model knew: the new one takes it all
    kept = [new.elements.index(z) for z in old.elements]
    torch.testing.assert_close(new.energy_reference[kept], old.energy_reference, rtol=1e-6, atol=1e-4)
    for potential in (old, new):
        potential.energy_reference.zero_()
    # oxygen, which the new data lack, is still what it was
    one, two = (p(numbers_old, batch.edge_index, batch.edge_vectors) for p in (old, new))
    torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-6)
    report = execute(raw)
    assert report["validation"]["force_mae_mev_per_angstrom"] < 400


def test_fine_tuning_keeps_the_model(trained: Path, morse_file: Path, tmp_path: Path) -> None:
    raw = table(morse_file, tmp_path / "run", model={"start": str(trained), "cutoff": 5.0})
    config = parse_config(raw, "test")
    with pytest.raises(FramesError, match=r"model\.cutoff = 5\.0: the model is that of model\.start, best\.pt"):
        Trainer(config, load_training_data(config))
