"""Energies, forces and virial of structures from a model file, in Python.

`open_model` is the one place that chooses between the backends. Each of them answers one question, per-atom
energies and dE/d(edge_vectors) of a list of edges; what follows from it (forces, virial) is put together
here, once.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from frames.artifact import Metadata, ModelFile, TestFrame, read_model
from frames.data.graph import neighbour_list
from frames.errors import FramesError

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]
BackendName = Literal["auto", "native", "torchscript"]
BACKENDS = ("auto", "native", "torchscript")

# Relative difference from the stored test frame that rounding explains.
ROUNDING = {"float32": 1e-5, "float64": 1e-10}


@dataclass(frozen=True)
class Result:
    """What a model says about one structure."""

    energy: float  # eV
    atom_energies: Array  # [N] eV, float64
    forces: Array  # [N,3] eV/Å, float64
    virial: Array  # [3,3] eV, Σ r⊗F = −dE/dε


class Evaluator(ABC):
    """A model file, loaded by one of the backends.

    Attributes:
        backend: "torchscript" or "native".
        metadata: contents of `frames.json`.
        tolerance: relative difference between backends that rounding explains.
    """

    backend: str

    def __init__(self, file: ModelFile) -> None:
        self.path = file.path
        self._reload = (type(self), file.path.resolve(), file.metadata.weights_sha256)
        self.metadata: Metadata = file.metadata
        self.tolerance = ROUNDING[file.metadata.dtype]

    @abstractmethod
    def settings(self) -> tuple[Any, ...]:
        """Arguments of the constructor after the path."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies, and processes of a pool, load the file again."""
        return _load_again, (*self._reload, self.settings())

    @abstractmethod
    def edge_gradients(self, atomic_numbers: Array, edge_index: Array, edge_vectors: Array) -> tuple[Array, Array]:
        """Energies [N] in eV (float64) and dE/d(edge_vectors) [E,3] in eV/Å.

        Args:
            atomic_numbers: [N] int64, all known to the model.
            edge_index: [2,E] int64, row 0 the centres i, row 1 the neighbours j, both directions.
            edge_vectors: [E,3] float64, r_j + shift − r_i in Å, shorter than the cutoff.
        """

    def evaluate(
        self, atomic_numbers: Array, positions: Array, cell: Array | None = None, pbc: Array | bool = False
    ) -> Result:
        """Energy, forces and virial of one structure.

        Args:
            atomic_numbers: [N].
            positions: [N,3] Å.
            cell: [3,3] Å, rows are the lattice vectors; needed where pbc is set.
            pbc: one flag, or one for each lattice vector.

        Raises FramesError for an element that the model does not know, wrong shapes, NaN, or a result that is
        not finite.
        """
        numbers, positions = check_atoms(self.metadata.elements, atomic_numbers, positions)
        edge_index, vectors = find_edges(positions, cell, pbc, self.metadata.cutoff)
        return self.evaluate_edges(numbers, edge_index, vectors)

    def evaluate_edges(self, atomic_numbers: Array, edge_index: Array, edge_vectors: Array) -> Result:
        """The same from edges that are already known; arguments as those of `edge_gradients`, not checked
        again."""
        energies, gradients = self.edge_gradients(atomic_numbers, edge_index, edge_vectors)
        result = assemble(energies, gradients, edge_index, edge_vectors)
        if not (np.isfinite(result.energy) and np.isfinite(result.forces).all()):
            raise FramesError(f"{self.path}: the model gave an energy or force that is not finite; have two atoms met?")
        return result


def _load_again(kind: type[Evaluator], path: Path, weights: str, settings: tuple[Any, ...]) -> Evaluator:
    model = kind(path, *settings)  # type: ignore[arg-type]
    if model.metadata.weights_sha256 != weights:
        raise FramesError(f"{path}: the file has changed since the model that is copied was loaded; load it anew")
    return model


def find_edges(positions: Array, cell: Array | None, pbc: Array | bool, cutoff: float) -> tuple[Array, Array]:
    """edge_index [2,E] and edge_vectors [E,3] in Å; arguments and errors as those of `neighbour_list`."""
    edge_index, shifts = neighbour_list(positions, cell, pbc, cutoff)
    return edge_index, positions[edge_index[1]] + shifts - positions[edge_index[0]]


def assemble(energies: Array, gradients: Array, edge_index: Array, edge_vectors: Array) -> Result:
    """Forces and virial from g = dE/d(edge_vector): F_i += g, F_j −= g, W = −Σ edge_vector ⊗ g; sums in
    float64."""
    atoms = len(energies)
    gradients = gradients.astype(np.float64, copy=False)
    forces = np.empty((atoms, 3))
    for axis in range(3):
        along = gradients[:, axis]
        forces[:, axis] = np.bincount(edge_index[0], along, atoms) - np.bincount(edge_index[1], along, atoms)
    virial = -(edge_vectors.T @ gradients)
    return Result(float(energies.sum()), energies, forces, virial)


def check_atoms(elements: Sequence[int], atomic_numbers: Array, positions: Array) -> tuple[Array, Array]:
    """Both as contiguous arrays, int64 [N] and float64 [N,3].

    Raises FramesError for other shapes and elements that the model does not know. NaN and cells without
    volume are refused by the neighbour list.
    """
    numbers = np.ascontiguousarray(atomic_numbers, np.int64)
    positions = np.ascontiguousarray(positions, np.float64)
    if numbers.ndim != 1 or positions.shape != (len(numbers), 3):
        raise FramesError(
            f"positions have shape {positions.shape}, atomic numbers {numbers.shape}; expected [N,3] and [N]"
        )
    check_elements(elements, numbers)
    return numbers, positions


def check_elements(elements: Sequence[int], atomic_numbers: Array) -> None:
    """Raises FramesError that names the elements which the model does not know."""
    unknown = np.setdiff1d(atomic_numbers, elements)
    if len(unknown):
        raise FramesError(
            f"the model does not know {element_names(unknown.tolist())}; its elements are {element_names(elements)}"
        )


def element_names(atomic_numbers: Sequence[int]) -> str:
    """Chemical symbols, for messages."""
    from ase.data import chemical_symbols

    return ", ".join(
        chemical_symbols[z] if 0 < z < len(chemical_symbols) else f"atomic number {z}" for z in atomic_numbers
    )


def open_model(
    path: str | Path, *, device: str = "cpu", backend: BackendName = "auto", threads: int | None = None
) -> Evaluator:
    """Loads a model file with the backend asked for; "auto" takes native on the CPU if it can evaluate the model.

    `threads` are those of the native engine, one if not given; PyTorch has a setting of its own.

    Raises FramesError if the file is no good model file or the backend is not available for it.
    """
    if not isinstance(path, str | os.PathLike):
        raise FramesError(f"model = {path!r}; expected the path of a model file")
    device = str(device) if type(device).__module__ == "torch" else device  # a torch.device, without importing torch
    if not isinstance(device, str):
        raise FramesError(f"device = {device!r}; expected 'cpu', 'cuda' or 'cuda:N'")
    if threads is not None and not _is_whole(threads):
        raise FramesError(f"threads = {threads!r}; expected a whole number")
    if backend not in BACKENDS:
        raise FramesError(f"backend {backend!r} is unknown; expected one of {', '.join(BACKENDS)}")
    if backend == "torchscript":
        return _torchscript(path, device, threads)
    from frames import native  # which builds on this module

    if backend == "native" and device != "cpu":
        raise FramesError(f"the native backend runs on the CPU, not on {device!r}; use backend 'torchscript'")
    if backend == "native" or (device == "cpu" and native.is_available() and not native.refusal(read_model(path))):
        return native.NativeModel(path, 1 if threads is None else int(threads))
    return _torchscript(path, device, threads)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _torchscript(path: str | Path, device: str, threads: int | None) -> Evaluator:
    if threads is not None:
        raise FramesError(
            f"{path}: threads = {threads} are those of the native engine, and PyTorch evaluates this model; set them "
            "with torch.set_num_threads"
        )
    return TorchScriptModel(path, device)


class TorchScriptModel(Evaluator):
    """A model file evaluated by PyTorch.

    The archive is checked, and its metadata read, before PyTorch sees it. `torch.jit.load` then builds the
    program in TorchScript's own interpreter: no pickled Python object is called, and the program can reach
    PyTorch's operations only. Some of those open files, so a model file deserves the trust that an input deck
    does.

    Attributes:
        module: the TorchScript program, in evaluation mode on the device.
    """

    backend = "torchscript"

    def __init__(self, path: str | Path, device: str = "cpu") -> None:
        """Loads the file and replays its test frame. Raises FramesError."""
        file = read_model(path)
        super().__init__(file)
        library = import_torch(f"{path}: the TorchScript backend")
        self.device: torch.device = _device(library, device)
        self.dtype: torch.dtype = getattr(library, file.metadata.dtype)
        try:
            program = library.jit.load(str(file.path), map_location=self.device)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise FramesError(
                f"{path}: torch {library.__version__} cannot load the program in this file ({reason}); it "
                f"was written with torch {file.metadata.torch_version or 'unknown'}: export the model again "
                "with this version"
            ) from None
        self.module: torch.jit.ScriptModule = program.eval()
        self._process = os.getpid()
        check_replay(self, file.test_frame)

    def settings(self) -> tuple[Any, ...]:
        """See `Evaluator.settings`."""
        return (str(self.device),)

    def edge_gradients(self, atomic_numbers: Array, edge_index: Array, edge_vectors: Array) -> tuple[Array, Array]:
        """See `Evaluator.edge_gradients`. Raises FramesError if the program fails."""
        import torch

        if os.getpid() != self._process:
            # a fork has PyTorch's pool of threads, but not the threads, and would wait for them
            torch.set_num_threads(1)
            self._process = os.getpid()
        numbers = torch.from_numpy(atomic_numbers).to(self.device)
        edges = torch.from_numpy(np.ascontiguousarray(edge_index)).to(self.device)
        vectors = torch.from_numpy(edge_vectors).to(self.device, self.dtype, copy=True).requires_grad_(True)
        try:
            with torch.enable_grad():  # type: ignore[no-untyped-call]
                energies = self.module(numbers, edges, vectors)
                total = energies.sum()
                gradient: torch.Tensor | None = torch.autograd.grad(total, vectors, allow_unused=True)[0]
        except RuntimeError as error:  # out of memory, too
            reason = str(error).strip().splitlines()[-1]
            raise FramesError(
                f"{self.path}: the model failed on {len(numbers)} atoms and {edges.shape[1]} edges ({reason})"
            ) from error
        if gradient is None:  # no edge reaches the energy
            return energies.detach().cpu().numpy(), np.zeros(edge_vectors.shape)
        return energies.detach().cpu().numpy(), gradient.cpu().numpy()


def check_replay(model: Evaluator, frame: TestFrame) -> None:
    """Raises FramesError unless the model gives the energies, forces and virial of its test frame again.

    Differences are measured against what rounding errors are proportional to: the binding energies of the
    atoms, and the sums of the absolute values of what adds up to a force or the virial; each at least 1 (eV,
    eV/Å).
    """
    try:
        numbers, positions = check_atoms(model.metadata.elements, frame.atomic_numbers, frame.positions)
        edge_index, vectors = find_edges(positions, frame.cell, frame.pbc, model.metadata.cutoff)
        energies, gradients = model.edge_gradients(numbers, edge_index, vectors)
    except FramesError as error:
        raise FramesError(f"{model.path}: the stored test frame cannot be evaluated: {error}") from error
    result = assemble(energies, gradients, edge_index, vectors)
    reference = dict(zip(model.metadata.elements, model.metadata.energy_reference, strict=True))
    binding = np.abs(frame.atom_energies - [reference[int(z)] for z in numbers]).max(initial=1.0)
    sizes = np.linalg.norm(gradients, axis=1)
    force = np.bincount(edge_index[0], sizes, len(numbers)).max(initial=1.0)
    virial = max(1.0, float(sizes @ np.linalg.norm(vectors, axis=1)))
    compared = {
        "energy (eV)": (result.energy, frame.energy, binding * len(numbers)),
        "energies of the atoms (eV)": (result.atom_energies, frame.atom_energies, binding),
        "forces (eV/Å)": (result.forces, frame.forces, force),
        "virial (eV)": (result.virial, frame.virial, virial),
    }
    for name, (found, stored, scale) in compared.items():
        difference, allowed = (
            float(np.abs(np.asarray(found) - stored).max(initial=0)),
            model.tolerance * scale,
        )
        if not difference <= allowed:
            raise FramesError(
                f"{model.path}: the {model.backend} backend does not reproduce the stored test frame: "
                f"{name} differ by {difference:.1e}, rounding explains {allowed:.1e}; the file or the installation is "
                "damaged: export the model again, or choose another backend"
            )


def import_torch(purpose: str) -> Any:
    """The torch module. Raises FramesError that says what needs it if it is not installed."""
    try:
        import torch
    except ImportError as error:
        raise FramesError(f"{purpose} needs PyTorch, which cannot be imported ({error}); pip install torch") from None
    return torch


def _device(torch: Any, name: str) -> Any:
    try:
        device = torch.device(name)
        float(torch.zeros(1, device=device))  # what holds no numbers, as meta, is no place for a model
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FramesError(f"device {name!r} cannot be used ({reason}); expected 'cpu', 'cuda' or 'cuda:N'") from None
    return device
