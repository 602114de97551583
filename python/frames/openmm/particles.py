"""Which particles of an OpenMM system the model describes, and as which elements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frames.errors import FramesError
from frames.inference import element_names
from frames.openmm.guard import import_openmm


@dataclass(frozen=True)
class Particles:
    """The model's atoms in a system.

    Attributes:
        atomic_numbers: of the model's atoms, in the order of `atoms`.
        atoms: their indices in the system; None if they are all of its particles.
        total: number of particles in the system.
        periodic: whether the model is evaluated with periodic boundaries.
        box: box vectors of the topology in nm, [] if it has none.
    """

    atomic_numbers: list[int]
    atoms: list[int] | None
    total: int
    periodic: bool
    box: list[tuple[float, float, float]]


def model_particles(
    topology_or_elements: Any,
    known_elements: Sequence[int],
    *,
    atoms: Iterable[int] | None = None,
    periodic: bool | None = None,
) -> Particles:
    """Checks and collects what an engine needs to know of a system.

    Args: topology_or_elements: an OpenMM `Topology`, or the elements of all particles of the system as
        symbols, atomic
            numbers or OpenMM elements; None for a particle without one, as a virtual site.
        known_elements: atomic numbers that the model knows.
        atoms: indices of the particles that the model describes; all by default.
        periodic: taken from a topology by default (whether it has box vectors); must be given with elements.

    Raises FramesError for indices that are repeated or out of range, and for an atom of the model without an
    element or with one that the model does not know.
    """
    names, elements, box = _read(topology_or_elements)
    if periodic is None:
        if box is None:
            raise FramesError("with a list of elements, say periodic=True or periodic=False")
        periodic = bool(box)
    if not elements:
        raise FramesError("the topology has no atoms; expected the topology of the system to simulate")
    chosen = None if atoms is None else _indices(atoms, len(elements))
    numbers: list[int] = []
    for index in range(len(elements)) if chosen is None else chosen:
        number = elements[index]
        if number is None:
            raise FramesError(
                f"particle {index} ({names[index]}) has no element, as a virtual site; leave it out by "
                "atoms=[indices of the atoms that the model describes]"
            )
        if number not in known_elements:
            raise FramesError(
                f"particle {index} ({names[index]}) is {element_names([number])}, which the model does not "
                f"know; its elements are {element_names(known_elements)}"
            )
        numbers.append(number)
    return Particles(numbers, chosen, len(elements), periodic, box or [])


def read_topology(path: str | Path) -> Any:
    """The OpenMM `Topology` of a PDB or PDBx/mmCIF file. Raises FramesError if it cannot be read."""
    path = Path(path)
    app = import_openmm().app
    reader = app.PDBxFile if path.suffix.lower() in (".cif", ".mmcif", ".pdbx") else app.PDBFile
    if not path.is_file():
        raise FramesError(f"{path}: no such file; expected a PDB or mmCIF file of the system to simulate")
    try:
        topology = reader(str(path)).topology
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError, OSError) as error:
        # OpenMM's readers let out whatever the parsing of a foreign file raised
        raise FramesError(f"{path}: not a readable PDB or mmCIF file ({type(error).__name__}: {error})") from None
    if topology.getNumAtoms() == 0:
        raise FramesError(f"{path}: holds no atoms; expected a PDB or mmCIF file of the system to simulate")
    return topology


def _read(given: Any) -> tuple[list[str], list[int | None], list[tuple[float, float, float]] | None]:
    """Names and atomic numbers of all particles, and the box in nm: [] if there is none, None if that is not known."""
    if hasattr(given, "atoms") and hasattr(given, "getPeriodicBoxVectors"):
        atoms = list(given.atoms())
        names = [f"{atom.name} of residue {atom.residue.name} {atom.residue.id}" for atom in atoms]
        numbers = [_atomic_number(atom.element) for atom in atoms]
        return names, numbers, _box(given.getPeriodicBoxVectors())
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise FramesError(
            f"expected an OpenMM Topology or a list of elements, not {given!r} of type {type(given).__name__}"
        )
    elements = list(given)
    return [str(element) for element in elements], [_atomic_number(element) for element in elements], None


def _box(vectors: Any) -> list[tuple[float, float, float]]:
    if vectors is None:
        return []
    nanometer = import_openmm().unit.nanometer
    rows = (vector.value_in_unit(nanometer) for vector in vectors)
    return [(float(x), float(y), float(z)) for x, y, z in rows]


def _atomic_number(element: Any) -> int | None:
    """From a symbol, an atomic number or an OpenMM element."""
    from ase.data import atomic_numbers

    if element is None:
        return None
    if isinstance(element, str):
        if element not in atomic_numbers:
            raise FramesError(f"{element!r} is no chemical symbol; expected one as 'C', or an atomic number")
        return int(atomic_numbers[element])
    number = getattr(element, "atomic_number", element)
    try:
        if isinstance(number, bool) or int(number) != number:
            raise ValueError
        return int(number) or None  # OpenMM and ASE use 0 for what has no element
    except (TypeError, ValueError):
        raise FramesError(f"{element!r} is no element; expected a symbol as 'C', or an atomic number") from None


def _indices(atoms: Iterable[int], total: int) -> list[int]:
    given: Any = atoms
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise FramesError(f"atoms = {atoms!r}; expected the indices of the particles that the model describes")
    indices: list[int] = []
    for atom in atoms:
        if type(atom).__name__ in ("bool", "bool_"):  # NumPy's, too
            raise FramesError("atoms: true and false are no indices; numpy.flatnonzero gives those of a mask")
        try:
            index = int(atom)
        except (TypeError, ValueError):
            index = -1
        if index != atom or not 0 <= index < total:
            raise FramesError(f"atoms: {atom!r} is no particle of this system; expected integers from 0 to {total - 1}")
        indices.append(index)
    if not indices:
        raise FramesError("atoms is empty; expected the indices of the particles that the model describes")
    if len(set(indices)) < len(indices):
        repeated = next(index for index in indices if indices.count(index) > 1)
        raise FramesError(f"atoms: particle {repeated} is listed more than once")
    return indices
