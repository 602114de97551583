"""What `--resume` promises: after Ctrl-C or a kill at any moment the same numbers, and never with other data."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from morse import run_morse
from rich.console import Console

from frames.config import parse_config
from frames.data.readers.hdf5 import write
from frames.data.trajectory import Trajectory
from frames.errors import FramesError
from frames.training.checkpoint import load_checkpoint, save_checkpoint
from frames.training.fingerprint import fingerprint
from frames.training.loop import Run
from frames.training.losses import ErrorSums

STEPS, CHECKPOINT_EVERY = 12, 5  # validated every 4


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """As in a terminal, and afterwards as it was: jobs in the background are started without it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def table(data: Path, output: Path) -> dict[str, Any]:
    training = {
        "steps": STEPS,
        "validate_every": 4,
        "checkpoint_every": CHECKPOINT_EVERY,
        "threads": 1,
        "batch_size": 4,
    }
    return {
        "output": str(output),
        "data": {"path": str(data), "gap": 20},
        "model": {"cutoff": 4.0, "settings": {"channels": 16, "layers": 1, "radial_functions": 6}},
        "auxiliary": {"task": "none"},
        "training": training,
    }


def run_of(raw: dict[str, Any]) -> Run:
    return Run(parse_config(raw, "test"), raw, Console(file=io.StringIO()))


def metrics(folder: Path) -> list[list[str]]:
    """Rows without the seconds."""
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    return [[row[0], *row[2:]] for row in rows]


def assert_same(one: Path, two: Path) -> None:
    assert metrics(one) == metrics(two)
    a, b = load_checkpoint(one / "last.pt"), load_checkpoint(two / "last.pt")
    assert a.step == b.step
    for name in a.model:
        assert torch.equal(a.model[name], b.model[name]), name
        assert torch.equal(a.averaged[name], b.averaged[name]), name
    assert a.state["losses"] == b.state["losses"] and a.state["best"] == b.state["best"]


def after(method: Callable[..., Any], call: int, then: Callable[[], object]) -> Callable[..., Any]:
    """The method, which does something more at the end of one of its calls."""
    calls = 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        result = method(*args, **kwargs)
        if calls == call:
            then()
        return result

    return wrapped


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "morse.h5"
    write(path, [run_morse(300)])
    return path


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run_of(table(data, folder)).execute(resume=False)
    return folder


@pytest.mark.parametrize("step", [3, 7, 8, 12])
def test_ctrl_c_between_the_parameters_and_the_step_number(data: Path, whole: Path, tmp_path: Path, step: int) -> None:
    raw = table(data, tmp_path / "run")
    run = run_of(raw)
    run.trainer.optimizer.step = after(run.trainer.optimizer.step, step, press_ctrl_c)  # type: ignore[method-assign]
    with pytest.raises(FramesError, match=rf"^interrupted at step {step}; the state is in .*last\.pt, go on with --"):
        run.execute(resume=False)
    assert load_checkpoint(tmp_path / "run" / "last.pt").step == step
    run_of(raw).execute(resume=True)
    assert_same(whole, tmp_path / "run")


@pytest.mark.parametrize("validation", [1, 2, 3])
def test_ctrl_c_during_validation(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, validation: int
) -> None:
    """While parameters and averages have changed places. The row of that step is written; the third is the last."""
    raw = table(data, tmp_path / "run")
    monkeypatch.setattr(ErrorSums, "add", after(ErrorSums.add, validation, press_ctrl_c))  # one batch is all
    with pytest.raises(FramesError, match=f"interrupted at step {4 * validation};"):
        run_of(raw).execute(resume=False)
    monkeypatch.undo()
    assert metrics(tmp_path / "run") == metrics(whole)[: 1 + validation]
    run_of(raw).execute(resume=True)
    assert_same(whole, tmp_path / "run")


def test_ctrl_c_during_the_last_checkpoint(data: Path, whole: Path, tmp_path: Path) -> None:
    raw = table(data, tmp_path / "run")
    run = run_of(raw)
    run._save = after(run._save, 6, press_ctrl_c)  # type: ignore[method-assign]  # three best ones, steps 5, 10 and 12
    with pytest.raises(FramesError, match=f"interrupted at step {STEPS};"):
        run.execute(resume=False)
    run_of(raw).execute(resume=True)
    assert_same(whole, tmp_path / "run")


def press_ctrl_c_twice() -> None:
    press_ctrl_c()
    press_ctrl_c()


def die() -> None:
    raise SystemExit


@pytest.mark.parametrize(("end", "error"), [(press_ctrl_c_twice, KeyboardInterrupt), (die, SystemExit)])
def test_an_end_in_the_middle_of_a_step_saves_nothing(
    data: Path, whole: Path, tmp_path: Path, end: Callable[[], None], error: type[BaseException]
) -> None:
    """The checkpoint is of a step between two validations: the row after it still covers all steps since the first."""
    raw = table(data, tmp_path / "run")
    run = run_of(raw)
    run.trainer.optimizer.step = after(run.trainer.optimizer.step, 7, end)  # type: ignore[method-assign]
    with pytest.raises(error):
        run.execute(resume=False)
    assert load_checkpoint(tmp_path / "run" / "last.pt").step == CHECKPOINT_EVERY
    run_of(raw).execute(resume=True)
    assert_same(whole, tmp_path / "run")


def test_in_another_thread_and_where_ctrl_c_is_ignored(data: Path, whole: Path, tmp_path: Path) -> None:
    """Handlers belong to the main thread, and a job in the background is left alone."""
    failures: list[BaseException] = []

    def train() -> None:
        try:
            run_of(table(data, tmp_path / "thread")).execute(resume=False)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert not failures
    assert_same(whole, tmp_path / "thread")
    run = run_of(table(data, tmp_path / "background"))
    run.trainer.optimizer.step = after(run.trainer.optimizer.step, 7, press_ctrl_c)  # type: ignore[method-assign]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run.execute(resume=False)
    finally:
        assert signal.signal(signal.SIGINT, signal.default_int_handler) is signal.SIG_IGN
    assert_same(whole, tmp_path / "background")


_INTERRUPTED = """
import os, signal
from frames.cli import main
from frames.training.trainer import Trainer
signal.signal(signal.SIGINT, signal.default_int_handler)
advance = Trainer.advance

def interrupted(self):
    if self.step == 6 and self.workers.rank == 1:
        os.kill(os.getpid(), signal.SIGINT)
    return advance(self)

Trainer.advance = interrupted
main()
"""


def test_all_processes_stop_at_the_same_step(data: Path, whole: Path, tmp_path: Path) -> None:
    """Also where only one of them, and not the first, was asked to."""
    raw = table(data, tmp_path / "run")
    (tmp_path / "config.toml").write_text(toml(raw))
    (tmp_path / "interrupted.py").write_text(_INTERRUPTED)
    (tmp_path / "train.py").write_text("from frames.cli import main\nmain()\n")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*torchrun, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)

    done = start("interrupted.py", "train", "config.toml")
    assert done.returncode == 1
    assert "interrupted at step 7; the state is in" in done.stderr, done.stderr
    assert load_checkpoint(tmp_path / "run" / "last.pt").step == 7
    done = start("train.py", "train", "config.toml", "--resume")
    assert done.returncode == 0, done.stderr
    found, expected = metrics(tmp_path / "run"), metrics(whole)
    assert [row[0] for row in found] == [row[0] for row in expected]
    for one, two in zip(found[1:], expected[1:], strict=True):
        assert [float(x) for x in one if x] == pytest.approx([float(x) for x in two if x], rel=1e-2)  # float32


def toml(raw: dict[str, Any]) -> str:
    """Just enough TOML for these tables: JSON values, which are TOML as well but for one level of tables."""
    lines = [f"output = {json.dumps(raw['output'])}"]
    for name, section in raw.items():
        if isinstance(section, dict):
            lines.append(f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in section.items() if not isinstance(value, dict)]
            for key, inner in section.items():
                if isinstance(inner, dict):
                    lines += [f"[{name}.{key}]", *(f"{k} = {json.dumps(v)}" for k, v in inner.items())]
    return "\n".join(lines)


MORSE = run_morse(300)


def renamed(numbers: list[int]) -> Trajectory:
    return replace(MORSE, atomic_numbers=np.array(numbers))


def one_force_changed() -> Trajectory:
    assert MORSE.forces is not None
    forces = MORSE.forces.copy()
    forces[40, 2, 1] += 1e-4
    return replace(MORSE, forces=forces)


@pytest.mark.parametrize(
    ("now", "message"),
    [
        ([renamed([8, 1, 1, 1])], r"morse\.h5 held CH2O, now it holds H3O"),  # an element fewer
        ([renamed([8, 1, 1, 7])], r"morse\.h5 held CH2O, now it holds H2NO"),
        ([renamed([6, 1, 1, 8])], r"morse\.h5 has its atoms in another order"),
        ([MORSE[:280]], r"morse\.h5 had other frames: 300 before, 280 now"),
        ([run_morse(300, seed=1)], r"morse\.h5 has other positions, energies, forces;"),
        ([one_force_changed()], r"morse\.h5 has other forces;"),
        ([MORSE, MORSE], r"the number of trajectories was 1 \(morse\.h5\), now it is 2"),
    ],
)
def test_other_data_are_refused(tmp_path: Path, now: list[Trajectory], message: str) -> None:
    path, raw = tmp_path / "morse.h5", table(tmp_path / "morse.h5", tmp_path / "run")
    write(path, [MORSE])
    saved(raw)
    write(path, now, overwrite=True)
    before = (tmp_path / "run" / "last.pt").read_bytes()
    with pytest.raises(FramesError, match=rf"last\.pt was made with other data: .*{message}") as caught:
        run_of(raw).execute(resume=True)
    assert "restore the data, or train into another output folder" in str(caught.value)
    assert (tmp_path / "run" / "last.pt").read_bytes() == before


def saved(raw: dict[str, Any]) -> None:
    """Leaves the checkpoint of a training that was killed after three steps."""
    run = run_of(raw)
    run._prepare_folder(False)
    for _ in range(3):
        run.trainer.advance()
    run._save("last.pt")


def test_the_one_of_several_trajectories_is_named(tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.h5" for name in ("train", "validation")}
    for seed, path in enumerate(files.values()):
        write(path, [replace(run_morse(60, seed=seed), times=None)])
    raw = table(Path("unused"), tmp_path / "run")
    raw["data"] = {name: str(path) for name, path in files.items()}
    saved(raw)
    write(files["validation"], [replace(run_morse(60, seed=2), times=None)], overwrite=True)
    with pytest.raises(FramesError, match=r"other data: validation\.h5 \(trajectory 1\) has other positions"):
        run_of(raw).execute(resume=True)


def test_another_split_of_the_same_frames_is_refused(data: Path, tmp_path: Path) -> None:
    """As another version of the package might make it: frames of training must not become test frames."""
    raw = table(data, tmp_path / "run")
    saved(raw)
    run = run_of(raw)
    run.data.test = run.data.test[1:]
    run.fingerprint = fingerprint(run.data)
    with pytest.raises(FramesError, match="other data: the test frames are not those that they were"):
        run.execute(resume=True)


def test_forces_of_the_motion_are_not_compared(data: Path) -> None:
    """They follow from the positions, with rounding that depends on the processor."""
    loaded = run_of(table(data, data.parent / "unused")).data
    one = fingerprint(loaded)
    loaded.force_weights[0] = np.ones(4)
    assert "forces" in one["trajectories"][0]["arrays"]
    assert "forces" not in fingerprint(loaded)["trajectories"][0]["arrays"]


def test_checkpoints_that_say_nothing_of_their_data_go_on(data: Path, tmp_path: Path) -> None:
    raw = table(data, tmp_path / "run")
    saved(raw)
    path = tmp_path / "run" / "last.pt"
    checkpoint = load_checkpoint(path)
    older = {key: value for key, value in checkpoint.state.items() if key not in ("data", "losses")}
    save_checkpoint(path, replace(checkpoint, state=older))
    run_of(raw).execute(resume=True)
    assert load_checkpoint(path).step == STEPS
