"""What pair_style frames says to wrong input: one message that helps, an exit status, and no run that hangs."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from frames.lammps import PLUGIN, plugin_folder

pytest.importorskip("torch")

import torch
from lammps_run import PROGRAMS, TIMEOUT, Run, deck, lammps_version, require_lammps, run_deck, write_data
from lammps_systems import TYPES, crystal, ethanol, jittered
from toy_potential import ToyModel, write_toy_model

TORCHSCRIPT = "libframes_torchscript.so"
ADDRESS_SPACE = 1_400_000  # kB; see test_out_of_memory_on_one_rank


@pytest.fixture(scope="module", autouse=True)
def lammps() -> None:
    require_lammps()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ToyModel:
    return write_toy_model(tmp_path_factory.mktemp("errors") / "toy.pt")


def refusal(folder: Path, text: str, atoms: Atoms | None = None, ranks: int = 1) -> str:
    """Runs a deck that must fail, and returns its error message."""
    write_data(folder / "system.data", atoms or ethanol(), TYPES)
    run = run_deck(folder, text, ranks)
    assert run.status != 0, run.output
    return error_of(run)


def error_of(run: Run) -> str:
    errors = [line for line in run.output.splitlines() if line.startswith("ERROR")]
    assert errors, run.output
    return errors[0]


def plugin() -> Path:
    """The compiled plugin that `lmp` loads."""
    folders = [plugin_folder(), *os.environ.get("LAMMPS_PLUGIN_PATH", "").split(":")]
    return next(path for folder in folders if (path := Path(folder) / PLUGIN).is_file())


PLACE = "thermo_style custom"  # where a command is put before
DECKS = {
    # what is wrong: (text of the deck that is replaced, replacement, what the message says)
    "units": ("units metal", "units lj", ["units lj", "metal or real"]),
    "electron": ("units metal", "units electron", ["units electron", "metal or real"]),
    "missing element": ("O C H", "O C", ["2 element(s) for 3 atom type(s)", "one chemical symbol per atom type"]),
    "too many elements": ("O C H", "O C H H", ["4 element(s) for 3 atom type(s)"]),
    "no elements": (" O C H", "", ["expected: pair_coeff * * FILE"]),
    "unknown element": ("O C H", "O Si H", ["element Si of atom type 2", "which knows C H O"]),
    "no element at all": ("O C H", "O carbon H", ["element carbon of atom type 2", "which knows C H O"]),
    "not capitalised": ("O C H", "o C H", ["element o of atom type 1"]),
    "null without hybrid": ("O C H", "O NULL H", ["atom type 2 is NULL", "pair_style hybrid"]),
    "one type": ("pair_coeff * *", "pair_coeff 1 1", ["must start with * *"]),
    "keyword": ("style frames", "style frames gpu yes", ["unknown keyword gpu", "expected backend, device, threshold"]),
    "no value": ("style frames", "style frames device", ["keyword device has no value"]),
    "device": ("style frames", "style frames device tpu", ["device tpu", "expected cpu or cuda"]),
    "backend": ("style frames", "style frames backend onnx", ["backend onnx", "torchscript"]),
    "no model": ("pair_coeff", "# pair_coeff", ["All pair coeffs are not set"]),
    "native": ("style frames", "style frames backend native", ["native"]),
    "threshold no number": ("style frames", "style frames threshold big", ["threshold has value big", "a number"]),
    "threshold negative": ("style frames", "style frames threshold -0.1", ["threshold has value -0.1", "above 0"]),
    "every zero": ("style frames", "style frames threshold 1 every 0", ["every has value 0", "at least 1"]),
    "every fraction": ("style frames", "style frames threshold 1 every 2.5", ["every has value 2.5", "at least 1"]),
    "stop": ("style frames", "style frames threshold 1 stop now", ["stop has value now", "yes or no"]),
    "save alone": ("style frames", "style frames save a.xyz", ["save, stop and every belong to keyword threshold"]),
    "two files": ("O C H", "other.pt O C", ["2 element(s) for 3 atom type(s)"]),
    "member missing": ("O C H", "other.pt O C H", ["other.pt: no such model file"]),
    "argument of a compute": (PLACE, "compute d all frames/deviation 3\n", ["frames/deviation: takes no arguments"]),
    "no output": (PLACE, "compute d all frames/atom\n", ["frames/atom: expected one or more of energy"]),
    "unknown output": (PLACE, "compute d all frames/atom charge\n", ["unknown output charge", "or nearest"]),
    "other style": (
        PLACE,
        "compute d all frames/atom energy\npair_style zero 4.0\npair_coeff * *\n",
        ["needs pair_style frames"],
    ),
    "pairs of its types to another style": (
        PLACE,
        "pair_style hybrid frames zero 4.0\npair_coeff * * frames MODEL O C H\npair_coeff 1 3 zero\nrun 0\n",
        ["pair_coeff gives atom types 1 3 to another style", "count twice", "leave out the pair_coeff of 1 3"],
    ),
    "the same between two runs": (
        PLACE,
        "pair_style hybrid frames zero 4.0\npair_coeff * * frames MODEL O C NULL\npair_coeff * 3 zero\nrun 0\n"
        "pair_coeff 2 2 zero\nrun 0\n",
        ["pair_coeff gives atom types 2 2 to another style"],
    ),
    "not computed": (
        PLACE,
        "compute d all frames/atom energy\ncompute s all reduce sum c_d\nrun 0\npair_style frames\n"
        "pair_coeff * * MODEL O C H\nprint $(c_s)\n",
        ["forces of step 0 were not computed", "use it during a run"],
    ),
}


@pytest.mark.parametrize("case", list(DECKS))
def test_wrong_decks(tmp_path: Path, model: ToyModel, case: str) -> None:
    old, new, expected = DECKS[case]
    text = deck(ethanol(), model.path, TYPES)
    assert old in text
    message = refusal(
        tmp_path, text.replace(old, new.replace("MODEL", str(model.path)) + old if old == PLACE else new, 1)
    )
    for part in expected:
        assert part in message


def test_cuda_without_a_gpu(tmp_path: Path, model: ToyModel) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    message = refusal(tmp_path, deck(ethanol(), model.path, TYPES, style="frames device cuda"))
    assert "device cuda" in message
    assert "use device cpu" in message


def test_missing_model(tmp_path: Path) -> None:
    message = refusal(tmp_path, deck(ethanol(), "nowhere.pt", TYPES))
    assert "nowhere.pt: no such model file" in message
    assert "frames export" in message


@pytest.mark.parametrize("kept", [0, 10, 0.3, 0.9, -1])
def test_truncated_model(tmp_path: Path, model: ToyModel, kept: float) -> None:
    data = model.path.read_bytes()
    size = int(kept * len(data)) if 0 < kept < 1 else int(kept)
    (tmp_path / "short.pt").write_bytes(data[:size])
    message = refusal(tmp_path, deck(ethanol(), "short.pt", TYPES))
    assert "short.pt: not a readable model file" in message
    assert "truncated" in message


def rewritten(model: ToyModel, path: Path, name: str, change: bytes | None) -> Path:
    """A copy of a model file with one entry replaced, or left out."""
    with zipfile.ZipFile(model.path) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename.endswith(name):
                if change is None:
                    continue
                data = change
            new.writestr(entry.filename, data)
    return path


def metadata(model: ToyModel, old: str, new: str) -> bytes:
    with zipfile.ZipFile(model.path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/frames.json"))
        text = archive.read(name).decode()
    assert old in text
    return text.replace(old, new, 1).encode()


def test_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("not a model\n" * 1000)
    assert "text.pt: not a readable model file" in refusal(tmp_path, deck(ethanol(), "text.pt", TYPES))
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(tmp_path / "other.pt"))
    message = refusal(tmp_path, deck(ethanol(), "other.pt", TYPES))
    assert "it holds no frames.json" in message
    assert "frames export" in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"format_version": 1', '"format_version": 7', "format version 7, this program reads version 1"),
        ('"frames-model"', '"other-model"', "expected \"frames-model\""),
        ('"cutoff": 4.0', '"cutoff": -4.0', "cutoff: expected a length"),
        ('"cutoff": 4.0', '"cutof": 4.0', "cutoff: missing"),
        ('"angstrom"', '"bohr"', "length in bohr"),
        ('"float64"', '"float16"', "dtype: expected"),
        ('{', '{{', "not valid JSON at byte 1"),
    ],
)  # fmt: skip
def test_wrong_metadata(tmp_path: Path, model: ToyModel, old: str, new: str, expected: str) -> None:
    rewritten(model, tmp_path / "changed.pt", "frames.json", metadata(model, old, new))
    message = refusal(tmp_path, deck(ethanol(), "changed.pt", TYPES))
    assert "changed.pt: frames.json: " in message
    assert expected in message
    assert "export the model again" in message


def test_damaged_entry(tmp_path: Path, model: ToyModel) -> None:
    data = bytearray(model.path.read_bytes())
    at = data.index(b"frames-model")
    data[at] ^= 1
    (tmp_path / "damaged.pt").write_bytes(data)
    assert "frames.json does not match its checksum" in refusal(tmp_path, deck(ethanol(), "damaged.pt", TYPES))


@pytest.mark.parametrize("what", ["energy", "forces", "virial"])
def test_model_that_does_not_reproduce_its_test_frame(tmp_path: Path, what: str) -> None:
    changes = {
        "energy": lambda frame: replace(frame, energy=frame.energy + 1e-3),
        "forces": lambda frame: replace(frame, forces=frame.forces + 1e-5 * np.eye(6, 3)),
        "virial": lambda frame: replace(frame, virial=frame.virial * 1.0001),
    }
    write_toy_model(tmp_path / "altered.pt", alter=changes[what])
    message = refusal(tmp_path, deck(ethanol(), "altered.pt", TYPES))
    assert "does not reproduce the stored test frame" in message
    assert {"energy": "energy", "forces": "a force", "virial": "the virial"}[what] in message


def test_missing_test_frame(tmp_path: Path, model: ToyModel) -> None:
    rewritten(model, tmp_path / "changed.pt", "test_frame.safetensors", None)
    assert "holds no test_frame.safetensors" in refusal(tmp_path, deck(ethanol(), "changed.pt", TYPES))


@pytest.mark.parametrize("ranks", [1, 2])
def test_atoms_on_top_of_each_other_stop_the_run(tmp_path: Path, model: ToyModel, ranks: int) -> None:
    atoms = ethanol()
    commands = "run 0\ngroup moved id 4\nset atom 4 x {} y {} z {}\nrun 0".format(*atoms.positions[6])
    message = refusal(tmp_path, deck(atoms, model.path, TYPES, commands=commands), ranks=ranks)
    assert "step 0: energy or forces are not finite at" in message
    assert "the closest are atoms 4 and 7, 0 A apart" in message or "atoms 7 and 4, 0 A apart" in message


def test_an_error_on_one_rank_stops_all(tmp_path: Path, model: ToyModel) -> None:
    """Only one rank finds its file broken: the others must not wait for it, and its message is what is said."""
    script = tmp_path / "half.sh"
    # each rank runs in a folder of its own, and only that of rank 1 holds a broken file
    for rank in (0, 1):
        folder = tmp_path / str(rank)
        folder.mkdir()
        write_data(folder / "system.data", ethanol(), TYPES)
        data = model.path.read_bytes()
        (folder / "model.pt").write_bytes(data if rank == 0 else data[:1000])
        (folder / "in.test").write_text(deck(ethanol(), "model.pt", TYPES))
    if not (PROGRAMS / "mpiexec").exists():
        pytest.skip("mpiexec is not installed in this environment")
    script.write_text(f'#!/bin/sh\ncd {tmp_path}/$PMI_RANK\nexec "{PROGRAMS}/lmp" -in in.test -log none\n')
    script.chmod(0o755)
    done = subprocess.run(
        [PROGRAMS / "mpiexec", "-n", "2", script], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode != 0
    assert "pair_style frames: rank 1: model.pt: not a readable model file" in done.stdout + done.stderr


def test_a_failure_in_the_middle_of_a_run_on_one_of_four_ranks(tmp_path: Path, native_models: dict[str, Path]) -> None:
    """The others wait for features of ghosts that will never come."""
    atoms = jittered((4, 4, 16), np.diag([10.0, 10.0, 40.0]), 4)
    write_data(tmp_path / "system.data", atoms, TYPES)
    first, second = np.flatnonzero((atoms.positions[:, 2] > 23) & (atoms.positions[:, 2] < 27))[:2]
    together = "x {} y {} z {}".format(*atoms.positions[second])
    moves = "\n".join(f"set atom {k + 1} {together}" for k in (first, second))
    commands = f"fix nve all nve\ntimestep 1e-6\nrun 2\n{moves}\nrun 2"
    text = deck(atoms, native_models["float64"], TYPES, before="processors 1 1 4", commands=commands)
    run = run_deck(tmp_path, text, 4)
    assert run.status != 0
    assert "on rank 2: pair_style frames: step 2: energy or forces are not finite" in run.output


@pytest.mark.parametrize("ranks", [1, 2])
def test_out_of_memory_on_one_rank(tmp_path: Path, native_models: dict[str, Path], ranks: int) -> None:
    """Room for LAMMPS' atoms, none for the model's features of them, on the last rank alone."""
    script = tmp_path / "lmp.sh"
    limit = f'[ "${{PMI_RANK:-0}}" = {ranks - 1} ] && ulimit -v {ADDRESS_SPACE}'
    script.write_text(f'#!/bin/sh\n{limit}\nexec "{PROGRAMS}/lmp" "$@"\n')
    script.chmod(0o755)
    copies = f"replicate {12 * ranks} 12 12"
    text = deck(crystal(), native_models["float64"], TYPES).replace("pair_style", f"{copies}\npair_style", 1)
    write_data(tmp_path / "system.data", crystal(), TYPES)
    run = run_deck(tmp_path, text, ranks, script)
    assert run.status != 0
    assert "pair_style frames: step 0: out of memory with " in run.output


def test_wide_ghost_shell_and_a_cutoff_for_each_type(tmp_path: Path, model: ToyModel) -> None:
    text = deck(ethanol(), model.path, TYPES, settings="neighbor 1.0 multi\ncomm_modify mode multi")
    assert "this model needs `comm_modify mode single`" in refusal(tmp_path, text, ranks=2)


def test_masses_that_do_not_fit_their_elements(tmp_path: Path, model: ToyModel) -> None:
    write_data(tmp_path / "system.data", ethanol(), TYPES)
    run = run_deck(tmp_path, deck(ethanol(), model.path, TYPES).replace("O C H", "C O H"))
    assert run.status == 0
    warnings = [line for line in run.output.splitlines() if "has mass" in line]
    assert len(warnings) == 2
    assert "atom type 1 is C but has mass 15.999" in warnings[0]
    assert "is the order of the elements in pair_coeff right?" in warnings[0]
    heavy = deck(ethanol(), model.path, TYPES).replace("pair_style", "mass 3 2.014\npair_style", 1)
    assert "atom type 3 is H but has mass 2.014" in run_deck(tmp_path, heavy).output


def run_patched(
    folder: Path, model: ToyModel, old: bytes, new: bytes, libraries: Sequence[str] = (PLUGIN, TORCHSCRIPT)
) -> Run:
    """Runs `lmp` with copies of the libraries, in the plugin one string replaced by another of the same length."""
    import lammps

    copies = folder / "frames" / "lib"
    copies.mkdir(parents=True)
    for library in libraries:
        shutil.copy(plugin().parent / library, copies)
    data = (copies / PLUGIN).read_bytes()
    assert old in data
    assert len(old) == len(new)
    (copies / PLUGIN).write_bytes(data.replace(old, new))
    write_data(folder / "system.data", ethanol(), TYPES)
    (folder / "in.test").write_text(deck(ethanol(), model.path, TYPES))
    # The program itself, since the script `lmp` would load the installed plugin first.
    program = Path(lammps.__file__).parent / "lmp"
    prefix = Path(lammps.__file__).parents[3]
    environment = {**os.environ, "LAMMPS_PLUGIN_PATH": str(copies), "LD_LIBRARY_PATH": str(prefix)}
    done = subprocess.run(
        [program, "-in", "in.test", "-log", "none"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return Run(done.returncode, done.stdout + done.stderr)


def test_model_that_needs_pytorch_where_there_is_no_backend_for_it(tmp_path: Path, model: ToyModel) -> None:
    run = run_patched(tmp_path, model, b"", b"", libraries=[PLUGIN])
    assert run.status != 0
    message = error_of(run)
    assert "the torchscript backend is not installed" in message
    assert "install PyTorch" in message
    assert "pip install --no-build-isolation" in message


def test_plugin_of_another_lammps(tmp_path: Path, model: ToyModel) -> None:
    version = lammps_version()
    run = run_patched(tmp_path, model, version.encode(), version.replace("20", "19").encode())
    assert run.status != 0
    message = error_of(run)
    assert f"built for LAMMPS {version.replace('20', '19')}, but this is LAMMPS {version}" in message


def test_backend_of_another_pytorch(tmp_path: Path, model: ToyModel) -> None:
    version = torch.__version__.split("+")[0]
    other = "0" + version[1:]
    run = run_patched(tmp_path, model, version.encode(), other.encode())
    assert run.status != 0
    message = error_of(run)
    assert f"built for PyTorch {other}" in message
    assert f"is PyTorch {version}" in message
