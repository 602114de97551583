"""The systems of the study: where their frames come from, and the [data] table of a training with so many labels."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from toys import write_chain, write_cluster

from frames.data import Trajectory, read
from frames.data.duplicates import find_duplicates
from frames.data.generate import Settings, generate
from frames.data.readers import hdf5
from frames.data.splits import split_by_time
from frames.units import conversion

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
DATA = OUT / "data"
SHARED = Path(os.environ.get("FRAMES_SHARED_DATA", HERE.parents[2] / "shared" / "data"))
GAP = 100  # frames between blocks, of generated trajectories
SPLIT = "ten segments in a row, each in time blocks, {gap} frames between all of them"
SEGMENTS = 10  # of a generated trajectory, each with a block for training, validation and test
UNKNOWN = 8  # isomers that training never sees


class Missing(Exception):
    """A system cannot be had here; the text says why."""


@dataclass(frozen=True)
class System:
    """One row of the tables.

    Attributes:
        prepare: makes its files where they are absent; raises Missing.
        table: the [data] table for a number of labels.
        motion: every step of dynamics from which forces follow; thermostats that scale velocities are allowed.
        ordered: labelled frames have partners of their own; otherwise pairs come from another trajectory.
        uneven: fs; frames follow each other at uneven times up to this.
        bare: the [data] table without any force label, if there is one.
        elsewhere: scored too: files of molecules that training never saw, by the name of their row.
        part: the slice of the study that trains on it with all arms.
    """

    name: str
    title: str
    split: str
    prepare: Callable[[], None]
    table: Callable[[int], dict[str, Any]]
    motion: bool = False
    ordered: bool = True
    uneven: float | None = None
    bare: Callable[[], dict[str, Any]] | None = None
    elsewhere: tuple[tuple[str, str], ...] = ()
    part: str = "main"


def as_name(text: str) -> str:
    """What is left of a text in the name of a file or folder."""
    return "".join(filter(str.isalnum, text))


def by_time(name: str, runs: int = 1, **changes: Any) -> Callable[[int], dict[str, Any]]:
    """Ordered trajectories in blocks of time; labels and scored frames are shared out among the runs of a file."""

    def table(labels: int) -> dict[str, Any]:
        common = {"gap": GAP, "validation_frames": max(1, 100 // runs), "test_frames": max(1, 1000 // runs)}
        return {"path": str(DATA / f"{name}.h5"), "labelled": max(1, round(labels / runs)), **common, **changes}

    return table


def in_segments(name: str, gap: int = GAP) -> str:
    """Writes a trajectory in segments with gaps between them; the name of the new file.

    A run of ten picoseconds visits some conformers only once: ethanol is trans in the last eighth of its run alone, so
    a test block at the end would ask for what no label and no unlabelled frame shows.
    """
    (run,) = read(DATA / f"{name}.h5")
    bounds = np.linspace(0, len(run), SEGMENTS + 1).astype(int)
    parts = [run[start : end - gap] for start, end in pairwise(bounds)]
    once(DATA / f"{name}_segments.h5", lambda path: hdf5.write(path, parts))
    return f"{name}_segments"


def without_labels(name: str) -> Callable[[], dict[str, Any]]:
    """The same blocks as files, the training one without energies and forces."""

    def table() -> dict[str, Any]:
        files = {role: DATA / f"{name}_{role}.h5" for role in ("train", "validation", "test")}
        if not all(path.exists() for path in files.values()):
            parts: dict[str, list[Trajectory]] = {role: [] for role in files}
            for run in read(DATA / f"{name}.h5"):
                split = split_by_time(run, train=0.7, validation=0.1, test=0.2, gap=GAP)
                parts["train"].append(replace(run[split.train], energies=None, forces=None, velocities=None))
                for role, frames, count in (("validation", split.validation, 10), ("test", split.test, 100)):
                    parts[role].append(run[frames[np.linspace(0, len(frames) - 1, count).round().astype(int)]])
            for role, path in files.items():
                hdf5.write(path, parts[role], overwrite=True)
        return {role: str(path) for role, path in files.items()}

    return table


def once(path: Path, make: Callable[[Path], object]) -> None:
    """Makes a file that is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        print(f"making {path.name}", flush=True)
        make(path)


def generated(molecule: str, steps: int = 20_000, step: float = 0.5) -> Callable[[], None]:
    """GFN2-xTB dynamics at constant energy, every step stored."""

    def prepare() -> None:
        name = Path(molecule).stem
        settings = Settings(molecule=molecule, steps=steps, time_step_fs=step, temperature_k=500.0, seed=0)
        once(DATA / f"{name}.h5", lambda path: generate(settings, path))

    return prepare


def shared(*parts: str) -> Path:
    """A file of the reference data. Raises Missing where there is none."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        raise Missing(f"reference data not found: {path} (set FRAMES_SHARED_DATA to its folder `data`)")
    return path


def md17(molecule: str) -> System:
    """Random labelled frames of the original MD17, and its ordered beginning without labels."""
    names = {role: DATA / f"md17_{molecule}_{role}.h5" for role in ("train", "validation", "test", "chunk")}

    def prepare() -> None:
        if all(path.exists() for path in names.values()):
            return
        parts = {role: read(shared("md17", f"{molecule}_{role}.npz"))[0] for role in ("train", "val", "test")}
        chunk = read(shared("md17", f"{molecule}_test.npz"), time_step=0.5)[0]
        train = without_duplicates(parts["train"], [chunk, parts["val"]])
        if molecule == "ethanol":
            # whoever converted the training frames took 1 kcal/mol = 0.04336 eV
            factor = 0.04336 / conversion("kcal/mol", "eV")
            (test,) = read(shared("md17", "ethanol_2000random_kcal.xyz"), units="kcal/mol")
            assert test.energies is not None and test.forces is not None
            test = replace(test, energies=test.energies * factor, forces=test.forces * factor)
        else:
            train, test = train[:-300], train[-300:]
        test = without_duplicates(test, [train, parts["val"], chunk])
        DATA.mkdir(parents=True, exist_ok=True)
        for role, run in (("train", train), ("validation", parts["val"]), ("test", test)):
            hdf5.write(names[role], [replace(run, times=None)], overwrite=True)
        hdf5.write(names["chunk"], [replace(chunk, energies=None, forces=None)], overwrite=True)

    def table(labels: int) -> dict[str, Any]:
        roles = {role: str(names[role]) for role in ("train", "validation", "test")}
        return {**roles, "unlabelled": [str(names["chunk"])], "labelled": labels}

    scored = "the 2000 random frames without duplicates" if molecule == "ethanol" else "300 random frames"
    return System(
        f"md17_{molecule}",
        f"MD17 {molecule}",
        f"random labels; pairs from 1000 ordered frames; scored on {scored}",
        prepare,
        table,
        motion=True,
        ordered=False,
    )


def without_duplicates(run: Trajectory, others: list[Trajectory]) -> Trajectory:
    """The frames that none of the others holds."""
    twice = {int(i) for other in others for i, _ in find_duplicates(run, other)}
    return run[np.setdiff1d(np.arange(len(run)), sorted(twice))]


def isomers(known: bool = True) -> None:
    """At least 30 isomers of C7H10O2, 1 fs; geometries by RDKit, in an environment of its own."""
    folder, python = DATA / "isomers", OUT / "rdkit" / "bin" / "python"
    files = tuple(DATA / f"isomers{part}.h5" for part in ("", "_unknown", "_later"))
    if all(path.exists() for path in files):
        return
    if not list(folder.glob("*.xyz")):
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", OUT / "rdkit"], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "rdkit", "numpy"]
        if subprocess.run(pip, check=False).returncode:
            raise Missing("RDKit, which makes the geometries of the isomers, cannot be installed here")
        subprocess.run([python, HERE / "isomers.py", folder], check=True)
    runs = []
    for path in sorted(folder.glob("*.xyz")):
        target = path.with_suffix(".h5")
        settings = Settings(molecule=str(path), steps=2000, time_step_fs=1.0, temperature_k=500.0, seed=0)
        once(target, lambda out, settings=settings: generate(settings, out))
        runs += read(target)
    chosen = set(np.random.default_rng(0).choice(len(runs), UNKNOWN, replace=False).tolist())
    hdf5.write(files[0], [run for k, run in enumerate(runs) if k not in chosen], overwrite=True)
    hdf5.write(files[1], [run[::20] for k, run in enumerate(runs) if k in chosen], overwrite=True)
    # of the known ones what a split in blocks of time leaves for the test, to score models on that are trained
    hdf5.write(files[2], [run[1600::10] for k, run in enumerate(runs) if k not in chosen], overwrite=True)


def isomer_table(labels: int) -> dict[str, Any]:
    """Labels shared out evenly among the known molecules."""
    molecules = len(list((DATA / "isomers").glob("*.xyz"))) - UNKNOWN
    each = max(1, round(labels / molecules))
    common = {"gap": 50, "validation_frames": 5, "test_frames": 40}
    return {"path": str(DATA / "isomers.h5"), "labelled": each, **common}


def aimd(
    files: str | tuple[str, ...],
    name: str,
    title: str,
    *,
    motion: bool = True,
    gap: int = 20,
    part: str = "main",
) -> System:
    """Short plane-wave runs, every step stored; labels are shared out evenly among them."""
    files = (files,) if isinstance(files, str) else files

    def prepare() -> None:
        runs = [shared("aimd", file) for file in files]
        once(DATA / f"{name}.h5", lambda path: hdf5.write(path, [run for file in runs for run in read(file)]))

    def table(labels: int) -> dict[str, Any]:
        return by_time(name, gap=gap, test_frames=200)(max(1, round(labels / len(files))))

    split = f"time blocks, {gap} frames between them"
    return System(name, title, split, prepare, table, motion=motion, part=part)


def lips(folder: str) -> System:
    """LiPS20, thinned out unevenly; its times are reconstructed."""
    name = f"lips20_{folder.replace('-', '_')}"

    def make(path: Path) -> None:
        (run,) = read(shared("lips20", folder))
        times = np.load(shared("lips20", "frame_times.npz"))["t_fs_common"]
        hdf5.write(path, [replace(run, times=times[: len(run)])])

    return System(
        name,
        f"LiPS20 {folder}",
        "time blocks, 20 frames between them",
        lambda: once(DATA / f"{name}.h5", make),
        by_time(name, gap=20, test_frames=200),
        uneven=4.0,
    )


def lips_binary() -> System:
    """The two binary compounds of LiPS20 together, from which a model is transferred to the ternary one."""
    parts = [lips(folder) for folder in ("Li3P", "P2S5")]
    name = "lips20_binary"

    def prepare() -> None:
        for part in parts:
            part.prepare()
        runs = [DATA / f"{part.name}.h5" for part in parts]
        once(DATA / f"{name}.h5", lambda path: hdf5.write(path, [run for file in runs for run in read(file)]))

    def table(labels: int) -> dict[str, Any]:
        return by_time(name, gap=20, test_frames=100)(max(1, round(labels / len(parts))))

    return System(name, "LiPS20 Li3P and P2S5", parts[0].split, prepare, table, uneven=4.0, part="transfer")


def segmented(name: str, title: str, make: Callable[[], None]) -> System:
    """A generated run of 20,000 frames at constant energy, every step stored."""

    def prepare() -> None:
        make()
        in_segments(name)

    return System(
        name,
        title,
        SPLIT.format(gap=GAP),
        prepare,
        by_time(f"{name}_segments", SEGMENTS),
        motion=True,
        bare=without_labels(f"{name}_segments"),
    )


def toy(name: str, title: str, write: Callable[[Path], None]) -> System:
    """A trajectory with exact forces."""
    return segmented(name, title, lambda: once(DATA / f"{name}.h5", write))


def xtb(molecule: str) -> System:
    """20,000 frames of GFN2-xTB dynamics at 0.5 fs."""
    return segmented(molecule, f"{molecule}, GFN2-xTB", generated(molecule))


def thinned(molecule: str, every: int, title: str) -> System:
    """One frame of every few of a generated trajectory, as long runs are usually stored."""
    name, gap = f"{molecule}_every{every}", GAP // every

    def prepare() -> None:
        generated(molecule)()
        once(
            DATA / f"{name}.h5", lambda path: hdf5.write(path, [run[::every] for run in read(DATA / f"{molecule}.h5")])
        )
        in_segments(name, gap)

    table = by_time(f"{name}_segments", SEGMENTS, gap=gap)
    return System(name, title, SPLIT.format(gap=gap), prepare, table, motion=True, part="reach")


SYSTEMS = (
    toy("chain", "spring–mass chain", write_chain),
    xtb("ethanol"),
    toy("cluster", "Lennard-Jones cluster", write_cluster),
    xtb("malonaldehyde"),
    xtb("aspirin"),
    xtb("uracil"),
    md17("ethanol"),
    md17("aspirin"),
    System(
        "isomers",
        "isomers of C7H10O2, GFN2-xTB, known",
        "time blocks of every known molecule, 50 frames between them",
        isomers,
        isomer_table,
        motion=True,
        elsewhere=(("isomers_unknown", str(DATA / "isomers_unknown.h5")),),
    ),
    aimd("ethanol_300K.npz", "aimd_ethanol", "ethanol, plane waves, 300 K"),
    aimd("CH4_NVE_dpdata.npz", "aimd_methane", "methane, plane waves, NVE"),
    aimd("HC_mp-1096986_300K.npz", "aimd_hydrocarbon", "hydrocarbon crystal, Langevin, 300 K", motion=False),
    lips("Li3P"),
    lips("beta-Li3PS4"),
    lips("P2S5"),
    lips_binary(),
    thinned("ethanol", 2, "ethanol, GFN2-xTB, every 1 fs"),
    thinned("ethanol", 4, "ethanol, GFN2-xTB, every 2 fs"),
    aimd(
        tuple(f"CH4_{kelvin}K.npz" for kelvin in (300, 500, 1000)),
        "aimd_methane_hot",
        "methane, plane waves, 300–1000 K",
        part="aimd",
    ),
    aimd("EC_300K.npz", "aimd_carbonate", "ethylene carbonate, plane waves, 300 K", part="aimd"),
    aimd("LiGePS_1200K.npz", "aimd_electrolyte", "LiGePS, plane waves, 1200 K", gap=10, part="aimd"),
    aimd("Si64_50x10frames.npz", "aimd_silicon", "silicon, 50 runs of 10 frames", part="aimd"),
)
BY_NAME = {system.name: system for system in SYSTEMS}
