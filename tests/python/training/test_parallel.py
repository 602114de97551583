"""Two processes that share each batch train as one does."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from morse import run_morse

from frames.data.readers.hdf5 import write
from frames.training.checkpoint import load_checkpoint
from frames.training.parallel import Workers

CONFIG = """output = "{name}"
[data]
path = "morse.h5"
gap = 20
labelled = 30
unlabelled_rest = true
[model]
cutoff = 4.0
settings = {{ channels = 16, layers = 1, radial_functions = 6 }}
[auxiliary]
task = "{task}"
{more}
[training]
steps = 12
validate_every = 4
checkpoint_every = 4
batch_size = 5
threads = 1
dtype = "float64"
"""


@pytest.mark.parametrize(("task", "positions_alone"), [("frames", False), ("newton", False), ("newton", True)])
def test_two_processes_give_the_losses_of_one(tmp_path: Path, task: str, positions_alone: bool) -> None:
    runs = [run_morse(300)]
    if positions_alone:  # of two runs, whose motion is not equally good, so that atoms of a batch weigh differently
        rough = run_morse(300, seed=1)
        noise = np.random.default_rng(0).normal(size=rough.positions.shape)
        runs = [replace(run, energies=None, forces=None, velocities=None) for run in (*runs, rough)]
        runs[1] = replace(runs[1], positions=runs[1].positions + 3e-5 * noise)
    write(tmp_path / "morse.h5", runs)
    (tmp_path / "train.py").write_text("from frames.cli import main\nmain()\n")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    starts = {
        "one": [sys.executable],
        "two": [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"],
    }
    more = "share = 0.4" if task == "newton" else ""  # three labelled frames and two others
    for name, start in starts.items():
        (tmp_path / f"{name}.toml").write_text(CONFIG.format(name=name, task=task, more=more))
        command = [*start, "train.py", "train", f"{name}.toml"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("force MAE (meV/Å)") == 1  # one of them prints
    rows = [
        [line.split(",") for line in (tmp_path / name / "metrics.csv").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert len(rows[0]) == 4
    for one, two in zip(rows[0][1:], rows[1][1:], strict=True):
        for k in (3, 4, 6, 7, 8):  # losses and validation errors; a batch of five is shared unevenly
            if one[k] or two[k]:  # there are none of energies without labels
                assert float(one[k]) == pytest.approx(float(two[k]), rel=1e-7)
    models = [load_checkpoint(tmp_path / name / "last.pt").model for name in ("one", "two")]
    for key in models[0]:
        torch.testing.assert_close(models[0][key], models[1][key], rtol=1e-5, atol=1e-7)


def test_shares_cover_the_batch() -> None:
    items = list(range(7))
    shares = [Workers(rank, 3).share(items) for rank in range(3)]
    assert sorted(item for share in shares for item in share) == items and [len(s) for s in shares] == [3, 2, 2]
