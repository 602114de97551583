"""The native engine: models of backbone `cartesian` on the CPU, compiled, without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from frames.artifact import ModelFile, read_model
from frames.errors import FramesError
from frames.inference import Array, Evaluator

# Relative difference from the exported model that rounding and the tabulated radial functions explain.
TOLERANCE = {"float32": 1e-5, "float64": 1e-7}

# Parts of an evaluation, as `Profile.seconds` reports them, and the steps of the engine that belong to them.
PARTS = {
    "radial": ("geometry",),
    "edges": ("embed_edges", "messages"),
    "nodes": ("embed_nodes", "mix", "update", "readout"),
    "backward edges": ("messages_backward", "embed_edges_backward"),
    "backward nodes": ("update_backward", "mix_backward", "embed_nodes_backward"),
    "waiting": ("waiting",),
}


@dataclass(frozen=True)
class Profile:
    """Measured evaluations of one structure."""

    seconds: dict[str, float]  # medians of PARTS over the evaluations, means over the threads
    threads: int
    instruction_set: str
    operations: float  # floating-point operations of one evaluation, counted from the formulas
    workspace_bytes: int  # memory that evaluations use again and again
    model_bytes: int  # packed parameters and radial tables


class NativeModel(Evaluator):
    """A model file evaluated by the native engine.

    Attributes:
        description: instruction set, arithmetic and threads, for logs.
        radial_error: largest errors of the tabulated radial functions, of values and of slopes, each
            relative to the largest value or slope of the function.
    """

    backend = "native"

    def __init__(self, path: str | Path, threads: int = 1, instruction_set: str = "auto") -> None:
        """Loads the file and replays its test frame.

        Args:
            threads: of each evaluation; more than one pays from about a hundred atoms.
            instruction_set: one of `instruction_sets()` or "auto", the best of them.

        Raises FramesError if the file is no good, its backbone is not `cartesian`, or the installation has
        no native engine.
        """
        file = read_model(path)
        super().__init__(file)
        reason = refusal(file)
        if reason:
            raise FramesError(f"{path}: the native engine {reason}; use backend 'torchscript'")
        if threads < 1:
            raise FramesError(f"threads = {threads}; expected at least 1")
        self.tolerance = TOLERANCE[file.metadata.dtype]
        self._settings = (threads, instruction_set)
        self._model = _engine().Model(str(path), threads, instruction_set)
        self._species = np.full(119, -1, np.int64)
        self._species[file.metadata.elements] = np.arange(len(file.metadata.elements))
        self.description: str = self._model.description
        self.radial_error: tuple[float, float] = (
            self._model.radial_value_error,
            self._model.radial_slope_error,
        )

    def settings(self) -> tuple[Any, ...]:
        """See `Evaluator.settings`."""
        return self._settings

    def edge_gradients(self, atomic_numbers: Array, edge_index: Array, edge_vectors: Array) -> tuple[Array, Array]:
        """See `Evaluator.edge_gradients`. Forces and virial that follow from the gradients are those of the
        energy; a gradient alone may differ from dE/d(its vector) by what the mirrored edge has more."""
        _energy, energies, gradients = self._model.evaluate(self._species[atomic_numbers], edge_index, edge_vectors)
        return energies, gradients

    def time(self, repeats: int) -> Array:
        """Seconds [repeats] of evaluations of the structure that was evaluated last, without building its
        neighbour list or putting forces together."""
        return np.asarray(self._model.time(repeats))

    def flux_virials(self) -> Array:
        """[N, 3, 3] eV of the structure that was evaluated last: W_k = Σ_i (r_i - r_k) ⊗ ∂U_i/∂r_k, rows along the
        first factor. They add up to the virial; the heat flux is Σ_i E_i v_i + Σ_k W_k v_k (Fan et al., Phys. Rev. B
        92, 094301 (2015))."""
        return np.asarray(self._model.flux_virials())

    def profile(self, repeats: int) -> Profile:
        """Where the time of evaluations of the structure that was evaluated last goes."""
        measured = self._model.profile(repeats)
        steps = {name: float(np.median(seconds)) for name, seconds in measured["steps"].items()}
        return Profile(
            {part: sum(steps[name] for name in names) for part, names in PARTS.items()},
            measured["threads"],
            measured["instruction_set"],
            measured["operations"],
            measured["workspace_bytes"],
            measured["model_bytes"],
        )


def refusal(file: ModelFile) -> str:
    """Why the native engine cannot evaluate this model, or an empty string if it can."""
    if file.metadata.backbone != "cartesian":
        return f"evaluates backbone cartesian, not {file.metadata.backbone}"
    return ""


def is_available() -> bool:
    """Whether this installation has the compiled engine."""
    try:
        _engine()
    except FramesError:
        return False
    return True


def instruction_sets() -> list[str]:
    """Names of the instruction sets that this processor can run, the best one first."""
    names: list[str] = _engine().instruction_sets()
    return names


def measure_peak(seconds: float = 0.1, double: bool = False) -> float:
    """Multiply-add operations per second, times two, that one core reaches from registers alone with the
    best instruction set: what an evaluation's speed is to be compared with."""
    peak: float = _engine().measure_peak(seconds, double)
    return peak


def _engine() -> Any:
    try:
        return import_module("frames._native")
    except ImportError as error:
        raise FramesError(
            f"this installation has no native engine ({error}); install frames-md from a wheel or with a C++ compiler"
        ) from None
