"""Which labels of a frame in ASE belong together: programs keep several methods' side by side under prefixes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress

from frames.errors import FramesError

_SAME_ENERGY = 1e-8  # in the unit of the file


@dataclass(frozen=True)
class Family:
    """Names of the labels of one method."""

    energy: tuple[str, ...]
    forces: tuple[str, ...]
    virial: tuple[str, ...]
    stress: tuple[str, ...]


def _prefixed(prefix: str) -> Family:
    return Family(
        (f"{prefix}energy",),
        (f"{prefix}forces", f"{prefix}force"),
        (f"{prefix}virial", f"{prefix}virials"),
        (f"{prefix}stress",),
    )


PLAIN = Family(
    ("energy", "Energy", "E", "total_energy", "TotEnergy"),
    ("forces", "force", "Forces", "F", "atomic_forces"),
    ("virial", "virials"),
    ("stress",),
)
FREE = "free_energy"
FAMILIES = (
    PLAIN,
    _prefixed("REF_"),
    _prefixed("dft_"),
    _prefixed("DFT_"),
)

Found = Mapping[str, tuple[str, Any]]
"""{"energy", "forces", "virial" or "free_energy": (key, value)} of one frame and family; a virial [3,3] is the sum of
r⊗F."""


def labels_by_family(atoms: Any) -> dict[Family, Found]:
    """What a frame has of every family, in the units of the file. Raises FramesError where an energy is no number."""
    return {family: found for family in FAMILIES if (found := _of(atoms, family))}


def choose(frames: Sequence[Mapping[Family, Found]]) -> tuple[dict[str, Family], str]:
    """From which family each of energy, forces and virial is taken, and a note if labels are left aside.

    All are of the family with most energies and forces in the file, of several the first; what no frame has of that one
    is of the next.
    """
    counts = {what: dict.fromkeys(FAMILIES, 0) for what in ("energy", "forces", "virial")}
    for frame in frames:
        for family, found in frame.items():
            for what in found.keys() & counts.keys():
                counts[what][family] += 1
    best = max(FAMILIES, key=lambda family: counts["energy"][family] + counts["forces"][family])
    chosen = dict.fromkeys(counts, best)
    for what in ("energy", "forces"):
        if not counts[what][best]:
            chosen[what] = max(FAMILIES, key=lambda family: counts[what][family])
    used = {frame[f][what][0] for frame in frames for what, f in chosen.items() if what in frame.get(f, {})}
    others = {key for frame in frames for found in frame.values() for key, _ in found.values()} - used - {FREE}
    if not others and chosen["energy"] == chosen["forces"]:
        return chosen, ""
    return chosen, f"labels are {', '.join(sorted(used))}" + (f", not {', '.join(sorted(others))}" if others else "")


def with_free_energies(frames: Sequence[Mapping[Family, Found]]) -> tuple[Sequence[Mapping[Family, Found]], str]:
    """The labels with the free energy as the energy, and a note, where it is what the forces are the gradient of.

    With smeared occupations programs also give an energy that is extrapolated to no smearing. The free energy is taken
    if all frames with an energy have one, and it differs from the energy in a frame with forces; or if no frame has
    another energy.
    """
    plain = [frame.get(PLAIN, {}) for frame in frames]
    if not any(FREE in found for found in plain):
        return frames, ""
    every = all(FREE in found for found in plain if "energy" in found)
    apart = any(
        abs(found[FREE][1] - found["energy"][1]) > _SAME_ENERGY
        for found in plain
        if FREE in found and "energy" in found and "forces" in found
    )
    if any("energy" in found for found in plain) and not (every and apart):
        note = "energies are not free_energy, which only some frames have" if apart and not every else ""
        return frames, note
    changed = [
        {**frame, PLAIN: {**found, "energy": found[FREE]}} if FREE in found else frame
        for frame, found in zip(frames, plain, strict=True)
    ]
    return changed, "energies are free_energy, of which the forces are the gradient"


def _of(atoms: Any, family: Family) -> dict[str, tuple[str, Any]]:
    results: Mapping[str, Any] = atoms.calc.results if atoms.calc is not None else {}
    found: dict[str, tuple[str, Any]] = {}
    for key in family.energy:
        if key in results or key in atoms.info:
            number = _number(key, results.get(key, atoms.info.get(key)))
            if number is not None:
                found["energy"] = (key, number)
                break
    for key in family.forces:
        value = results.get(key, atoms.arrays.get(key))
        if value is not None:
            found["forces"] = (key, np.asarray(value))
            break
    if family is PLAIN and (free := results.get(FREE, atoms.info.get(FREE))) is not None:
        found[FREE] = (FREE, _number(FREE, free))
    virial = next((key for key in family.virial if key in atoms.info), None)
    stress = next((key for key in family.stress if key in results or key in atoms.info), None)
    if virial is not None:
        found["virial"] = (virial, np.asarray(atoms.info[virial], dtype=np.float64).reshape(3, 3))
    elif stress is not None and atoms.pbc.all():
        # stress = -W / V in ASE's sign
        values = np.asarray(results.get(stress, atoms.info.get(stress)), dtype=np.float64)
        tensor = voigt_6_to_full_3x3_stress(values) if values.size == 6 else values.reshape(3, 3)  # type: ignore[no-untyped-call]
        found["virial"] = (stress, -tensor * atoms.get_volume())
    return found


def _number(key: str, value: Any) -> float | None:
    """The energy of that name; None for an E that is a field."""
    try:
        return float(np.asarray(value, dtype=np.float64).reshape(()))
    except (TypeError, ValueError):
        if key == "E" and np.size(value) == 3:
            return None
        raise FramesError(f"{key} = {value!r} is no number") from None
