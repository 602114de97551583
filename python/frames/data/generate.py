"""Trajectories from quantum-chemical dynamics: relax, equilibrate, then constant energy with every step stored.

The production run is velocity Verlet without a thermostat, so that consecutive frames obey Newton's equation with the
stored forces to rounding, which the self-test shows and tasks that learn from motion need.

Frames go to numbered part files beside the output as they are made. Each part is complete or absent, and holds what
the next step needs, so that a run goes on after a kill with the very numbers that it would have had.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import frames
from frames.data.dynamics import Preparation, prepare, velocity_verlet
from frames.data.molecules import molecule
from frames.data.readers import hdf5
from frames.data.readers.options import ReadOptions
from frames.data.trajectory import Floats, Integers, Trajectory
from frames.data.xtb import METHODS, Xtb
from frames.errors import FramesError

FRAMES_PER_PART = 500
Progress = Callable[[str, int, int], None]
"""Called with what is being done, the steps done and the steps wanted."""
State = tuple[Floats, Floats, float, Floats]
"""Positions, velocities, energy and forces of one frame: all that the next step needs."""


@dataclass(frozen=True)
class Settings:
    """Everything that determines a generated trajectory."""

    molecule: str = "ethanol"
    """Name, G2 formula, or .xyz file."""
    method: str = "GFN2-xTB"
    steps: int = 6000
    """Stored frames, one per step."""
    time_step_fs: float = 0.5
    temperature_k: float = 500.0
    equilibration_steps: int = 1000
    friction_per_ps: float = 10.0
    """Of the Langevin thermostat during equilibration."""
    accuracy: float = 1.0
    """Of the self-consistent field, as tblite counts it: smaller is tighter."""
    seed: int = 0

    def check(self) -> None:
        """Raise FramesError for a value that cannot be used."""
        if self.method not in METHODS:
            raise FramesError(f"unknown method '{self.method}'; known are {', '.join(METHODS)}")
        for key in ("steps", "time_step_fs", "temperature_k", "friction_per_ps", "accuracy"):
            if not (np.isfinite(getattr(self, key)) and getattr(self, key) > 0):
                raise FramesError(f"{key} must be positive, got {getattr(self, key)}")
        if self.equilibration_steps < 0:
            raise FramesError(f"equilibration_steps must not be negative, got {self.equilibration_steps}")
        if self.seed < 0:
            raise FramesError(f"seed must not be negative, got {self.seed}")


def generate(settings: Settings, output: Path, progress: Progress | None = None) -> bool:
    """Make the trajectory and write it to `output`, going on from what an interrupted run has left.

    Returns:
        False if the file was there already and complete, with these settings.

    Raises:
        FramesError: for settings that cannot be used, files made with other settings, failures of the method, a disk
            that is full or cannot be written; and when interrupted. Finished parts stay.
    """
    settings.check()
    output = Path(output)
    if output.suffix not in (".h5", ".hdf5"):
        raise FramesError(f"{output}: generated trajectories are HDF5 files; give a name ending in .h5")
    numbers, geometry = molecule(settings.molecule)
    wanted = {**asdict(settings), "geometry": _fingerprint(numbers, geometry)}
    if output.exists():
        _check_same(output, _read(output).metadata, wanted)
        return False
    run = _Run(settings, wanted, numbers, _made(output.with_name(f"{output.name}.parts")), progress or _silent)
    try:
        run.start(geometry)
        run.finish()
    except KeyboardInterrupt:
        raise FramesError(f"interrupted; what is done is in {run.folder}, and the same command goes on") from None
    hdf5.write(output, [run.joined()])
    shutil.rmtree(run.folder)
    return True


class _Run:
    """The parts of one trajectory, made or found on the disk."""

    def __init__(
        self, settings: Settings, wanted: dict[str, Any], numbers: Integers, folder: Path, report: Progress
    ) -> None:
        from ase.data import atomic_masses

        self.settings, self.wanted, self.numbers = settings, wanted, numbers
        self.folder, self.report = folder, report
        self.masses = np.asarray(atomic_masses)[numbers]

    def parts(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.h5"))

    def start(self, geometry: Floats) -> None:
        """Make sure of the first part: one frame, the state at time zero."""
        found = self.parts()
        if found:
            _check_same(self.folder, _read(found[0]).metadata, self.wanted)
            return
        settings = self.settings
        self.report("equilibrating", 0, settings.steps)
        how = Preparation(
            method=settings.method,
            accuracy=settings.accuracy,
            temperature=settings.temperature_k,
            steps=settings.equilibration_steps,
            step=settings.time_step_fs,
            friction=settings.friction_per_ps,
            seed=settings.seed,
        )
        positions, velocities = prepare(how, self.numbers, geometry)
        energy, forces = self._potential(positions)(positions)
        self._write(0, 0.0, [(positions, velocities, energy, forces)])

    def finish(self) -> None:
        """Write the parts that are missing, from the last frame of the last one."""
        last = _read(self.parts()[-1])
        done = int(last.metadata["first_step"]) + len(last)
        state = _last_state(last)
        potential = self._potential(state[0])
        self.report("generating", done, self.settings.steps)
        while done < self.settings.steps:
            count = min(FRAMES_PER_PART, self.settings.steps - done)
            stored, seconds = [], 0.0
            for step in range(done, done + count):
                began = time.perf_counter()
                state = self._advance(potential, state, step)
                seconds += time.perf_counter() - began
                stored.append(state)
                self.report("generating", step + 1, self.settings.steps)
            self._write(done, seconds, stored)
            done += count

    def joined(self) -> Trajectory:
        """All parts as one trajectory."""
        parts = [_read(path) for path in self.parts()]
        seconds = sum(float(part.metadata["seconds"]) for part in parts)
        settings = self.settings
        arrays: dict[str, Any] = {
            key: np.concatenate([getattr(part, key) for part in parts])
            for key in ("positions", "energies", "forces", "velocities", "times")
        }
        measured = {
            "ms_per_step": 1000 * seconds / max(1, settings.steps - 1),
            "tblite_version": version("tblite"),
            "frames_version": frames.__version__,
        }
        return Trajectory(
            self.numbers,
            source=f"{settings.molecule}, {settings.method}, NVE at {settings.temperature_k:g} K, generated",
            notes=(f"generated with {settings.method}; every step of {settings.time_step_fs:g} fs is stored",),
            metadata={**self.wanted, **measured},
            **arrays,
        )

    def _potential(self, positions: Floats) -> Xtb:
        return Xtb(self.settings.method, self.numbers, positions, self.settings.accuracy)

    def _advance(self, potential: Xtb, state: State, step: int) -> State:
        positions, velocities, _, forces = state
        try:
            return velocity_verlet(potential, positions, velocities, forces, self.masses, self.settings.time_step_fs)
        except FramesError as error:
            raise FramesError(
                f"step {step} of {self.settings.steps}: {error}; what is done is in {self.folder}; a shorter time "
                "step may help"
            ) from error

    def _write(self, first: int, seconds: float, states: list[State]) -> None:
        positions, velocities, energies, forces = (np.array(values) for values in zip(*states, strict=True))
        times = np.arange(first, first + len(states), dtype=np.float64) * self.settings.time_step_fs
        part = Trajectory(
            self.numbers,
            positions,
            velocities=velocities,
            energies=energies,
            forces=forces,
            times=times,
            metadata={**self.wanted, "first_step": first, "seconds": seconds},
        )
        hdf5.write(self.folder / f"part-{first:09d}.h5", [part])


def _silent(stage: str, done: int, total: int) -> None:
    pass


def _last_state(part: Trajectory) -> State:
    if part.velocities is None or part.forces is None or part.energies is None:
        raise FramesError(f"{part.source}: not a part of a generated trajectory; delete it")
    return part.positions[-1], part.velocities[-1], float(part.energies[-1]), part.forces[-1]


def _check_same(path: Path, found: Any, wanted: dict[str, Any]) -> None:
    for key, value in wanted.items():
        if found.get(key) != value:
            raise FramesError(
                f"{path}: made with {key} = {found.get(key, 'unknown')}, and {value} is asked for; "
                "choose another output, or delete it"
            )


def _fingerprint(numbers: Integers, geometry: Floats) -> str:
    return hashlib.sha256(numbers.tobytes() + np.ascontiguousarray(geometry).tobytes()).hexdigest()[:16]


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FramesError(f"{folder}: cannot be made ({error.strerror})") from error
    return folder


def _read(path: Path) -> Trajectory:
    found = hdf5.read(path, ReadOptions())
    if len(found) != 1:
        raise FramesError(f"{path}: holds {len(found)} trajectories, expected the one that is generated here")
    return found[0]
