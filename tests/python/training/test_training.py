"""Training: it learns, it resumes bit for bit, it survives kills and full disks, and it does not leak."""

from __future__ import annotations

import io
import itertools
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase.data import chemical_symbols
from backbones import EQUIFORMER
from rich.console import Console

from frames.config import Config, load_config, parse_config
from frames.data.readers.hdf5 import write
from frames.data.trajectory import Trajectory
from frames.errors import FramesError
from frames.training.checkpoint import averaged_potential, load_checkpoint, save_checkpoint
from frames.training.dataset import load_training_data
from frames.training.loop import Run
from frames.training.publish import export_checkpoint
from frames.training.trainer import Trainer

SMALL = {"channels": 16, "layers": 1, "radial_functions": 6}


def table(data: Path, output: Path, /, **sections: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "output": str(output),
        "data": {"path": str(data), "gap": 20},
        "model": {"cutoff": 4.0, "settings": SMALL},
        "training": {"steps": 60, "validate_every": 20, "checkpoint_every": 20, "threads": 1, "batch_size": 4},
    }
    for name, values in sections.items():
        base[name] = {**base.get(name, {}), **values}
    return base


def execute(raw: dict[str, Any], *, resume: bool = False) -> dict[str, Any]:
    return Run(parse_config(raw, "test"), raw, Console(file=io.StringIO())).execute(resume=resume)


def toml(raw: dict[str, Any]) -> str:
    """Just enough TOML for these tables."""
    lines = [f"{k} = {v!r}".replace("'", '"') for k, v in raw.items() if not isinstance(v, dict)]
    for name, section in raw.items():
        if isinstance(section, dict):
            inner = {k: v for k, v in section.items() if not isinstance(v, dict)}
            lines += [f"[{name}]", toml(inner)]
            lines += [f"[{name}.{k}]\n{toml(v)}" for k, v in section.items() if isinstance(v, dict)]
    return "\n".join(lines)


def test_errors_fall(morse_file: Path, tmp_path: Path) -> None:
    raw = table(morse_file, tmp_path / "run", training={"steps": 300, "validate_every": 50})
    report = execute(raw)
    lines = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert lines[0].startswith("step,seconds,learning_rate,force_loss")
    forces = [float(line.split(",")[7]) for line in lines[1:]]
    assert forces[-1] < 0.3 * forces[0]
    assert report["test"]["force_mae_mev_per_angstrom"] < 0.5 * forces[0]
    assert (tmp_path / "run" / "learning_curve.png").stat().st_size > 5000
    assert load_checkpoint(tmp_path / "run" / "best.pt").report["test"] == report["test"]


def test_minutes_alone_end_a_training(morse_file: Path, tmp_path: Path) -> None:
    raw = table(morse_file, tmp_path / "run", training={"minutes": 0.02, "compile": False})
    del raw["training"]["steps"]
    report = execute(raw)
    assert report["seconds"] >= 1.2
    last = load_checkpoint(tmp_path / "run" / "last.pt")
    assert last.step == report["steps_done"] >= 1
    assert "force_mae_mev_per_angstrom" in report["test"]


@pytest.mark.parametrize("task", ["none", "frames"])
def test_resumes_bit_for_bit_after_a_kill(morse_file: Path, tmp_path: Path, task: str) -> None:
    auxiliary = {"auxiliary": {"task": task}}
    execute(table(morse_file, tmp_path / "whole", **auxiliary))
    config = tmp_path / "config.toml"
    config.write_text(toml(table(morse_file, tmp_path / "killed", **auxiliary)))
    command = [sys.executable, "-c", "from frames.cli import main; main()", "train", str(config)]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    last = tmp_path / "killed" / "last.pt"
    while not last.exists():
        assert run.poll() is None or last.exists()
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    load_checkpoint(last)  # whole, whenever the kill came
    subprocess.run([*command, "--resume"], check=True, stdout=subprocess.DEVNULL)
    one, two = load_checkpoint(tmp_path / "whole" / "last.pt"), load_checkpoint(last)
    assert one.step == two.step == 60
    for name in one.model:
        assert torch.equal(one.model[name], two.model[name]), name
        assert torch.equal(one.averaged[name], two.averaged[name]), name


def test_a_full_disk_leaves_the_last_checkpoint(morse_file: Path, tmp_path: Path) -> None:
    execute(table(morse_file, tmp_path / "run"))
    path = tmp_path / "run" / "last.pt"
    before = path.read_bytes()
    checkpoint = load_checkpoint(path)
    pid = os.fork()
    if pid == 0:  # a child, since the limit cannot be taken back
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            save_checkpoint(path, checkpoint)
        except FramesError as error:
            os._exit(0 if "cannot be written" in str(error) else 2)
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert path.read_bytes() == before
    assert list(path.parent.glob(".*.part")) == []


def test_no_held_out_frame_enters_training_in_any_role(morse_file: Path, tmp_path: Path) -> None:
    gap = 25
    for partner_labels in (False, True):
        raw = table(
            morse_file,
            tmp_path,
            data={"gap": gap, "labelled": 100},
            auxiliary={"task": "frames", "partner_labels": partner_labels, "stride": 3},
        )
        data = load_training_data(parse_config(raw, "test"))
        used = {i for _, i in data.used}
        held_out = np.array([i for _, i in [*data.validation, *data.test]])
        assert len(data.chains) >= 98  # none for the last frames of the block
        assert all(np.abs(held_out - i).min() > gap for i in used)
        assert all(b[1] - a[1] == 3 for a, b in data.chains.values())


def test_the_model_knows_how_close_atoms_came_in_training(morse_file: Path, tmp_path: Path) -> None:
    raw = table(morse_file, tmp_path / "run", training={"steps": 2})
    execute(raw)
    stored = load_checkpoint(tmp_path / "run" / "last.pt").report["shortest_distances"]
    data = load_training_data(parse_config(raw, "test"))
    (run,) = data.trajectories
    closest: dict[str, float] = {}
    for _, frame in data.train:
        for i, j in itertools.combinations(range(run.atoms), 2):
            first, second = sorted((run.atomic_numbers[i], run.atomic_numbers[j]))
            name = f"{chemical_symbols[first]}-{chemical_symbols[second]}"
            distance = float(np.linalg.norm(run.positions[frame, i] - run.positions[frame, j]))
            if distance < 4.0:
                closest[name] = min(distance, closest.get(name, np.inf))
    assert stored == pytest.approx(closest, rel=1e-12)


def test_unlabelled_pairs_from_another_file(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    """Unordered labelled frames, as MD17 has them, with an ordered trajectory beside.

    Repeated frames are dropped, and of the trajectory everything within the gap of a held-out frame.
    """
    shuffled = np.random.default_rng(0).permutation(300)
    files = {name: tmp_path / f"{name}.h5" for name in ("train", "validation", "pairs")}
    write(files["train"], [replace(morse_trajectory[shuffled[:100]], times=None)])
    write(files["validation"], [replace(morse_trajectory[shuffled[90:120]], times=None)])
    write(files["pairs"], [replace(morse_trajectory[slice(100, 200)], energies=None, forces=None)])
    raw = table(files["train"], tmp_path / "run", auxiliary={"task": "frames"})
    raw["data"] = {
        "train": str(files["train"]),
        "validation": str(files["validation"]),
        "unlabelled": [str(files["pairs"])],
        "gap": 2,
    }
    data = load_training_data(parse_config(raw, "test"))
    assert len(data.train) == 90 and data.report["dropped_from_training"] == 10
    held_out = shuffled[90:120] - 100
    held_out = held_out[(held_out >= 0) & (held_out < 100)]  # what the trajectory shows of them
    seen = np.array([i for chain in data.unlabelled for _, i in chain])
    assert 10 < len(data.unlabelled) < 90
    assert np.abs(seen[:, None] - held_out).min() == 3
    assert (
        f"unlabelled frames left out within 2 frames of {len(held_out)} that validation or test hold too" in data.split
    )
    execute(raw)
    lines = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert float(lines[1].split(",")[6]) > 0  # the auxiliary loss


def test_wrong_data_is_refused(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    def message(trajectory: Trajectory, **sections: Any) -> str:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.h5"
        write(path, [trajectory])
        raw = table(path, tmp_path / "run", **sections)
        config = parse_config(raw, "test")
        with pytest.raises(FramesError) as caught:
            Trainer(config, load_training_data(config))
        return str(caught.value)

    assert "no forces in this file" in message(replace(morse_trajectory, forces=None))
    assert "order of the frames is unknown" in message(replace(morse_trajectory, times=None))
    assert "cannot be taken from 20" in message(morse_trajectory[slice(0, 20)])
    assert "unknown setting 'channel'" in message(morse_trajectory, model={"settings": {"channel": 16}})
    assert "only the backbone cartesian has presets" in message(
        morse_trajectory, model={"backbone": "equiformer", "preset": "small", "settings": {}}
    )


def test_a_loss_that_is_not_finite_stops(morse_file: Path, tmp_path: Path) -> None:
    config: Config = parse_config(table(morse_file, tmp_path), "test")
    trainer = Trainer(config, load_training_data(config))
    trainer.advance()
    with torch.no_grad():
        next(iter(trainer.parameters)).fill_(float("nan"))
    with pytest.raises(FramesError, match="the loss is nan at step 1"):
        trainer.advance()


def test_output_is_never_overwritten(morse_file: Path, tmp_path: Path) -> None:
    raw = table(morse_file, tmp_path / "run", training={"steps": 20})
    execute(raw)
    with pytest.raises(FramesError, match="holds a training run already: go on with --resume"):
        execute(raw)
    changed = table(morse_file, tmp_path / "run", training={"steps": 20, "seed": 4})
    with pytest.raises(FramesError, match=r"differs from that of .* in training\.seed: it was None, now it is 4"):
        execute(changed, resume=True)
    with pytest.raises(FramesError, match="no such checkpoint"):
        execute(table(morse_file, tmp_path / "other"), resume=True)


def test_foreign_checkpoints(morse_file: Path, tmp_path: Path) -> None:
    execute(table(morse_file, tmp_path / "run", training={"steps": 20}))
    good = (tmp_path / "run" / "best.pt").read_bytes()
    path = tmp_path / "bad.pt"
    for content, message in (
        (good[: len(good) // 2], "not a readable checkpoint"),
        (b"hello", "not a readable checkpoint"),
        (b"", "not a readable checkpoint"),
    ):
        path.write_bytes(content)
        with pytest.raises(FramesError, match=message):
            load_checkpoint(path)
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(FramesError, match="not a checkpoint of `frames train`"):
        load_checkpoint(path)
    torch.save(Trainer, path)  # a pickled class: never imported
    with pytest.raises(FramesError, match="not a readable checkpoint"):
        load_checkpoint(path)


def test_float64_potential_is_as_symmetric_as_float64(morse_file: Path, tmp_path: Path) -> None:
    """Converting a float32 training result must not carry rounded constants over."""
    raw = table(
        morse_file,
        tmp_path / "run",
        data={"validation_frames": 4, "test_frames": 4},
        model=EQUIFORMER,
        training={"steps": 5},
    )
    execute(raw)
    potential = averaged_potential(load_checkpoint(tmp_path / "run" / "best.pt"), torch.float64)
    index = torch.tensor([[0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]])
    r = torch.tensor([[0.0, 0, 0], [1.1, 0.2, 0], [0.3, 1.2, 0.7]], dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    turn = turn * torch.sign(torch.det(turn))
    numbers = torch.tensor([8, 1, 6])
    energies = [potential(numbers, index, x[index[1]] - x[index[0]]) for x in (r, r @ turn.T)]
    torch.testing.assert_close(energies[0], energies[1], rtol=0, atol=1e-12)


def test_config_files_work(morse_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    raw = table(morse_file, tmp_path / "run")
    path.write_text(toml(raw))
    assert load_config(path)[1] == raw


def test_data_that_cannot_be_used_is_named(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    """Shuffled times, elements that only held-out frames have, missing virials, a cutoff in nm."""

    def refused(data: dict[str, Any], message: str, **sections: Any) -> None:
        raw = table(Path("unused"), tmp_path / "run", **sections)
        raw["data"] = {role: str(path) for role, path in data.items()}
        with pytest.raises(FramesError, match=message):
            execute(raw)

    files = {name: tmp_path / f"{name}.h5" for name in ("plain", "shuffled", "sulphur")}
    write(files["plain"], [morse_trajectory])
    write(files["shuffled"], [morse_trajectory[np.random.default_rng(0).permutation(400)]])
    write(files["sulphur"], [replace(morse_trajectory, atomic_numbers=np.array([16, 1, 1, 6]))])
    plain = {"path": files["plain"]}
    refused({"path": files["shuffled"]}, r"shuffled\.h5: the frames are not stored in the order of their times")
    refused({"train": files["plain"], "validation": files["sulphur"]}, "S in frames for validation or test, but in no")
    refused(
        plain,
        "virial_weight is above 0, but no training frame of .*plain.* has a virial or a stress",
        training={"virial_weight": 1.0},
    )
    refused(plain, "cutoff = 0.4: no atom has a neighbour within it; it is a length in Å", model={"cutoff": 0.4})


def test_what_export_refuses(morse_file: Path, tmp_path: Path) -> None:
    execute(table(morse_file, tmp_path / "run", training={"steps": 2}))
    best, model = tmp_path / "run" / "best.pt", tmp_path / "model.pt"
    content = best.read_bytes()
    with pytest.raises(FramesError, match=r"best\.pt: is the checkpoint itself, which a model file cannot replace"):
        export_checkpoint(best, best)
    assert best.read_bytes() == content
    export_checkpoint(best, model)
    with pytest.raises(FramesError, match=r"model\.pt: a TorchScript file, no checkpoint of `frames train`"):
        export_checkpoint(model, tmp_path / "other.pt")


def test_damaged_metrics(morse_file: Path, tmp_path: Path) -> None:
    raw = table(morse_file, tmp_path / "run")
    execute(raw)
    path = tmp_path / "run" / "metrics.csv"
    path.write_text(path.read_text().replace("40,", "forty,", 1))
    with pytest.raises(FramesError, match=r"metrics\.csv: damaged .*move it away to go on without the earlier rows"):
        execute(raw, resume=True)


def test_a_curve_that_cannot_be_drawn_does_not_cost_the_test_errors(morse_file: Path, tmp_path: Path) -> None:
    raw = table(morse_file, tmp_path / "run")
    run = Run(parse_config(raw, "test"), raw, Console(file=(output := io.StringIO())))
    (tmp_path / "run" / "learning_curve.png").mkdir(parents=True)
    report = run.execute(resume=False)
    assert "test" in report and "the plot cannot be written" in " ".join(output.getvalue().split())
