"""Does dynamics with the model hold together, and sample the right structures?

The criteria are those of Fu et al., "Forces are not enough" (TMLR 2023, arXiv:2210.07237): a molecule has come apart
once a bond is more than 0.5 Å off its mean length, and h(r), the distribution of interatomic distances, is compared
with that of the reference trajectory up to that time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from frames.data.periodic import completed, whole_vectors
from frames.data.trajectory import Floats, Integers, Trajectory
from frames.errors import FramesError
from frames.inference import BackendName

BROKEN_BY = 0.5  # Å off the mean length
BONDED = 1.25  # bonds are pairs closer than this times the sum of their covalent radii
BIN = 0.05  # Å, of h(r)
LOOK_EVERY = 10  # steps
FRICTION = 0.001  # 1/fs
MOST_FRAMES = 2000  # of the reference, evenly spaced, that tell its bonds and distances
MOST_ATOMS = 10_000  # whose pairs fit into memory


@dataclass(frozen=True)
class Stability:
    """Outcome of a run."""

    picoseconds: float
    """How long it held; the length asked for if it never broke."""
    broke: str | None
    """What happened, in words; None if nothing."""
    temperature: float
    """K, mean over the run; NaN if it broke before the first look."""
    h_error: float
    """∫|h(r) − h_ref(r)| dr: 0 for the same distribution, 2 for two without overlap. Distances of a molecule beyond the
    largest r count at the largest, so that fragments which fly apart are not lost from it."""
    bonds: int
    """How many there are by covalent radii: without any, nothing can break."""
    distances: Floats
    """[B,3] r in Å (middle of the bin), h of the run, h of the reference, 1/Å."""


@dataclass(frozen=True)
class Conditions:
    """How the run is made: Langevin dynamics at a temperature."""

    picoseconds: float = 300.0
    temperature: float = 500.0  # K
    time_step: float = 0.5  # fs
    seed: int = 0

    def check(self) -> None:
        """Raise FramesError for a value that cannot be used."""
        for name in ("picoseconds", "temperature", "time_step"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise FramesError(f"{name.replace('_', ' ')} = {value}: must be positive")


def run_stability(
    model: str | Path,
    reference: Trajectory,
    conditions: Conditions,
    backend: BackendName = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Stability:
    """Runs NVT from the first frame of the reference until a bond breaks or the time is over.

    Args:
        model: model file.
        reference: frames of the same molecule or crystal, from dynamics at the same temperature if h(r) is to mean
            anything; mean bond lengths and the distribution of distances are taken from 2000 of them, evenly spaced.
        backend: what evaluates the model.
        progress: called with steps done and wanted.

    Raises FramesError for conditions that cannot be used, and for systems too large to look at all of their pairs.
    """
    from ase.md.langevin import Langevin
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
    from ase.units import fs

    from frames.ase import FramesCalculator

    conditions.check()
    if reference.atoms > MOST_ATOMS:
        raise FramesError(
            f"{reference.source or 'reference'}: {reference.atoms} atoms, and h(r) looks at all pairs: at most "
            f"{MOST_ATOMS}; take a smaller box"
        )
    random = np.random.default_rng(conditions.seed)
    atoms = _atoms_of(reference)
    bonds = find_bonds(atoms)
    sample = reference[np.unique(np.linspace(0, len(reference) - 1, MOST_FRAMES).astype(np.int64))]
    mean = np.mean([pair_lengths(frame, frame.positions, bonds) for frame in _frames(sample)], axis=0)
    edges = np.arange(0.0, _reach(reference) + BIN, BIN)
    pairs = np.stack(np.triu_indices(len(atoms), 1))
    expected = _histogram(sample, pairs, edges)
    atoms.calc = FramesCalculator(model, backend=backend)
    MaxwellBoltzmannDistribution(atoms, temperature_K=conditions.temperature, rng=random)
    thermostat = {"temperature_K": conditions.temperature, "friction": FRICTION / fs}
    dynamics: Any = Langevin(atoms, conditions.time_step * fs, rng=random, fixcm=False, **thermostat)
    steps = max(LOOK_EVERY, round(1000 * conditions.picoseconds / conditions.time_step))
    counts, temperatures, broke, done = np.zeros(len(edges) - 1), [], None, 0
    while done < steps and broke is None:
        try:
            dynamics.run(min(LOOK_EVERY, steps - done))
        except FramesError as error:
            broke = str(error)
            break
        done += min(LOOK_EVERY, steps - done)
        broke = _broken(atoms, bonds, mean)
        if broke is None:
            counts += _counts(atoms, pairs, edges)
            temperatures.append(atoms.get_temperature())
        if progress is not None:
            progress(done, steps)
    found = counts / max(counts.sum() * BIN, 1e-300)
    return Stability(
        picoseconds=1e-3 * done * conditions.time_step,
        broke=broke,
        temperature=float(np.mean(temperatures)) if temperatures else float("nan"),
        h_error=float(np.abs(found - expected).sum() * BIN),
        bonds=bonds.shape[1],
        distances=np.column_stack([edges[:-1] + BIN / 2, found, expected]),
    )


def find_bonds(atoms: Any) -> Integers:
    """[2,B] pairs of bonded atoms of an ase.Atoms, by covalent radii; each pair once."""
    first, second = np.triu_indices(len(atoms), 1)
    lengths = pair_lengths(atoms, atoms.positions, np.stack([first, second]))
    longest = BONDED * (covalent_radii[atoms.numbers[first]] + covalent_radii[atoms.numbers[second]])
    return np.stack([first, second])[:, lengths < longest].astype(np.int64)


def pair_lengths(atoms: Any, positions: Floats, pairs: Integers) -> Floats:
    """[P] Å, to the nearest image."""
    vectors = positions[pairs[1]] - positions[pairs[0]]
    if atoms.pbc.any():
        vectors = vectors - whole_vectors(vectors, np.asarray(atoms.cell), tuple(atoms.pbc))
    return np.asarray(np.linalg.norm(vectors, axis=1))


def _broken(atoms: Any, bonds: Integers, mean: Floats) -> str | None:
    if not np.isfinite(atoms.positions).all():
        return "positions are no longer finite"
    lengths = pair_lengths(atoms, atoms.positions, bonds)
    off = np.abs(lengths - mean)
    if not len(off) or off.max() <= BROKEN_BY:
        return None
    k = int(np.argmax(off))
    i, j = bonds[:, k].tolist()
    symbols = atoms.get_chemical_symbols()
    return f"bond {symbols[i]}{i}-{symbols[j]}{j} is {lengths[k]:.2f} Å long, {mean[k]:.2f} Å on average"


def _reach(reference: Trajectory) -> float:
    """The largest distance of h(r): all of a molecule with room to spare, half the cell of a periodic system."""
    if reference.periodic and reference.cells is not None:
        # the distance between opposite faces is one over the length of a reciprocal vector
        reciprocal = np.linalg.inv(completed(reference.cells, reference.pbc))
        return 0.5 / float(np.linalg.norm(reciprocal, axis=1)[:, list(reference.pbc)].max())
    span = np.ptp(reference.positions, axis=1)
    return 1.2 * float(np.linalg.norm(span, axis=1).max())


def _atoms_of(reference: Trajectory) -> Any:
    """ase.Atoms of the first frame."""
    cell = None if reference.cells is None else reference.cells[0]
    return Atoms(reference.atomic_numbers, reference.positions[0], cell=cell, pbc=reference.pbc)


def _frames(reference: Trajectory) -> Iterator[Any]:
    """The frames one after the other, each in its own cell, in one ase.Atoms."""
    atoms = _atoms_of(reference)
    for i, positions in enumerate(reference.positions):
        if reference.cells is not None:
            atoms.set_cell(reference.cells[i])
        atoms.positions[:] = positions
        yield atoms


def _histogram(reference: Trajectory, pairs: Integers, edges: Floats) -> Floats:
    counts = np.zeros(len(edges) - 1)
    for frame in _frames(reference):
        counts += _counts(frame, pairs, edges)
    return np.asarray(counts / (counts.sum() * BIN))


def _counts(atoms: Any, pairs: Integers, edges: Floats) -> Integers:
    """How many pairs have a distance in each bin. Of a periodic system those beyond half the cell are left out."""
    lengths = pair_lengths(atoms, atoms.positions, pairs)
    if not atoms.pbc.any():
        lengths = np.minimum(lengths, edges[-1])  # the last bin contains its upper edge
    return np.histogram(lengths, edges)[0]
