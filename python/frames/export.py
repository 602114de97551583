"""From a trained potential to the model file. The only Python file that writes TorchScript."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.numpy import save as save_tensors
from torch import Tensor, nn

from frames import __version__
from frames.artifact import METADATA, TEST_FRAME, WEIGHTS, Array, Metadata, TestFrame, test_frame_tensors
from frames.data.graph import neighbour_list
from frames.files import without_nan, write_atomically
from frames.nn.build import build_potential, default_dtype
from frames.nn.potential import Potential, check_elements, evaluate

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class ModelSpec:
    """What is needed, beside the parameters, to build a potential again."""

    backbone: str
    settings: dict[str, Any]
    elements: tuple[int, ...]
    cutoff: float

    def build(self, dtype: torch.dtype = torch.float32) -> Potential:
        """A potential with fresh parameters."""
        return build_potential(self.backbone, self.settings, self.elements, self.cutoff, dtype)


@dataclass(frozen=True)
class Structure:
    """One frame. positions [N,3] and cell [3,3] in Å (zero rows where open), pbc [3]."""

    atomic_numbers: Array
    positions: Array
    cell: Array
    pbc: Array


def script_module(module: nn.Module) -> torch.jit.ScriptModule:
    """TorchScript of a module, with e3nn modules in it or not. Switches the module to evaluation, without gradients."""
    module = module.eval().requires_grad_(False)
    if any(type(part).__module__.startswith("e3nn") for part in module.modules()):
        from e3nn.util.jit import script

        scripted: torch.jit.ScriptModule = script(module)
        return scripted
    return torch.jit.script(module)


def export(
    potential: Potential,
    spec: ModelSpec,
    path: str | Path,
    frame: Structure,
    *,
    dtype: Literal["float32", "float64"] = "float32",
    training: dict[str, Any] | None = None,
) -> Metadata:
    """Writes the model file and returns its metadata.

    Args:
        frame: the structure whose energy, forces and virial are stored and replayed by every loader.
        dtype: arithmetic of the exported model; parameters are converted exactly or rounded once.
        training: free-form record of data, split, settings and errors.

    Raises FramesError if the file cannot be written or the frame holds an element that the model does not know.
    """
    check_elements(spec.elements, frame.atomic_numbers.tolist())
    converted = spec.build(DTYPES[dtype])
    converted.load_trained(potential.state_dict())
    scripted = script_module(converted)
    weights = save_tensors({k: _array(v) for k, v in converted.state_dict().items()})
    metadata = Metadata(
        backbone=spec.backbone,
        backbone_settings=spec.settings,
        elements=list(spec.elements),
        cutoff=spec.cutoff,
        receptive_layers=int(getattr(converted.backbone, "receptive_layers")),  # noqa: B009 (an nn.Module attribute)
        dtype=dtype,
        energy_reference=potential.energy_reference.tolist(),
        energy_scale=float(potential.energy_scale),
        training=training or {},
        torch_version=torch.__version__,
        revision=_revision(),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
    )
    answer = replay(converted, frame, DTYPES[dtype])
    write_archive(scripted, path, metadata, weights, answer)
    return metadata


def write_archive(
    scripted: torch.jit.ScriptModule, path: str | Path, metadata: Metadata, weights: bytes, frame: TestFrame
) -> None:
    """Writes the TorchScript archive with its extra files, atomically.

    The debug records of TorchScript are left out: they hold the paths of source files on the machine that exports.
    """
    extra: dict[str, str | bytes] = {
        METADATA: json.dumps(without_nan(metadata.model_dump()), indent=1, allow_nan=False),
        WEIGHTS: weights,
        TEST_FRAME: save_tensors(test_frame_tensors(frame)),
    }

    def write(temporary: Path) -> None:
        buffer = io.BytesIO()
        torch.jit.save(scripted, buffer, _extra_files=extra)
        with zipfile.ZipFile(buffer) as whole, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as kept:
            for info in whole.infolist():
                if not info.filename.endswith(".debug_pkl"):
                    kept.writestr(zipfile.ZipInfo(info.filename), whole.read(info))

    write_atomically(path, write)


def replay(potential: Potential, frame: Structure, dtype: torch.dtype) -> TestFrame:
    """Energy, forces and virial of one structure as the potential itself gives them."""
    periodic = bool(np.any(frame.pbc))
    edge_index, shifts = neighbour_list(frame.positions, frame.cell if periodic else None, frame.pbc, potential.cutoff)
    vectors = frame.positions[edge_index[1]] + shifts - frame.positions[edge_index[0]]
    n = len(frame.atomic_numbers)
    numbers = torch.as_tensor(np.asarray(frame.atomic_numbers, np.int64))
    edges = torch.as_tensor(np.asarray(edge_index, np.int64))
    with default_dtype(dtype):
        edge_vectors = torch.as_tensor(vectors).to(dtype)
        result = evaluate(potential, numbers, edges, edge_vectors, torch.zeros(n, dtype=torch.int64), 1, virial=True)
        atom_energies = potential(numbers, edges, edge_vectors)
    assert result.virials is not None
    return TestFrame(
        atomic_numbers=np.asarray(frame.atomic_numbers, np.int64),
        positions=np.asarray(frame.positions, np.float64),
        cell=np.asarray(frame.cell, np.float64),
        pbc=np.asarray(frame.pbc, bool),
        energy=result.energies[0].item(),
        atom_energies=_array(atom_energies),
        forces=_array(result.forces).astype(np.float64),
        virial=_array(result.virials[0]).astype(np.float64),
    )


def _array(tensor: Tensor) -> Array:
    return np.ascontiguousarray(tensor.detach().cpu().numpy())


def _revision() -> str:
    """The version of the package, with the git commit when it runs from a checkout."""
    folder = Path(__file__).resolve().parent
    if not (folder.parents[1] / ".git").exists():
        return f"frames-md {__version__}"
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return f"frames-md {__version__}"
    commit = found.stdout.strip()
    return f"frames-md {__version__}" + (f" ({commit})" if found.returncode == 0 and commit else "")
