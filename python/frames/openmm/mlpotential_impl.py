"""A model file as a potential of OpenMM-ML: systems that it describes wholly, or together with a classical force
field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from openmmml.mlpotential import MLPotentialImpl

from frames.artifact import read_metadata
from frames.errors import FramesError
from frames.openmm.framesforce import FramesForce, checked_path

FORCE_OPTIONS = ("backend", "precision", "skin", "bonds", "embed")
# What OpenMM-ML's own embedding takes and hands on to the potential as well.
EMBEDDING_OPTIONS = ("mlLongRange", "linkAtomDistances")


class FramesPotential(MLPotentialImpl):
    """Adds a FramesForce to the systems that `MLPotential.createSystem` and `createMixedSystem` make.

    Both take the keywords backend, precision, skin, bonds and embed of FramesForce, and charge and multiplicity,
    which have to be those that the model was trained for.
    """

    def __init__(self, name: str, model: Any, unknown: Mapping[str, Any]) -> None:
        """Reads the metadata of the model file. Raises FramesError."""
        if unknown:
            raise FramesError(
                f"MLPotential({name!r}): unknown keyword {next(iter(unknown))!r}; expected modelPath "
                f"({', '.join(FORCE_OPTIONS)} belong to createSystem and createMixedSystem)"
            )
        if model is None:
            raise FramesError(f"MLPotential({name!r}): modelPath is missing; expected the path of a model file")
        self.name = name
        self.model = checked_path(model)
        self.metadata = read_metadata(self.model)

    def addForces(
        self, topology: Any, system: Any, atoms: Iterable[int] | None, forceGroup: int, **options: Any
    ) -> None:
        """Called by OpenMM-ML. Raises FramesError for an unknown keyword, another charge or multiplicity, and
        whatever FramesForce refuses."""
        for key in ("charge", "multiplicity"):
            self._check_state(key, options.pop(key, None))
        for key in EMBEDDING_OPTIONS:
            options.pop(key, None)
        for key in options:
            if key not in FORCE_OPTIONS:
                raise FramesError(
                    f"MLPotential({self.name!r}): unknown keyword {key!r}; "
                    f"expected {', '.join(FORCE_OPTIONS)}, charge or multiplicity"
                )
        periodic = topology.getPeriodicBoxVectors() is not None or system.usesPeriodicBoundaryConditions()
        force = FramesForce(self.model, topology, atoms=atoms, periodic=periodic, **options)
        force.setForceGroup(forceGroup)
        system.addForce(force)

    def getMLLongRange(self) -> bool:
        """False: the energy of an atom ends at the cutoff, so periodic images of the model's atoms are left to
        the classical force field."""
        return False

    def _check_state(self, key: str, given: Any) -> None:
        # Charge and multiplicity are no input of these models: they are those of the training data, which a
        # model file names where they are not those of a neutral molecule without unpaired electrons.
        own = getattr(self.metadata, key, 0 if key == "charge" else 1)
        if given is not None and given != own:
            raise FramesError(
                f"{key} = {given!r}: the model {self.model} describes systems of {key} {own} only; "
                f"leave {key} out, or train a model on such data"
            )
