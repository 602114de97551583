"""Models in ASE."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from frames.data.graph import neighbour_list
from frames.errors import FramesError
from frames.inference import Array, BackendName, check_atoms, open_model

_OF_ASE = ("restart", "ignore_bad_restart_file", "label", "atoms", "directory")


class FramesCalculator(Calculator):
    """ASE calculator of a model file: energy (eV), forces (eV/Å), stress (eV/Å³) and energies of the atoms
    (eV).

    The stress, −W/V with W = Σ r⊗F, exists for structures that are periodic in all three directions; for
    others ASE raises PropertyNotImplementedError. Energies include the reference energies of the elements.

    Attributes:
        backend: "native" or "torchscript", whichever evaluates the model.
        metadata: contents of `frames.json` of the model file.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress", "energies"]  # noqa: RUF012

    def __init__(
        self,
        model: str | Path,
        device: str = "cpu",
        backend: BackendName = "auto",
        skin: float = 0.5,
        threads: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Loads the model file and replays its test frame.

        Args: model: path of a model file. device: where PyTorch evaluates it: "cpu", "cuda" or "cuda:N".
            backend: "auto" takes the native engine if it can evaluate the model, else PyTorch. skin: Å; pairs
            up to cutoff + skin are remembered, and looked for again once an atom has moved by half of
                the skin. threads: of the native engine, one if not given; more pay from about a hundred atoms. Where
                Python forks processes (`multiprocessing` on Linux) after an evaluation with several, they use one.
            kwargs: ASE's own (atoms, label, directory, ...).

        Raises FramesError if the file or the backend cannot be used; later, for structures that the model
        cannot be asked about (unknown elements, NaN, a cell without volume).
        """
        unknown = sorted(set(kwargs) - set(_OF_ASE))
        if unknown:
            raise FramesError(
                f"FramesCalculator: unknown argument {unknown[0]!r}; expected model, device, backend, skin, threads, "
                f"or of ASE's {', '.join(_OF_ASE)}"
            )
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self._model = open_model(model, device=device, backend=backend, threads=threads)
        self._neighbours = VerletList(self._model.metadata.cutoff, skin)
        self.backend = self._model.backend
        self.metadata = self._model.metadata
        self._lock = RLock()

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True) -> Any:
        """One property; called by ASE. Threads that share the calculator take turns, each with its own structure."""
        with self._lock:
            return super().get_property(name, atoms, allow_calculation)  # type: ignore[no-untyped-call]

    def set(self, **kwargs: Any) -> dict[str, Any]:
        """ASE's way to change parameters, of which there are none here: raises FramesError if any is given."""
        if kwargs:
            raise FramesError(f"FramesCalculator: {sorted(kwargs)[0]} cannot be changed; make another calculator")
        return {}

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = RLock()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Fills `results` with everything the model gives; called by ASE."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        structure = cast(Atoms, self.atoms)  # a copy that ASE has made
        numbers, positions = check_atoms(self.metadata.elements, structure.numbers, structure.positions)
        cell, pbc = np.asarray(structure.cell), structure.pbc
        edge_index, vectors = self._neighbours.edges(positions, cell, pbc)
        found = self._model.evaluate_edges(numbers, edge_index, vectors)
        self.results = {
            "energy": found.energy,
            "free_energy": found.energy,
            "energies": found.atom_energies,
            "forces": found.forces,
        }
        if pbc.all():
            stress = -found.virial / abs(np.linalg.det(cell))
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress)  # type: ignore[no-untyped-call]


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool | str) and np.isfinite(float(value))
    except (TypeError, ValueError):
        return False


class VerletList:
    """A neighbour list that is used until an atom has moved by half of the skin, or cell or periodicity
    changed."""

    def __init__(self, cutoff: float, skin: float) -> None:
        """Both in Å. Raises FramesError if the skin is no number, negative or not finite."""
        if not _is_number(skin) or skin < 0:
            raise FramesError(f"skin = {skin!r}; expected a length in Å, 0 or more")
        self.cutoff = cutoff
        self.skin = skin
        self.builds = 0
        self._made_for: tuple[Array, Array, Array] | None = None
        self._edge_index: npt.NDArray[np.int64] = np.empty((2, 0), np.int64)
        self._shifts: Array = np.empty((0, 3))

    def edges(self, positions: Array, cell: Array, pbc: Array) -> tuple[Array, Array]:
        """edge_index [2,E] and edge_vectors [E,3] in Å of all pairs closer than the cutoff.

        Arguments and errors as those of `frames.data.graph.neighbour_list`.
        """
        if not self._holds(positions, cell, pbc):
            self._edge_index, self._shifts = neighbour_list(positions, cell, pbc, self.cutoff + self.skin)
            self._made_for = (positions.copy(), cell.copy(), pbc.copy())
            self.builds += 1
        i, j = self._edge_index
        vectors = positions[j] + self._shifts - positions[i]
        inside = np.einsum("ek,ek->e", vectors, vectors) < self.cutoff**2
        if inside.all():
            return self._edge_index, vectors
        return self._edge_index[:, inside], vectors[inside]

    def _holds(self, positions: Array, cell: Array, pbc: Array) -> bool:
        if self._made_for is None:
            return False
        before, cell_before, pbc_before = self._made_for
        if len(before) != len(positions) or (pbc != pbc_before).any() or (cell != cell_before).any():
            return False
        moved = positions - before
        # written so that NaN does not hold
        return bool((np.einsum("ik,ik->i", moved, moved) <= (0.5 * self.skin) ** 2).all())
