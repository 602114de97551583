"""Arms and slices: which trainings the study consists of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from systems import BY_NAME, OUT, SYSTEMS, System, as_name

from frames.bench import processor


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        auxiliary: the [auxiliary] table.
        rest: unlabelled frames of the training block are used too.
        label_factor: labels beyond those of the other arms.
        motion, ordered, bare: what it asks of a system.
    """

    name: str
    auxiliary: dict[str, Any]
    rest: bool = False
    label_factor: float = 1.0
    motion: bool = False
    ordered: bool = False
    bare: bool = False

    def fits(self, system: System) -> bool:
        """Whether the system can be trained this way."""
        asks = (
            (self.motion, system.motion),
            (self.ordered, system.ordered),
            (self.bare, system.bare is not None),
        )
        return all(has for wanted, has in asks if wanted)


MAIN = (
    Arm("none", {"task": "none"}),
    Arm("frames", {"task": "frames"}),
    Arm("frames_unlabelled", {"task": "frames"}, rest=True, ordered=True),
    Arm("shuffled", {"task": "shuffled"}),
    Arm("gaussian", {"task": "gaussian"}),
    Arm("single_frame", {"task": "single_frame"}),
    Arm("dens", {"task": "dens"}),
    Arm("newton", {"task": "newton"}, rest=True, motion=True),
    Arm("more_labels", {"task": "none"}, label_factor=2.0),
)
LENGTHS = (
    Arm("frames_T2", {"task": "frames", "length": 2}, ordered=True),
    Arm("frames_T3", {"task": "frames", "length": 3}, ordered=True),
    Arm("frames_T2_first", {"task": "frames", "length": 2, "targets": "first"}, ordered=True),
    Arm("frames_T3_first", {"task": "frames", "length": 3, "targets": "first"}, ordered=True),
)
TRANSFER = Arm("transfer", {"task": "none"})
THREE_FRAMES = Arm("newton_reach1", {"task": "newton", "reach": 1}, rest=True, motion=True)
NEWTON_ONLY = Arm("newton_only", {"task": "newton"}, motion=True, bare=True)
ARMS = {arm.name: arm for arm in (*MAIN, *LENGTHS, TRANSFER, THREE_FRAMES, NEWTON_ONLY)}
STEPS = 5000  # of trainings that are compared at equal steps; they differ in time
PAIRS = ("none", "frames", "shuffled", "gaussian", "dens")  # those that are compared so
# lost, and were removed, or are left to data that allow no better; their rows are kept
GONE = ("latent", "force_difference", "conservation", "curriculum", "newton_central")

SMALL = {"backbone": "cartesian", "settings": {"channels": 32, "layers": 2}}
EQUIFORMER = {
    "backbone": "equiformer",
    "settings": {
        "node_irreps": "32x0e+16x1e+8x2e",
        "head_irreps": "8x0e+4x1e+2x2e",
        "mlp_irreps": "64x0e+32x1e+16x2e",
        "feature_scalars": 64,
        "feature_vectors": 16,
        "layers": 2,
    },
}


@dataclass(frozen=True)
class Job:
    """One training; with `start`, from the model of another one, at the tenth part of the learning rate. It ends after
    so many minutes, or with 0 after `STEPS` steps."""

    system: System
    arm: Arm
    labels: int
    seed: int
    minutes: float
    model: dict[str, Any] = field(default_factory=lambda: SMALL)
    start: Job | None = None

    @property
    def key(self) -> tuple[str, str, str, int, int, float, str]:
        """What makes it different from the others: where it is trained, too, since its length is a time."""
        what = self.system.name, self.model["backbone"], self.arm.name, self.labels, self.seed, self.minutes
        return *what, processor()

    @property
    def name(self) -> str:
        system, backbone, arm, labels, seed, minutes, _ = self.key
        return f"{system}-{backbone}-{arm}-{labels}-seed{seed}-{length(minutes)}"

    @property
    def folder(self) -> Path:
        return OUT / "runs" / as_name(processor()) / self.name

    def config(self) -> dict[str, Any]:
        """The configuration of the training, as it is written to TOML."""
        if self.arm.bare:
            assert self.system.bare is not None
            data = self.system.bare()
        else:
            data = self.system.table(max(1, round(self.labels * self.arm.label_factor)))
        if self.arm.rest and "path" in data:
            data["unlabelled_rest"] = True
        if self.arm.auxiliary["task"] == "none":
            data.pop("unlabelled", None)
        auxiliary = dict(self.arm.auxiliary)
        if self.system.uneven and auxiliary["task"] == "frames" and "length" not in auxiliary:
            auxiliary["longest"] = self.system.uneven
        training = {
            **({"minutes": self.minutes, "steps": 10_000_000} if self.minutes else {"steps": STEPS}),
            "clock": "cpu",  # so that two trainings at once, or somebody else's work, change nothing
            "seed": self.seed,
            "threads": 1,
            "compile": self.model["backbone"] == "cartesian",  # whose time the CPU clock leaves out
            "validate_every": 250,
            "checkpoint_every": 250,
        }
        model = self.model
        if self.start is not None:
            model = {"start": str(self.start.folder / "run" / "best.pt")}
            training["learning_rate"] = 3e-4
        return {
            "output": str(self.folder / "run"),
            "data": data,
            "model": model,
            "auxiliary": auxiliary,
            "training": training,
        }


def length(minutes: float) -> str:
    """How long a training is, as part of a file name."""
    return f"{minutes:g}min" if minutes else f"{STEPS}steps"


SLICES = ("main", "budgets", "lengths", "steps", "equiformer", "newton", "reach", "transfer", "aimd")


def jobs(which: str, seeds: int, minutes: float, systems: Sequence[str]) -> Iterator[Job]:
    """The trainings of a slice, one seed of everything before the next."""
    two = [name for name in ("ethanol", "chain") if name in systems]
    for seed in range(seeds):
        if which in ("main", "aimd"):
            for system in (BY_NAME[name] for name in systems):
                if system.part == which:
                    yield from (Job(system, arm, 300, seed, minutes) for arm in MAIN if arm.fits(system))
        elif which == "steps":
            for system in (BY_NAME[name] for name in ("md17_ethanol", "ethanol", "md17_aspirin") if name in systems):
                yield from (Job(system, ARMS[arm], 300, seed, 0.0) for arm in PAIRS)
        elif which == "reach":  # frames that lie several steps apart, as most runs are stored
            for system in (BY_NAME[name] for name in systems if BY_NAME[name].part == "reach"):
                for labels in (100, 300):
                    arms = ARMS["none"], ARMS["newton"], THREE_FRAMES
                    yield from (Job(system, arm, labels, seed, minutes) for arm in arms)
        elif which == "transfer" and "lips20_beta_Li3PS4" in systems:
            # what the binary compounds teach a model of the ternary one, which has few labels
            binary = Job(BY_NAME["lips20_binary"], ARMS["none"], 600, seed, 5 * minutes)
            for labels in (30, 100):
                ternary = Job(BY_NAME["lips20_beta_Li3PS4"], ARMS["none"], labels, seed, minutes)
                yield from (ternary, replace(ternary, arm=TRANSFER, start=binary))
        for name in two:
            system = BY_NAME[name]
            if which == "budgets":
                yield from (Job(system, arm, n, seed, minutes) for n in (100, 950) for arm in MAIN if arm.fits(system))
            elif which == "lengths":
                yield from (Job(system, arm, 300, seed, minutes) for arm in LENGTHS)
            elif which == "equiformer":
                # slower per step, so it gets more time
                yield from (Job(system, arm, 300, seed, 5 * minutes, EQUIFORMER) for arm in MAIN if arm.fits(system))
            elif which == "newton":
                yield Job(system, ARMS["newton"], 100, seed, minutes)
                yield Job(system, ARMS["none"], 100, seed, minutes)
                yield Job(system, ARMS["none"], 950, seed, minutes)
                yield Job(system, NEWTON_ONLY, 0, seed, minutes)


def all_systems() -> list[str]:
    """Names, in the order in which they are run."""
    return [system.name for system in SYSTEMS]
