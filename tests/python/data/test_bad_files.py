"""Files that are missing, foreign, damaged or hostile: one clear message each, and no memory taken for them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from frames import FramesError
from frames.data import read
from frames.data.readers import hdf5
from frames.data.trajectory import Trajectory

GOOD: dict[str, Any] = {
    "R": np.random.default_rng(0).normal(size=(6, 2, 3)),
    "F": np.random.default_rng(1).normal(size=(6, 2, 3)),
    "E": np.arange(6.0),
    "z": np.array([1, 8]),
}


def _with_nan(name: str, frame: int) -> np.ndarray:
    values = GOOD[name].copy()
    values[frame] = np.nan
    return values


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"R": _with_nan("R", 4)}, "positions of frame 4 are not finite"),
        ({"F": _with_nan("F", 2)}, "forces of frame 2 are not finite"),
        ({"E": _with_nan("E", 0)}, "energies of frame 0 are not finite"),
        ({"F": GOOD["F"][:4]}, r"forces must have shape \[6,2,3\], got \[4, 2, 3\]"),
        ({"E": np.zeros((6, 2))}, r"energies must have shape \[6\], got \[6, 2\]"),
        ({"R": GOOD["R"][:, :, :2]}, r"positions must have shape \[T,N,3\], got \[6, 2, 2\]"),
        ({"z": np.array([1, 8, 8])}, r"atomic_numbers must have shape \[2\]"),
        ({"z": np.array([[1, 8]] * 5 + [[1, 6]])}, "frame 5 has other elements than frame 0"),
        ({"R": np.array(["a", "b"])}, "array 'R' must hold numbers, got <U1"),
        ({"R": np.zeros((0, 2, 3)), "F": np.zeros((0, 2, 3)), "E": np.zeros(0)}, "holds no frames"),
    ],
)
def test_bad_arrays(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "bad.npz"
    np.savez(path, **{**GOOD, **changes})
    with pytest.raises(FramesError, match=rf"bad\.npz: {message}"):
        read(path)


class _Bomb:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("unpickled"),))


def test_object_arrays_are_refused_and_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("bomb.npz", **{**GOOD, "F": np.array([_Bomb()] * 6, dtype=object)})
    with pytest.raises(FramesError, match=r"array 'F' holds Python objects, .* they can run code"):
        read("bomb.npz")
    # One that is not needed does no harm.
    np.savez("extra.npz", **GOOD, extra=np.array([_Bomb()], dtype=object))
    assert len(read("extra.npz")[0]) == 6
    assert not Path("unpickled").exists()


def _header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize("shape", [(10**9, 2, 3), (7, 2, 3), (2**62, 2, 3), (5, 2, 3)])
def test_header_that_promises_other_data_than_there_is(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "liar.npz"
    np.savez(path, **{key: value for key, value in GOOD.items() if key != "R"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("R.npy", _header(shape) + GOOD["R"].tobytes())
    with pytest.raises(FramesError, match=r"liar\.npz: array 'R' is not as long as its header says"):
        read(path)


def test_more_data_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.npz"
    np.savez(path, **{**GOOD, "R": np.zeros((200_000, 2, 3))})
    monkeypatch.setattr("frames.data.readers.options.memory_limit", lambda: 2**20)
    with pytest.raises(FramesError, match=r"large\.npz: needs 0\.0 GiB of memory and 0\.0 GiB may be used"):
        read(path)


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.95, 0.999])
def test_truncated_archive(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "whole.npz"
    np.savez_compressed(path, **GOOD)
    data = path.read_bytes()
    short = tmp_path / "short.npz"
    short.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(FramesError, match=r"short\.npz: not a NumPy \.npz file, or a truncated one"):
        read(short)


def test_flipped_bytes(tmp_path: Path) -> None:
    path = tmp_path / "flipped.npz"
    np.savez(path, **GOOD)
    data = bytearray(path.read_bytes())
    place = data.find(GOOD["F"].tobytes()) + 50
    data[place] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(FramesError, match=r"flipped\.npz: array 'F' is damaged or truncated .*CRC"):
        read(path)


def test_unknown_layout(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, x=np.zeros(3), y=np.zeros(3))
    with pytest.raises(FramesError, match=r"holds the arrays x, y, which is no known layout; .*rMD17: coords"):
        read(path)


def test_bad_old_indices(tmp_path: Path) -> None:
    path = tmp_path / "rmd17.npz"
    arrays = {"nuclear_charges": GOOD["z"], "coords": GOOD["R"], "energies": GOOD["E"], "forces": GOOD["F"]}
    np.savez(path, **arrays, old_indices=np.arange(5))
    with pytest.raises(FramesError, match="'old_indices' must be 6 integers"):
        read(path)
    np.savez(path, **{**arrays, "forces": GOOD["F"][:5]}, old_indices=np.arange(6))
    with pytest.raises(FramesError, match="5 forces for 6 frames"):
        read(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.npz", None, r"missing\.npz: no such file"),
        ("empty.npz", b"", r"empty\.npz: the file is empty"),
        ("text.npz", b"no archive at all", r"text\.npz: not a NumPy \.npz file"),
        ("text.h5", b"no archive at all", r"text\.h5: not an HDF5 file"),
        ("text.db", b"no database at all", r"text\.db: not an SQLite database"),
        ("cut.db", b"SQLite format 3\x00" + b"\x00" * 20, r"cut\.db: a damaged or truncated database"),
        ("what.ever", b"\x00\x01\x02", r"what\.ever: not a file of a known format"),
        ("bad.xyz", b"3\nwater\nO 0 0 0\nH 1 0\n", r"bad\.xyz: ASE cannot read it as"),
        ("words.xyz", b"2\n\nH 0 0 zero\nH 0 0 1\n", r"words\.xyz: ASE cannot read it as"),
    ],
)
def test_missing_and_foreign_files(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FramesError, match=message):
        read(path)


def test_xyz_with_nan(tmp_path: Path) -> None:
    path = tmp_path / "nan.xyz"
    path.write_text("1\nProperties=species:S:1:pos:R:3 energy=-1.0\nH 0 0 0\n1\n\nH nan 0 0\n")
    with pytest.raises(FramesError, match=r"nan\.xyz: "):
        read(path)


def test_statements_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "good.npz"
    np.savez(path, **GOOD)
    with pytest.raises(FramesError, match="unknown unit 'furlong'; known units"):
        read(path, units="furlong")
    with pytest.raises(FramesError, match=r"time step must be a positive number of fs, got -1"):
        read(path, time_step=-1)
    with pytest.raises(FramesError, match=r"a topology belongs to \.dcd"):
        read(path, topology="top.pdb")
    with pytest.raises(FramesError, match=r"a folder without type\.raw"):
        read(tmp_path)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "stored.h5"
    hdf5.write(path, [Trajectory(GOOD["z"], GOOD["R"], forces=GOOD["F"], energies=GOOD["E"])])
    return path


def _reversioned(file: Any) -> None:
    file.attrs["format_version"] = 99


def _without_positions(file: Any) -> None:
    del file["trajectory_00000/positions"]


def _strings_for_energies(file: Any) -> None:
    del file["trajectory_00000/energies"]
    file["trajectory_00000/energies"] = np.array([b"a"] * 6)


def _without_boundaries(file: Any) -> None:
    del file["trajectory_00000"].attrs["pbc"]


def _bad_notes(file: Any) -> None:
    file["trajectory_00000"].attrs["notes"] = "{"


def _huge(file: Any) -> None:
    del file["trajectory_00000/positions"]
    file["trajectory_00000"].create_dataset("positions", shape=(10**9, 1000, 3), dtype="f8", chunks=(1000, 10, 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.attrs.__delitem__("format"), "neither of this program nor of MDTraj"),
        (_reversioned, r"format version 99, and this program reads version 1; update"),
        (_without_positions, "lacks positions"),
        (_strings_for_energies, "energies' must hold numbers"),
        (_without_boundaries, "damaged or truncated"),
        (_bad_notes, "damaged or truncated"),
        (_huge, "GiB of memory"),
    ],
)
def test_damaged_hdf5(stored: Path, change: Any, message: str) -> None:
    with h5py.File(stored, "r+") as file:
        change(file)
    with pytest.raises(FramesError, match=rf"stored\.h5: .*{message}"):
        read(stored)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_truncated_hdf5(stored: Path, kept: float) -> None:
    data = stored.read_bytes()
    stored.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(FramesError, match=r"stored\.h5: (not an HDF5 file, or a truncated one|damaged or truncated)"):
        read(stored)


def test_hdf5_units_cannot_be_overridden(stored: Path) -> None:
    with pytest.raises(FramesError, match="states its units"):
        read(stored, units="kcal/mol")


def test_unwritable_places(tmp_path: Path) -> None:
    trajectory = Trajectory(GOOD["z"], GOOD["R"])
    (tmp_path / "file").touch()
    for folder in ("absent", "file"):
        with pytest.raises(FramesError, match=r"x\.h5: cannot be written, since .* is not a folder"):
            hdf5.write(tmp_path / folder / "x.h5", [trajectory])
