"""Data of several kinds in one training: compositions, labels that only some frames have, several methods in a file."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
import pytest
from morse import run_morse
from rich.console import Console
from test_compiled import mixed_sizes, trainer
from test_long_runs import SMALL, execute, table, with_elements

from frames.config import parse_config
from frames.data.readers.hdf5 import read as read_hdf5
from frames.data.readers.hdf5 import write
from frames.data.readers.options import ReadOptions
from frames.data.trajectory import Trajectory
from frames.errors import FramesError
from frames.training import batch as batches
from frames.training.buckets import choose_buckets
from frames.training.dataset import load_training_data
from frames.training.loop import Run
from frames.training.losses import virial_loss
from frames.training.roles import TrainingData
from frames.training.trainer import Trainer, predictions


def loaded(data: dict[str, Any], **sections: Any) -> TrainingData:
    return load_training_data(parse_config({"output": "out", "data": data, **sections}, "test"))


def unordered(run: Trajectory, **changes: Any) -> Trajectory:
    return replace(run, times=None, velocities=None, **changes)


def water(frames: int, seed: int = 0) -> Trajectory:
    return unordered(with_elements(run_morse(frames, seed=seed), [8, 1, 1]))


def methanal(frames: int, seed: int = 0) -> Trajectory:
    """Atoms of which one is a carbon."""
    run = run_morse(frames, seed=seed)
    return unordered(run, energies=run.energies - 1000.0)  # type: ignore[operator]


def files(folder: Path, **runs: list[Trajectory]) -> dict[str, str]:
    for name, trajectories in runs.items():
        write(folder / f"{name}.h5", trajectories, overwrite=True)
    return {name: str(folder / f"{name}.h5") for name in runs}


def start_of_water(folder: Path) -> str:
    raw = table(Path("unused"), folder / "start", training={"steps": 2})
    raw["data"] = files(folder, train=[water(20)], validation=[water(5, 1)])
    execute(raw)
    return str(folder / "start" / "best.pt")


def test_a_new_element_in_few_of_many_frames_gets_its_reference_energy(tmp_path: Path) -> None:
    start = start_of_water(tmp_path)
    train = [water(300, 2), methanal(2, 3), water(300, 4)]
    raw = table(Path("unused"), tmp_path / "run", model={"start": start}, training={"steps": 2})
    raw["data"] = files(tmp_path, train=train, validation=[methanal(5, 5)])
    config = parse_config(raw, "test")
    potential = Trainer(config, load_training_data(config)).potential
    reference = potential.energy_reference[potential.elements.index(6)].item()
    assert reference == pytest.approx(-1000.0, abs=50.0)


def test_elements_that_no_training_frame_has_are_none_of_the_model(tmp_path: Path) -> None:
    data = files(tmp_path, train=[water(60), methanal(1), water(60, 2)], validation=[water(5, 1)])
    config = parse_config(
        {"output": "out", "data": {**data, "labelled": 8}, "model": SMALL, "training": {"steps": 2}}, "test"
    )
    assert Trainer(config, load_training_data(config)).spec.elements == (1, 8)


def test_held_out_elements_have_to_be_known_to_the_start(tmp_path: Path) -> None:
    start = start_of_water(tmp_path)
    data = files(tmp_path, train=[water(20)], validation=[methanal(5)])
    with pytest.raises(
        FramesError, match=r"C in frames for validation or test, but in no training frame, and best\.pt"
    ):
        loaded(data, model={"start": start})
    # oxygen is in no training frame, but the model knows it
    hydrogen = unordered(with_elements(run_morse(20), [1, 1, 1]))
    data = files(tmp_path, train=[hydrogen], validation=[water(5)])
    assert len(loaded(data, model={"start": start}).validation) == 5


def some_virials(folder: Path) -> dict[str, object]:
    """Molecules without virials beside periodic frames that have them."""
    data = mixed_sizes(folder)
    runs = read_hdf5(Path(str(data["train"])), ReadOptions(None, None, None))
    write(folder / "some.h5", [run if run.periodic else replace(run, virials=None) for run in runs])
    return {**data, "train": str(folder / "some.h5")}


def test_virials_are_learnt_of_the_frames_that_have_one(tmp_path: Path) -> None:
    run = trainer(some_virials(tmp_path), "none", virial_weight=1.0, batch_size=6)
    have = [run.data.trajectories[t].virials is not None for t, _ in run.data.train]
    assert 0 < sum(have) < len(have)
    assert f"virials are learnt of the {sum(have)} training frames that have one" in run.data.summary
    steps = range(8)
    counts = [sum(run.data.trajectories[t].virials is not None for t, _ in run._frames_of_step(s)) for s in steps]
    assert max(counts) > 0 and min(counts) < 6
    for step, count in zip(steps, counts, strict=True):
        frames = run._frames_of_step(step)
        _, parts = run._loss(step)
        assert ("virial_loss" in parts) == (count > 0)
        alone = [
            float(virial_loss(result, batch))
            for frame in frames
            if run.data.trajectories[frame[0]].virials is not None
            for batch, result in predictions(run.potential, run.store, [frame])
        ]
        if count:
            assert parts["virial_loss"] == pytest.approx(1e3 * np.mean(alone), rel=1e-9)


def test_errors_of_virials_are_those_of_all_frames_that_have_one(tmp_path: Path) -> None:
    run = trainer(some_virials(tmp_path), "none", virial_weight=1.0, batch_size=6)
    have = [frame for frame in run.data.train if run.data.trajectories[frame[0]].virials is not None]
    mixed, alone = run.errors(run.data.train), run.errors(have)
    assert mixed["virial_mae_mev_per_atom"] == pytest.approx(alone["virial_mae_mev_per_atom"], rel=1e-9)


def test_evaluations_take_as_many_frames_at_once_as_memory_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trainer(mixed_sizes(tmp_path), "none", batch_size=3)
    monkeypatch.setattr(batches, "MOST_EDGES", 150)
    parts = list(run.store.in_batches(run.data.train))
    assert [frame for part in parts for frame in part] == list(run.data.train)
    edges = [sum(map(run.store.edges, part)) for part in parts]
    assert all(total <= 150 or len(part) == 1 for part, total in zip(parts, edges, strict=True))
    assert 1 < max(map(len, parts)) <= batches.MOST_FRAMES


@pytest.mark.usefixtures("traced_only")
def test_a_resumed_training_has_the_shapes_that_it_had(tmp_path: Path) -> None:
    """Padded otherwise, sums round otherwise, and the training does not go on bit for bit."""
    data = mixed_sizes(tmp_path)
    first, second = (trainer(data, "none", batch_size=3) for _ in range(2))
    second.step = 500
    later = choose_buckets(shape for step in range(500, 700) for shape in second._shapes_of_step(step))
    for run in (first, second):
        run.compile()
    assert first.compiled is not None and second.compiled is not None
    assert first.compiled.shapes == second.compiled.shapes
    assert sorted(later) != sorted(first.compiled.shapes)  # which is what they would have been


def with_labels(path: Path, frames: int, *prefixes: str) -> str:
    """An XYZ file with labels under several prefixes, those of the second 1 eV off."""
    run, images = run_morse(frames), []
    assert run.energies is not None and run.forces is not None
    for k in range(frames):
        image = ase.Atoms(run.atomic_numbers, run.positions[k] + k)
        for n, prefix in enumerate(prefixes):
            image.info[f"{prefix}energy"] = run.energies[k] + n
            image.arrays[f"{prefix}forces"] = run.forces[k]
        images.append(image)
    ase.io.write(path, images, format="extxyz")
    return str(path)


def test_labels_of_two_methods_are_not_mixed(tmp_path: Path) -> None:
    both, one = with_labels(tmp_path / "both.xyz", 30, "dft_", "REF_"), with_labels(tmp_path / "one.xyz", 5, "REF_")
    with pytest.raises(
        FramesError, match=r"labels of both\.xyz are dft_energy .*, those of one\.xyz REF_energy: two m"
    ):
        loaded({"train": with_labels(tmp_path / "both.xyz", 30, "dft_"), "validation": one})
    with_labels(tmp_path / "both.xyz", 30, "REF_", "dft_")
    assert loaded({"train": both, "validation": one}).validation


def test_a_training_says_what_was_assumed_of_its_files(tmp_path: Path) -> None:
    data = {
        "train": with_labels(tmp_path / "train.xyz", 30, "REF_", "dft_"),
        "validation": with_labels(tmp_path / "validation.xyz", 5, "REF_"),
    }
    raw = {"output": str(tmp_path / "run"), "data": data, "model": SMALL, "training": {"steps": 2}}
    out = io.StringIO()
    Run(parse_config(raw, "test"), raw, Console(file=out, width=300))
    said = out.getvalue()
    assert "train.xyz: labels are REF_energy, REF_forces, not dft_energy, dft_forces" in said
    assert "validation.xyz: extxyz file; units taken as eV" in said
