"""`frames train`: runs a trainer to its end with checkpoints, metrics.csv, progress and plots."""

from __future__ import annotations

import csv
import re
import time
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from frames.config import Config
from frames.errors import FramesError
from frames.training.checkpoint import Checkpoint, averaged_potential, load_checkpoint, save_checkpoint
from frames.training.dataset import load_training_data
from frames.training.fingerprint import data_difference, fingerprint
from frames.training.interruption import Interruption
from frames.training.losses import ErrorSums
from frames.training.parallel import join_workers, leave_workers
from frames.training.plots import plot_learning_curve
from frames.training.roles import TrainingData
from frames.training.stopping import VALIDATION_FORCE, stalled
from frames.training.trainer import Trainer, predictions

BEST, LAST, METRICS, CURVE = "best.pt", "last.pt", "metrics.csv", "learning_curve.png"
COLUMNS = (
    "step",
    "seconds",
    "learning_rate",
    "force_loss",
    "energy_loss",
    "virial_loss",
    "auxiliary_loss",
    VALIDATION_FORCE,
    "validation_energy_mae_mev",
    "validation_virial_mae_mev_per_atom",
)


class Run:
    """One training run in its output folder.

    `last.pt` is the newest state, `best.pt` the one with the lowest validation force error; both are checkpoints.
    """

    def __init__(self, config: Config, raw: dict[str, Any], console: Console) -> None:
        self.config = config
        self.raw = raw
        self.console = console
        self.folder = Path(config.output)
        self.workers = join_workers(config.training.device)
        if not self.workers.first:
            console.quiet = True
        self.data: TrainingData = load_training_data(config)
        for text in self.data.of_files:
            console.print(text, markup=False, highlight=False)
        console.print(self.data.summary)
        self.fingerprint = fingerprint(self.data)
        self.trainer = Trainer(config, self.data, self.workers)
        self.best = float("inf")
        self.rows: list[dict[str, float]] = []
        self.losses: dict[str, list[float]] = {}  # of the steps since the last validation
        self._all_threads = torch.get_num_threads()

    def execute(self, *, resume: bool) -> dict[str, Any]:
        """Trains to the end, evaluates the test frames with the best parameters and returns the report.

        The report of a process that is not the first of a parallel training is empty.
        """
        try:
            return self._execute(resume)
        finally:
            leave_workers()

    def _execute(self, resume: bool) -> dict[str, Any]:
        self._prepare_folder(resume)
        self._compile()
        self._train()
        self.workers.wait()
        return self._finish() if self.workers.first else {}

    def _prepare_folder(self, resume: bool) -> None:
        last = self.folder / LAST
        if resume:
            self._resume(load_checkpoint(last))
            return
        torch.set_num_threads(self._threads(compiled=self.trainer.compiles))
        self.workers.wait()
        if last.exists():
            raise FramesError(
                f"{self.folder} holds a training run already: go on with --resume, or choose another output"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FramesError(f"{self.folder}: cannot be made ({error}); choose another output") from None

    def _resume(self, checkpoint: Checkpoint) -> None:
        if checkpoint.config != self.raw:
            changed = _first_difference(checkpoint.config, self.raw)
            raise FramesError(f"--resume: the configuration differs from that of {self.folder / LAST} in {changed}")
        self._require_same_data(checkpoint.state.get("data"))
        # another number of threads adds up in another order
        torch.set_num_threads(checkpoint.state["threads"])
        self.trainer.load(checkpoint.model, checkpoint.state, checkpoint.step, checkpoint.seconds)
        self.best = checkpoint.state["best"]
        self.losses = checkpoint.state.get("losses", {})
        self.rows = _read_metrics(self.folder / METRICS, checkpoint.step)
        self.console.print(f"going on from step {checkpoint.step}")

    def _require_same_data(self, before: dict[str, Any] | None) -> None:
        """Raises FramesError for other data than those of the checkpoint. Older ones do not say what theirs were."""
        changed = data_difference(before, self.fingerprint) if before is not None else None
        if changed is not None:
            raise FramesError(
                f"--resume: {self.folder / LAST} was made with other data: {changed}; restore the data, or train into "
                "another output folder"
            )

    def _compile(self) -> None:
        if not self.trainer.compiles:
            return
        start = time.perf_counter()
        with self.console.status("compiling the training step (about a minute; training.compile = false does without)"):
            try:
                self.trainer.compile()
            except RuntimeError as error:  # no C++ compiler, or one that the compilation does not get along with
                reason = _cause(error)
                if self.config.training.compile:
                    raise FramesError(f"training.compile = true: the compilation failed ({reason})") from None
                self.console.print(f"training goes on without compilation, which failed: {reason}")
                if self.trainer.step == 0:
                    torch.set_num_threads(self._threads(compiled=False))
                return
        training, spent = self.config.training, time.perf_counter() - start
        if training.clock == "wall" and self.trainer.step == 0:
            # on a busy machine it may take longer than all of the minutes, and something is to be learnt all the same
            self.trainer.seconds += spent if training.minutes is None else min(spent, 30 * training.minutes)
        shapes = self.trainer.compiled.shapes if self.trainer.compiled else []
        padded = ", ".join(f"{shape.atoms} atoms and {shape.edges} edges" for shape in shapes)
        self.console.print(f"the training step was compiled in {spent:.0f} s, for {padded}")

    def _threads(self, *, compiled: bool) -> int:
        """As many as the configuration says, or the fastest number."""
        if self.config.training.threads is not None:
            return self.config.training.threads
        if self.workers.size > 1 or self.trainer.device.type == "cuda":
            return 1
        if compiled:
            # for several threads, sums over neighbours are compiled to atomic additions, which take more time than
            # the other threads save (benchmarks/training/table.md)
            self.console.print("threads for training: 1 (the fastest for a compiled step; torchrun uses more cores)")
            return 1
        return self._fastest_threads()

    def _fastest_threads(self) -> int:
        """One thread, or as many as PyTorch takes by itself: small batches only lose by several."""
        times = {}
        for threads in sorted({1, self._all_threads}):
            torch.set_num_threads(threads)
            times[threads] = self.trainer.time_gradient()
        best = min(times, key=lambda threads: times[threads])
        shown = ", ".join(f"{n}: {1e3 * t:.0f} ms" for n, t in times.items())
        self.console.print(f"threads for training: {best} (a gradient takes {shown})")
        return best

    def _train(self) -> None:
        """To the end. Raises FramesError after Ctrl-C, when the step, its validation and its checkpoint are done."""
        trainer, training = self.trainer, self.config.training
        clock = time.process_time if training.clock == "cpu" else time.perf_counter
        # the compilation took each process another time, by which their first learning rates would differ
        trainer.seconds = self.workers.from_first(trainer.seconds)
        with Interruption() as interruption, _progress(self.console) as progress:
            bar = progress.add_task("", total=training.steps, completed=trainer.step, errors="")  # None: not known yet
            rate = 0.0
            # at least one step, also where compiling took all of the minutes: there is a checkpoint to evaluate
            ended = bool(self.rows) and (trainer.progress >= 1.0 or self._stalled())
            while not ended:
                start = clock()
                for key, value in trainer.advance().items():
                    self.losses.setdefault(key, []).append(value)
                spent = clock() - start
                trainer.seconds = self.workers.from_first(trainer.seconds + spent)
                rate += (trainer.frames_per_step / max(spent, 1e-9) - rate) * (0.02 if rate else 1.0)
                ended = trainer.progress >= 1.0
                if trainer.step % training.validate_every == 0 or ended:
                    self._validate()
                    ended = ended or self._stalled()
                saved = trainer.step % training.checkpoint_every == 0 or ended
                if saved:
                    self._save(LAST)
                # The signal reaches several processes at different steps, or only one of them: the sum lets all of them
                # stop after the same one. torchrun kills what takes longer than its half minute; then last.pt stays
                # what it was.
                if self.workers.total(float(interruption.asked)) > 0:
                    self._stop(saved)
                # limited by minutes, the end comes sooner than the last step: show the nearer one
                total = min(training.most_steps, int(trainer.step / max(trainer.progress, 1e-9)))
                shown = f"{rate:.0f} frames/s  {self._status()}"
                progress.update(bar, completed=trainer.step, total=total, errors=shown)

    def _stop(self, saved: bool) -> NoReturn:
        if not saved:
            self._save(LAST)
        # torchrun ends the other processes when one has gone: none goes before the first has written
        self.workers.wait()
        raise FramesError(
            f"interrupted at step {self.trainer.step}; the state is in {self.folder / LAST}, go on with --resume"
        )

    def _stalled(self) -> bool:
        """Whether the validation error has not fallen for as many validations as the configuration has patience."""
        patience = self.config.training.patience
        return patience is not None and stalled(self.rows, patience)

    def _validate(self) -> None:
        trainer = self.trainer
        errors = trainer.errors(self.data.validation)
        row: dict[str, float] = {"step": trainer.step, "seconds": round(trainer.seconds, 3)}
        row.update({key: float(np.mean(values)) for key, values in self.losses.items()})
        self.losses = {}
        row[VALIDATION_FORCE] = errors["force_mae_mev_per_angstrom"]
        for key in ("energy_mae_mev", "virial_mae_mev_per_atom"):
            if key in errors:
                row[f"validation_{key}"] = errors[key]
        self.rows.append(row)
        if self.workers.first:
            _write_metrics(self.folder / METRICS, self.rows)
        if errors["force_mae_mev_per_angstrom"] < self.best:
            self.best = errors["force_mae_mev_per_angstrom"]
            self._save(BEST, validation=errors)

    def _save(self, name: str, **report: Any) -> None:
        trainer = self.trainer
        if not self.workers.first:
            return
        save_checkpoint(
            self.folder / name,
            Checkpoint(
                spec=trainer.spec,
                model={k: v.detach().cpu().clone() for k, v in trainer.potential.state_dict().items()},
                averaged=trainer.averaged_state(),
                config=self.raw,
                step=trainer.step,
                seconds=trainer.seconds,
                state={
                    **trainer.state(),
                    "best": self.best,
                    "losses": self.losses,
                    "threads": torch.get_num_threads(),
                    "data": self.fingerprint,
                },
                report={
                    **self.data.report,
                    "shortest_distances": trainer.shortest,
                    "seconds": trainer.seconds,
                    "step": trainer.step,
                    **report,
                },
                frame=self._test_frame(),
            ),
        )

    def _test_frame(self) -> dict[str, torch.Tensor]:
        run, i = self.data.trajectories[self.data.validation[0][0]], self.data.validation[0][1]
        cell = np.zeros((3, 3)) if run.cells is None else run.cells[i]
        return {
            "atomic_numbers": torch.as_tensor(np.array(run.atomic_numbers, np.int64)),
            "positions": torch.as_tensor(np.array(run.positions[i], np.float64)),
            "cell": torch.as_tensor(np.array(cell, np.float64)),
            "pbc": torch.as_tensor(np.array(run.pbc, bool)),
        }

    def _status(self) -> str:
        if not self.rows:
            return ""
        force = self.rows[-1][VALIDATION_FORCE]
        energy = self.rows[-1].get("validation_energy_mae_mev")
        return f"force {force:.1f} meV/Å" + (f", energy {energy:.1f} meV" if energy is not None else "")

    def _finish(self) -> dict[str, Any]:
        best = load_checkpoint(self.folder / BEST)
        report = {**best.report, "seconds": self.trainer.seconds, "steps_done": self.trainer.step}
        if self.data.test:
            potential = averaged_potential(best, self.trainer.store.dtype).to(self.trainer.device)
            sums = ErrorSums()
            for batch, result in predictions(potential, self.trainer.store, self.data.test):
                sums.add(result, batch)
            report["test"] = sums.errors()
        save_checkpoint(
            self.folder / BEST,
            Checkpoint(
                best.spec,
                best.model,
                best.averaged,
                best.config,
                best.step,
                best.seconds,
                best.state,
                report,
                best.frame,
            ),
        )
        try:
            plot_learning_curve(self.rows, self.folder / CURVE)
        except FramesError as error:  # the model is there
            self.console.print(f"[yellow]{error}", highlight=False)
        return report


def _cause(error: RuntimeError) -> str:
    """What a compilation failed of: the last error that its text names, which may be of another process."""
    text = str(error).strip()
    named = re.findall(r"^\s*([\w.]*(?:Error|Exception): \S.*)$", text, re.MULTILINE)
    return named[-1] if named else text.partition("\n")[0] or type(error).__name__


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[errors]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        refresh_per_second=2,
    )


def _write_metrics(path: Path, rows: list[dict[str, float]]) -> None:
    try:
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, COLUMNS, restval="")
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise FramesError(f"{path}: cannot be written ({error}); the last checkpoint is intact") from None


def _read_metrics(path: Path, last_step: int) -> list[dict[str, float]]:
    """Rows up to the step of the checkpoint; what came after it is computed again."""
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(stream)]
        return [{**row, "step": int(row["step"])} for row in rows if row["step"] <= last_step]
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise FramesError(
            f"{path}: damaged ({type(error).__name__}: {error}); move it away to go on without the earlier rows"
        ) from None


def _first_difference(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> str:
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key):
            if isinstance(old.get(key), dict) and isinstance(new.get(key), dict):
                return _first_difference(old[key], new[key], f"{prefix}{key}.")
            return f"{prefix}{key}: it was {old.get(key)!r}, now it is {new.get(key)!r}"
    return "nothing"
