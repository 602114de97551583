"""A model as a compiled OpenMM force: no Python and no PyTorch in the loop."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Literal

from frames.artifact import read_metadata
from frames.errors import FramesError
from frames.inference import BACKENDS, BackendName
from frames.openmm.guard import import_compiled_force
from frames.openmm.parameters import checked_parameter, checked_scale
from frames.openmm.particles import model_particles

_compiled = import_compiled_force()

import openmm  # noqa: E402  after the check that the compiled part fits it

PRECISIONS = (None, "single", "double")
SKIN = 0.05  # nm


@dataclass(frozen=True)
class ForceSettings:
    """What a FramesForce was made with.

    Attributes:
        model: path of the model file.
        sha256: of the model file.
        embedded: whether the force carries the model itself, or only its path.
        particles: number of particles of the system.
        atoms: indices of the particles that the model describes.
        atomic_numbers: of those.
        bonds: pairs of particles that belong to one molecule.
        periodic: whether the box vectors of the system are used.
        topology_box: box vectors of the topology in nm, [] if it had none; a Context whose box is OpenMM's default
            instead is refused.
        backend: "auto", "native" or "torchscript".
        precision: "single", "double", or "" for that of the model file.
        skin: nm, of the neighbour list.
        scale_parameter: name of the global parameter that scales the energy, or "".
        scale_default: its value in a new Context.
        scale_derivative: whether dE/d(scale_parameter) is computed.
    """

    model: str
    sha256: str
    embedded: bool
    particles: int
    atoms: list[int]
    atomic_numbers: list[int]
    bonds: list[tuple[int, int]]
    periodic: bool
    topology_box: list[tuple[float, float, float]]
    backend: str
    precision: str
    skin: float
    scale_parameter: str
    scale_default: float
    scale_derivative: bool


class FramesForce(openmm.Force):
    """The energy of a model file for all or some particles of a system, in kJ/mol, on Reference, CPU and OpenCL.

    It can be used as every other force: in force groups, with constraints, barostats and virtual sites, inside
    CustomCVForce and ATMForce, copied, and written to XML with its System. Whatever happens to the model in a
    Context (a backend that is not installed, positions that are not finite) is raised as OpenMMException.
    """

    def __init__(
        self,
        model: str | Path,
        topology_or_elements: Any,
        *,
        atoms: Iterable[int] | None = None,
        periodic: bool | None = None,
        backend: BackendName = "auto",
        precision: Literal["single", "double"] | None = None,
        scale_parameter: str | None = None,
        scale_default: float = 1.0,
        bonds: Iterable[tuple[int, int]] | Literal["topology"] | None = None,
        skin: Any = SKIN,
        embed: bool = True,
    ) -> None:
        """Makes the force; the model is loaded, and its test frame replayed, when a Context is made.

        Args:
            model: path of a model file.
            topology_or_elements: the OpenMM `Topology` of the whole system, or the elements of all its
                particles as symbols, atomic numbers or OpenMM elements (None for a particle without one).
            atoms: indices of the particles that the model describes; all by default. The others, such as
                virtual sites and solvent, feel no force from it.
            periodic: whether to use the box vectors of the system; by default, whether the topology has some. The
                system must be given them: `system.setDefaultPeriodicBoxVectors(*topology.getPeriodicBoxVectors())`.
            backend: "native" (compiled, without PyTorch), "torchscript", or "auto": the first that can
                evaluate the model.
            precision: of the arithmetic; by default that of the model file.
            scale_parameter: name of a global parameter that the energy is multiplied by; see
                `addEnergyParameterDerivative`.
            scale_default: value of that parameter in a new Context.
            bonds: pairs of particles that OpenMM is to treat as one molecule, which a Monte Carlo barostat
                moves as a whole; "topology" takes the bonds of the topology between atoms of the model. None:
                every atom is moved on its own, unless other forces or constraints bind it.
            skin: nm or a Quantity; pairs up to cutoff + skin are remembered until an atom has moved by half
                of it. It changes the speed, never the result.
            embed: whether copies and XML of the force hold the model itself, or its path and checksum.

        Raises FramesError if the model file, the topology or an option cannot be used.
        """
        path = checked_path(model)
        if backend not in BACKENDS:
            raise FramesError(f"backend {backend!r}; expected one of {', '.join(BACKENDS)}")
        if precision not in PRECISIONS:
            raise FramesError(f"precision {precision!r}; expected 'single', 'double', or None for the model's own")
        if periodic not in (None, True, False):
            raise FramesError(f"periodic = {periodic!r}; expected True, False, or None to follow the topology")
        if not isinstance(embed, bool):
            raise FramesError(f"embed = {embed!r}; expected True (copies hold the model) or False (its path)")
        metadata = read_metadata(path)
        particles = model_particles(topology_or_elements, metadata.elements, atoms=atoms, periodic=periodic)
        indices = list(range(particles.total)) if particles.atoms is None else particles.atoms
        xml = _compiled.new_force(
            str(path),
            embed,
            particles.total,
            indices,
            particles.atomic_numbers,
            _checked_bonds(bonds, topology_or_elements, particles.total, set(indices)),
            bool(particles.periodic),
            particles.box,
            backend,
            precision or "",
            _checked_skin(skin),
            checked_parameter(scale_parameter),
            checked_scale(scale_default, scale_parameter),
        )
        # OpenMM's reader makes the object, so that OpenMM's own Python classes own it.
        self.this = openmm.XmlSerializer.deserialize(xml).this

    @staticmethod
    def cast(force: Any) -> FramesForce:
        """The FramesForce that `system.getForce(i)` or `XmlSerializer` returned as a plain Force.

        Raises FramesError if it is none.
        """
        if not FramesForce.isFramesForce(force):
            raise FramesError(f"{force!r} is no FramesForce; expected one that this package made")
        force.__class__ = FramesForce
        result: FramesForce = force
        return result

    @staticmethod
    def isFramesForce(force: Any) -> bool:
        """Whether a Force that OpenMM returned is a FramesForce, whatever its Python type."""
        return isinstance(force, openmm.Force) and bool(_compiled.is_frames_force(int(force.this)))

    @property
    def settings(self) -> ForceSettings:
        """What the force was made with."""
        return ForceSettings(**_compiled.settings(int(self.this)))

    def addEnergyParameterDerivative(self, name: str) -> None:
        """Asks for dE/d(scale_parameter) in `State.getEnergyParameterDerivatives` of contexts made from now on.

        It costs time in every step: the force is then evaluated in a Context of its own inside the Context.
        Raises FramesError if `name` is not the force's scale_parameter.
        """
        _compiled.add_energy_parameter_derivative(int(self.this), name)

    def getAtomEnergies(self, context: Any) -> Any:
        """Energies of the model's atoms [len(settings.atoms)] as a Quantity in kJ/mol, from the last evaluation
        of this force in `context`; their sum is its energy. Nothing is evaluated.

        Raises FramesError if the force is not part of that Context, or was not evaluated in it yet.
        """
        energies = _compiled.atom_energies(int(self.this), _address(context))
        parameter = self.settings.scale_parameter
        scale = context.getParameter(parameter) if parameter else 1.0
        return openmm.unit.Quantity(scale * energies, openmm.unit.kilojoule_per_mole)

    def getModelForces(self, context: Any) -> Any:
        """Forces on the model's atoms [len(settings.atoms),3] as a Quantity in kJ/mol/nm, as the model gave them
        in the last evaluation, whatever the scale parameter. Nothing is evaluated; errors as getAtomEnergies.
        """
        forces = _compiled.atom_forces(int(self.this), _address(context))
        return openmm.unit.Quantity(forces, openmm.unit.kilojoule_per_mole / openmm.unit.nanometer)

    def getBackend(self, context: Any) -> str:
        """What evaluates the model in `context`, for example "native, AVX2, float32, 1 thread"."""
        description: str = _compiled.backend_description(int(self.this), _address(context))
        return description

    def getNeighbourListBuilds(self, context: Any) -> int:
        """How often the neighbour list was built in `context`."""
        builds: int = _compiled.neighbour_list_builds(int(self.this), _address(context))
        return builds


def _address(context: Any) -> int:
    if not isinstance(context, openmm.Context):
        raise FramesError(f"expected an OpenMM Context, not {type(context).__name__}; that of a Simulation is .context")
    return int(context.this)


def checked_path(model: Any) -> Path:
    """An absolute path. Raises FramesError for anything that is none."""
    if not isinstance(model, str | Path):
        raise FramesError(f"expected the path of a model file, not {model!r} of type {type(model).__name__}")
    return Path(model).resolve()


def _checked_skin(skin: Any) -> float:
    if openmm.unit.is_quantity(skin):
        if not skin.unit.is_compatible(openmm.unit.nanometer):
            raise FramesError(f"skin = {skin}; expected a length")
        skin = skin.value_in_unit(openmm.unit.nanometer)
    if isinstance(skin, bool) or not isinstance(skin, Real) or not 0 <= float(skin) < math.inf:
        raise FramesError(f"skin = {skin!r}; expected a length in nm, 0 or more")
    return float(skin)


def _checked_bonds(bonds: Any, given: Any, particles: int, atoms: set[int]) -> list[tuple[int, int]]:
    if bonds is None:
        return []
    if isinstance(bonds, str):
        if bonds != "topology" or not hasattr(given, "bonds"):
            raise FramesError(f"bonds = {bonds!r}; expected 'topology' with an OpenMM Topology, or pairs of particles")
        pairs = [(bond[0].index, bond[1].index) for bond in given.bonds()]
        return [pair for pair in pairs if pair[0] in atoms and pair[1] in atoms]
    checked = []
    try:
        for first, second in bonds:
            i, j = int(first), int(second)
            if (i, j) != (first, second) or i == j or not (0 <= i < particles and 0 <= j < particles):
                raise ValueError
            checked.append((i, j))
    except (TypeError, ValueError):
        raise FramesError(
            f"bonds: expected pairs of two different particles, integers from 0 to {particles - 1}"
        ) from None
    return checked
