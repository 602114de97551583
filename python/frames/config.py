"""The training configuration: one TOML file, checked in full before anything runs."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from frames.errors import FramesError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

STEPS = 20000  # of a training of which nothing says how long it is


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DataSection(_Section):
    """Where the frames come from.

    Either `path`: one ordered trajectory that is split by time into train, validation and test blocks with a gap
    between them; or `train`, `validation` and, if wanted, `test`: files that somebody else has split.
    """

    path: str | None = None
    train: str | None = None
    validation: str | None = None
    test: str | None = None
    unlabelled: list[str] = []  # ordered trajectories that supply pairs without labels
    # with path: the training frames beyond `labelled` are used without labels; if not given, by the task auto alone
    unlabelled_rest: bool | None = None
    units: str | None = None  # overrides what the reader assumes, as "kcal/mol"
    time_step: float | None = Field(default=None, gt=0)  # fs, where the files of path and unlabelled do not say it
    validation_fraction: float = Field(default=0.1, gt=0, lt=0.5)
    test_fraction: float = Field(default=0.2, ge=0, lt=0.8)
    gap: int = Field(default=100, ge=0)  # frames left out between two blocks, and around held-out ones in `unlabelled`
    # labelled training frames, and frames of validation and test at most; all if not given. Of each trajectory with
    # `path`, of all together with `train`
    labelled: int | None = Field(default=None, ge=1)
    validation_frames: int | None = Field(default=None, ge=1)
    test_frames: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_way(self) -> DataSection:
        if (self.path is None) == (self.train is None):
            raise ValueError("give either path (split by time) or train and validation (split already)")
        if self.train is not None and self.validation is None:
            raise ValueError("train needs validation beside it")
        if self.path is not None and (self.validation or self.test):
            raise ValueError("validation and test belong to train; path is split by time")
        if self.unlabelled_rest and self.path is None:
            raise ValueError("unlabelled_rest belongs to path; name other trajectories in unlabelled")
        if self.path is None:
            for key in ("validation_fraction", "test_fraction"):
                if key in self.model_fields_set:
                    raise ValueError(f"{key} belongs to path, which is split by time; train is split already")
            if "gap" in self.model_fields_set and not self.unlabelled:
                raise ValueError("gap belongs to path or to unlabelled; train is split already")
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError(
                "validation_fraction and test_fraction leave no frames for training; their sum is 1 or more"
            )
        return self


class ModelSection(_Section):
    backbone: Literal["cartesian", "equiformer"] = "cartesian"
    preset: str | None = None
    cutoff: float = Field(default=5.0, gt=0, le=100)  # Å
    settings: dict[str, Any] = {}
    start: str | None = None  # checkpoint or model file to go on from with other data; the model is then that one


class AuxiliarySection(_Section):
    """What is learnt beside the labels (frames/training/auxiliary).

    "auto" is "newton" where the data allow it, and "none" elsewhere (frames/training/choice.py).

    With the schedule "decay", λaux(t) = weight · (1 − t/decay_end)² for t < decay_end, then 0; t runs from 0 to 1 over
    the training. With "constant" it is the weight throughout. Not given, weight and schedule are those of the task.
    """

    task: Literal["auto", "none", "frames", "shuffled", "gaussian", "single_frame", "dens", "newton"] = "auto"
    weight: float | None = Field(default=None, ge=0)
    schedule: Literal["decay", "constant"] | None = None
    decay_end: float = Field(default=0.8, gt=0, le=1)
    stride: int = Field(default=1, ge=1)  # time steps between successive frames of the task
    length: int = Field(default=1, ge=1, le=3)  # frames: T, displacements that are predicted at once
    targets: Literal["adjacent", "first"] = "adjacent"  # frames: between successive frames, or from the first
    longest: float | None = Field(default=None, gt=0)  # fs; frames: pairs of successive frames at uneven times
    noise: float | None = Field(default=None, gt=0)  # Å per component; gaussian and dens
    # newton: frames on each side; more where steps were left out. If not given, as comes nearest to stored forces
    reach: int | None = Field(default=None, ge=1, le=6)
    # newton: unlabelled frames of a batch, as a fraction; by their number, and at most 0.8, if not given
    share: float | None = Field(default=None, gt=0, lt=1)
    partner_labels: bool = False  # also use the labels of the partner frames

    @property
    def frames_on_each_side(self) -> int:
        """The reach, one if nothing has chosen another."""
        return self.reach or 1

    @model_validator(mode="after")
    def _belongs(self) -> AuxiliarySection:
        given = self.model_fields_set
        for key in ("stride", "partner_labels"):
            if key in given and self.task == "auto":
                raise ValueError(f"{key} belongs to a task that is named, and task is 'auto'")
        for key in ("stride", "partner_labels", "weight", "schedule", "decay_end"):
            if key in given and self.task == "none":
                raise ValueError(f"{key} belongs to a task, and task is 'none'")
        if "decay_end" in given and self.schedule == "constant":
            raise ValueError("decay_end belongs to schedule = 'decay', and schedule is 'constant'")
        if "decay_end" in given and self.schedule is None and self.task in ("auto", "newton"):
            raise ValueError(f"decay_end belongs to schedule = 'decay', which is not that of the task {self.task!r}")
        if {"stride", "noise"} <= given and self.task == "gaussian":
            raise ValueError("stride tells gaussian the size of its displacements, and so does noise; give one of them")
        for key, tasks in {
            "stride": ("frames", "gaussian", "newton"),
            "length": ("frames",),
            "targets": ("frames",),
            "longest": ("frames",),
            "noise": ("gaussian", "dens"),
            "reach": ("newton",),
            "share": ("newton",),
        }.items():
            if key in given and self.task not in tasks:
                raise ValueError(f"{key} belongs to the task {' or '.join(tasks)}, and task is {self.task!r}")
        if self.longest is not None and (self.length > 1 or self.stride > 1):
            raise ValueError("longest takes pairs as they follow each other; length and stride are 1 with it")
        return self


class TrainingSection(_Section):
    steps: int | None = Field(default=None, ge=1)  # 20000 if minutes are not given either
    minutes: float | None = Field(default=None, gt=0)  # ends, schedule included, after this time at the latest
    # of minutes; CPU time, without that of the compilation, makes trainings comparable on a busy machine
    clock: Literal["wall", "cpu"] = "wall"
    batch_size: int = Field(default=5, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)  # 3e-3 for cartesian, 5e-4 for equiformer
    optimizer: Literal["soap", "adamw"] | None = None  # soap for cartesian, adamw for equiformer
    warmup: float = Field(default=0.02, ge=0, lt=1)  # fraction of the training
    weight_decay: float = Field(default=0.0, ge=0)
    energy_weight: float = Field(default=1.0, ge=0)
    force_weight: float = Field(default=1.0, ge=0)
    virial_weight: float = Field(default=0.0, ge=0)
    balance: bool = False  # divide each loss by the spread of its labels, so that weights of 1 are even
    patience: int | None = Field(default=None, ge=1)  # end after so many validations without a lower force error
    clip_gradient: float = Field(default=10.0, gt=0)
    ema: float = Field(default=0.999, ge=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**63)
    dtype: Literal["float32", "float64"] = "float32"
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int | None = Field(default=None, ge=1)  # if not given: one if compiled, else the faster of one and all
    compile: bool | None = None  # compile the training step; if not given, where it pays (from 4000 steps)
    validate_every: int = Field(default=500, ge=1)  # steps
    checkpoint_every: int = Field(default=500, ge=1)  # steps

    @property
    def most_steps(self) -> float:
        """Steps after which the training ends; infinite where minutes alone say when."""
        if self.steps is not None:
            return self.steps
        return STEPS if self.minutes is None else math.inf


class Config(_Section):
    output: str  # folder, relative to the configuration file
    data: DataSection
    model: ModelSection = ModelSection()
    auxiliary: AuxiliarySection = AuxiliarySection()
    training: TrainingSection = TrainingSection()

    @model_validator(mode="after")
    def _time_step_is_used(self) -> Config:
        data = self.data
        if data.time_step is not None and data.train and not data.unlabelled and self.auxiliary.task != "newton":
            raise ValueError(
                "data.time_step belongs to path, to unlabelled, or to the task 'newton'; the frames of train need "
                "times in their file to be consecutive (frames data convert --time-step writes them)"
            )
        return self


def load_config(path: str | Path) -> tuple[Config, dict[str, Any]]:
    """Reads a TOML configuration; paths in it are taken relative to its folder.

    Returns the checked configuration, paths made absolute, and the raw table as written.
    Raises FramesError with the key, the value given and what was expected.
    """
    path = Path(path)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FramesError(f"{path}: no such configuration file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FramesError(f"{path}: cannot be read ({error})") from None
    except tomllib.TOMLDecodeError as error:
        raise FramesError(f"{path}: not valid TOML: {error}") from None
    config = parse_config(raw, str(path))
    folder = path.resolve().parent
    data = config.data.model_dump(exclude_unset=True)
    for key in ("path", "train", "validation", "test"):
        if data.get(key) is not None:
            data[key] = _existing(folder, data[key], f"{path}: data.{key}")
    if "unlabelled" in data:
        data["unlabelled"] = [_existing(folder, p, f"{path}: data.unlabelled") for p in data["unlabelled"]]
    update: dict[str, Any] = {"data": DataSection.model_validate(data), "output": str(folder / config.output)}
    if config.model.start is not None:
        start = _existing(folder, config.model.start, f"{path}: model.start")
        update["model"] = config.model.model_copy(update={"start": start})
    return config.model_copy(update=update), raw


def parse_config(raw: dict[str, Any], source: str) -> Config:
    """Checks a table as read from TOML. Raises FramesError naming the first wrong key."""
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "configuration"
        if first["type"] == "extra_forbidden":
            raise FramesError(f"{source}: unknown key {key}; {_known(first['loc'])}") from None
        if first["type"] == "missing":
            raise FramesError(f"{source}: key {key} is missing") from None
        reason = first["msg"].removeprefix("Value error, ")
        raise FramesError(f"{source}: {key} = {first['input']!r}: {reason}") from None


def _existing(folder: Path, given: str, key: str) -> str:
    found = folder / given
    if not found.exists():
        raise FramesError(f"{key} = {given!r}: no such file ({found})")
    return str(found)


def _known(loc: tuple[int | str, ...]) -> str:
    section: type[BaseModel] = Config
    for part in loc[:-1]:
        annotation = section.model_fields[str(part)].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            section = annotation
    return "known here are " + ", ".join(section.model_fields)
