"""The model file: reading and describing it without PyTorch.

A model file is the zip archive that TorchScript writes, whose extra files hold `frames.json` (metadata),
`weights.safetensors` and `test_frame.safetensors`; ARCHITECTURE.md lists the entries. Nothing in this module executes
code from the file, and every size is checked against the archive before memory is taken.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from frames.errors import FramesError

FORMAT = "frames-model"
FORMAT_VERSION = 1
METADATA, WEIGHTS, TEST_FRAME = "frames.json", "weights.safetensors", "test_frame.safetensors"

# An entry larger than this is no part of a model that this package writes.
LARGEST_ENTRY = {METADATA: 4 << 20, WEIGHTS: 4 << 30, TEST_FRAME: 256 << 20}

Array = npt.NDArray[Any]


UNITS = {"length": "angstrom", "energy": "eV"}


class Metadata(BaseModel):
    """Contents of `frames.json`. Lengths in Å, energies in eV."""

    model_config = ConfigDict(extra="allow", frozen=True)

    format: Literal["frames-model"] = "frames-model"
    format_version: int = FORMAT_VERSION
    backbone: str
    backbone_settings: dict[str, Any]
    elements: list[int] = Field(min_length=1)
    cutoff: float = Field(gt=0)
    receptive_layers: int = Field(ge=1)
    units: dict[str, str] = UNITS
    dtype: Literal["float32", "float64"]
    energy_reference: list[FiniteFloat]
    energy_scale: FiniteFloat
    training: dict[str, Any] = {}
    torch_version: str = ""
    revision: str = ""
    weights_sha256: str = ""

    @model_validator(mode="after")
    def _one_reference_per_element(self) -> Metadata:
        if len(self.energy_reference) != len(self.elements) or len(set(self.elements)) != len(self.elements):
            raise ValueError("elements must be distinct and have one energy_reference each")
        if any(not 1 <= z <= 118 for z in self.elements):
            raise ValueError("elements must be atomic numbers from 1 to 118")
        if self.units != UNITS:
            raise ValueError(f"units are {self.units}, expected {UNITS}")
        return self


@dataclass(frozen=True)
class TestFrame:
    """One structure with the answer that the exported model gave for it (eV, eV/Å; virial = −dE/dε in eV)."""

    __test__ = False  # not a pytest class

    atomic_numbers: Array  # [N] int64
    positions: Array  # [N,3] float64, Å
    cell: Array  # [3,3] float64, Å, zero where open
    pbc: Array  # [3] bool
    energy: float
    atom_energies: Array  # [N] float64
    forces: Array  # [N,3] float64
    virial: Array  # [3,3] float64


@dataclass(frozen=True)
class ModelFile:
    """Everything in a model file but the TorchScript program itself."""

    path: Path
    metadata: Metadata
    weights: dict[str, Array]
    test_frame: TestFrame


def read_model(path: str | Path) -> ModelFile:
    """Reads metadata, weights and test frame of a model file.

    Raises FramesError if the file is missing, truncated, no model file, of an unknown format version, or altered.
    """
    path = Path(path)
    entries = _read_entries(path)
    metadata = _parse_metadata(path, entries[METADATA])
    digest = hashlib.sha256(entries[WEIGHTS]).hexdigest()
    if metadata.weights_sha256 != digest:
        raise FramesError(
            f"{path}: the weights do not match their checksum (frames.json says {metadata.weights_sha256[:12]}…, "
            f"the file has {digest[:12]}…); the file was altered or damaged: export or copy it again"
        )
    return ModelFile(
        path, metadata, _parse_tensors(path, WEIGHTS, entries[WEIGHTS]), _parse_test_frame(path, entries[TEST_FRAME])
    )


def read_metadata(path: str | Path) -> Metadata:
    """Reads `frames.json` alone. Raises FramesError as `read_model` does."""
    path = Path(path)
    return _parse_metadata(path, _read_entries(path, (METADATA,))[METADATA])


def _read_entries(path: Path, names: tuple[str, ...] = (METADATA, WEIGHTS, TEST_FRAME)) -> dict[str, bytes]:
    if path.is_dir():
        raise FramesError(f"{path}: a folder; expected a model file written by `frames export`")
    if not path.is_file():
        raise FramesError(f"{path}: no such model file; `frames export CHECKPOINT -o {path}` writes one")
    foreign = "expected a model file written by `frames export`"
    entries: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            found = {
                name: info for info in archive.infolist() for name in names if info.filename.endswith(f"/extra/{name}")
            }
            for name in names:
                if name not in found:
                    raise FramesError(f"{path}: the archive holds no {name}; {foreign}")
                info = found[name]
                if info.compress_type != zipfile.ZIP_STORED or info.file_size > min(
                    LARGEST_ENTRY[name], path.stat().st_size
                ):
                    raise FramesError(
                        f"{path}: entry {name} claims {info.file_size} bytes in a file of {path.stat().st_size}; "
                        f"{foreign}"
                    )
                entries[name] = archive.read(info)
    except (zipfile.BadZipFile, OSError, NotImplementedError, EOFError, RuntimeError, ValueError) as error:
        raise FramesError(f"{path}: not a readable archive ({error}); truncated or foreign file? {foreign}") from None
    return entries


def _parse_metadata(path: Path, raw: bytes) -> Metadata:
    try:
        fields = json.loads(raw, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise FramesError(f"{path}: frames.json is not valid JSON; export the model again") from None
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise FramesError(f"{path}: frames.json is not that of a {FORMAT}; export the model again")
    version = fields.get("format_version")
    if version != FORMAT_VERSION:
        raise FramesError(
            f"{path}: format version {version!r}, this package reads version {FORMAT_VERSION}; "
            f"install the frames-md that wrote it ({fields.get('revision') or 'unknown'}) or export the model again"
        )
    try:
        return Metadata.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "contents"
        raise FramesError(f"{path}: frames.json: {where}: {first['msg']}; export the model again") from None


def _no_number(name: str) -> None:
    """NaN and Infinity, which Python writes and JSON does not know. Raises ValueError."""
    raise ValueError(name)


def _parse_tensors(path: Path, name: str, raw: bytes) -> dict[str, Array]:
    try:
        return dict(load_tensors(raw))
    except (SafetensorError, ValueError, KeyError) as error:
        raise FramesError(f"{path}: {name} cannot be read ({error}); export or copy the file again") from None


def _parse_test_frame(path: Path, raw: bytes) -> TestFrame:
    tensors = _parse_tensors(path, TEST_FRAME, raw)
    try:
        n = tensors["atomic_numbers"].size
        shapes: dict[str, tuple[int, ...]] = {
            "atomic_numbers": (n,),
            "positions": (n, 3),
            "cell": (3, 3),
            "pbc": (3,),
            "energy": (1,),
            "atom_energies": (n,),
            "forces": (n, 3),
            "virial": (3, 3),
        }
        for key, shape in shapes.items():
            if tensors[key].shape != shape:
                raise FramesError(f"{path}: test frame: {key} has shape {tensors[key].shape}, expected {shape}")
    except KeyError as error:
        raise FramesError(f"{path}: test frame: {error.args[0]} is missing; export the model again") from None
    if n == 0 or not all(np.isfinite(tensors[key]).all() for key in shapes):
        raise FramesError(f"{path}: test frame: expected at least one atom and finite numbers; export the model again")
    return TestFrame(
        tensors["atomic_numbers"].astype(np.int64),
        tensors["positions"].astype(np.float64),
        tensors["cell"].astype(np.float64),
        tensors["pbc"].astype(bool),
        float(tensors["energy"][0]),
        tensors["atom_energies"].astype(np.float64),
        tensors["forces"].astype(np.float64),
        tensors["virial"].astype(np.float64),
    )


def test_frame_tensors(frame: TestFrame) -> dict[str, Array]:
    """The arrays of `test_frame.safetensors`, all but the numbers and flags in float64."""
    return {
        "atomic_numbers": np.ascontiguousarray(frame.atomic_numbers, np.int64),
        "positions": np.ascontiguousarray(frame.positions, np.float64),
        "cell": np.ascontiguousarray(frame.cell, np.float64),
        "pbc": np.ascontiguousarray(frame.pbc, np.uint8),
        "energy": np.array([frame.energy], np.float64),
        "atom_energies": np.ascontiguousarray(frame.atom_energies, np.float64),
        "forces": np.ascontiguousarray(frame.forces, np.float64),
        "virial": np.ascontiguousarray(frame.virial, np.float64),
    }


test_frame_tensors.__test__ = False  # type: ignore[attr-defined]
