"""Labels of frames by model files or by a quantum-chemical method, alone or added to those that the frames have.

With them a small model learns what separates two methods, and its answers carry the frames of the cheap one over to
the other (Δ-learning: Ramakrishnan, Dral, Rupp, von Lilienfeld, J. Chem. Theory Comput. 11, 2087, 2015).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from frames.data.trajectory import DIFFERENCE, LABELS, Floats, Trajectory, require_labels
from frames.data.xtb import Xtb
from frames.errors import FramesError
from frames.inference import Evaluator

Labels = tuple[float, Floats, Floats | None]
"""Energy in eV, forces [N,3] in eV/Å, virial [3,3] in eV if it is known."""
Labeller = Callable[[Trajectory, int], Labels]
"""The labels of one frame of a run."""
How = Literal["replace", "add", "subtract"]
WORDS: dict[How, str] = {"replace": "of", "add": "plus those of", "subtract": "minus those of"}


def by_models(models: Sequence[Evaluator]) -> Labeller:
    """The mean of one or more model files. Calling it raises FramesError for elements that one does not know."""

    def label(run: Trajectory, i: int) -> Labels:
        cell = None if run.cells is None else run.cells[i]
        found = [model.evaluate(run.atomic_numbers, run.positions[i], cell, np.array(run.pbc)) for model in models]
        energy = float(np.mean([one.energy for one in found]))
        return energy, np.mean([one.forces for one in found], axis=0), np.mean([one.virial for one in found], axis=0)

    return label


def by_method(method: str, charge: int = 0, unpaired: int | None = None) -> Labeller:
    """An xTB method, for molecules.

    Args:
        charge: of the molecule, in e.
        unpaired: number of electrons; none if not given.

    Calling it raises FramesError for periodic frames, for another number of electrons than charge and spin allow, and
    if it does not converge.
    """
    calculators: dict[bytes, Xtb] = {}

    def label(run: Trajectory, i: int) -> Labels:
        if run.periodic:
            raise FramesError(f"{run.source or 'trajectory'}: is periodic, and {method} is for molecules here")
        key = run.atomic_numbers.tobytes()
        if key not in calculators:
            electrons = int(run.atomic_numbers.sum()) - charge
            if electrons < (unpaired or 0) or (electrons - (unpaired or 0)) % 2:
                state = "all of them paired" if unpaired is None else f"{unpaired} of them unpaired"
                raise FramesError(
                    f"{run.source or 'trajectory'}: with a charge of {charge} there are {electrons} electrons, and not "
                    f"{state}; give --charge for an ion, or --unpaired for a radical"
                )
            calculators[key] = Xtb(method, run.atomic_numbers, run.positions[i], charge=charge, unpaired=unpaired or 0)
        return *calculators[key](run.positions[i]), None

    return label


def relabelled(
    run: Trajectory,
    labeller: Labeller,
    how: How = "replace",
    *,
    name: str = "",
    progress: Callable[[], None] = lambda: None,
) -> Trajectory:
    """The run with the labels of the labeller, with the sum of both (`add`), or with its own minus them (`subtract`).

    Velocities belong to the forces of the run itself and are left out. So are virials unless both sides have them.

    Args:
        name: of the labeller, for the notes of the run.
        progress: called after each frame.

    Raises FramesError where labels of the run are needed that it does not have.
    """
    if how != "replace":
        require_labels(run, "energies", "forces")
    energies, forces, virials = np.empty(len(run)), np.empty(run.positions.shape), np.empty((len(run), 3, 3))
    known = how == "replace" or run.virials is not None
    for i in range(len(run)):
        energies[i], forces[i], virial = labeller(run, i)
        if virial is None:
            known = False
        else:
            virials[i] = virial
        progress()
    if how != "replace":
        sign = 1.0 if how == "add" else -1.0
        assert run.energies is not None and run.forces is not None
        energies, forces = run.energies + sign * energies, run.forces + sign * forces
        if known and run.virials is not None:
            virials = run.virials + sign * virials
    kept = {key: value for key, value in run.metadata.items() if key != LABELS}
    labelled = replace(
        run,
        energies=energies,
        forces=forces,
        virials=virials if known else None,
        velocities=None,
        metadata={**kept, LABELS: DIFFERENCE} if how == "subtract" else kept,
        labels_as="",
    )
    return labelled.with_notes(f"labels {WORDS[how]} {name}") if name else labelled
