"""Preparation at a temperature, and constant-energy dynamics whose every step is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from frames.data.trajectory import Floats, Integers
from frames.data.xtb import one_thread, tblite
from frames.errors import FramesError
from frames.units import AMU_ANGSTROM2_PER_FS2, BOLTZMANN

Potential = Callable[[Floats], tuple[float, Floats]]


def velocity_verlet(
    potential: Potential, positions: Floats, velocities: Floats, forces: Floats, masses: Floats, step: float
) -> tuple[Floats, Floats, float, Floats]:
    """One step of velocity Verlet (Swope et al., J. Chem. Phys. 76, 637, 1982).

    Args:
        positions, velocities, forces: [N,3] in Å, Å/fs, eV/Å.
        masses: [N] amu.
        step: fs.

    Returns:
        The new positions, velocities, energy (eV) and forces.
    """
    half = 0.5 * step / (masses[:, None] * AMU_ANGSTROM2_PER_FS2)
    velocities = velocities + half * forces
    positions = positions + step * velocities
    energy, forces = potential(positions)
    return positions, velocities + half * forces, energy, forces


@dataclass(frozen=True)
class Preparation:
    """How a molecule is brought to a temperature."""

    method: str
    accuracy: float
    temperature: float
    """K."""
    steps: int
    """Of Langevin dynamics; more follow in tens while the molecule holds too much potential energy."""
    step: float
    """fs."""
    friction: float
    """1/ps."""
    seed: int


def prepare(how: Preparation, atomic_numbers: Integers, positions: Floats) -> tuple[Floats, Floats]:
    """As `_prepare`, on one thread."""
    with one_thread().limit(limits=1):
        return _prepare(how, atomic_numbers, positions)


def _prepare(how: Preparation, atomic_numbers: Integers, positions: Floats) -> tuple[Floats, Floats]:
    """Positions (Å) and velocities (Å/fs) from which constant-energy dynamics has the temperature asked for.

    The geometry is relaxed, velocities are drawn from the Maxwell-Boltzmann distribution, Langevin dynamics follows.
    Then the centre of mass is put at rest at the origin, rotation is stopped, and the velocities are scaled so that
    the total energy is the classical harmonic mean, k_B T per vibration above the minimum: the energy of a single
    canonical state would scatter by a fifth in a molecule of nine atoms, and with it the temperature of the run.

    Raises FramesError if the geometry does not relax, or the method fails.
    """
    from ase import Atoms
    from ase.calculators.calculator import CalculationFailed
    from ase.md.langevin import Langevin
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
    from ase.optimize import BFGS
    from ase.units import fs

    random = np.random.default_rng(how.seed)
    atoms: Any = Atoms(atomic_numbers, positions)
    atoms.calc = tblite().ase.TBLite(method=how.method, accuracy=how.accuracy, verbosity=0)
    try:
        relaxation: Any = BFGS(atoms, logfile=None)
        if len(atoms) > 1 and not relaxation.run(fmax=0.02, steps=50 * len(atoms) + 200):
            raise FramesError("the geometry does not relax: start from a better one")
        minimum = atoms.get_potential_energy()
        thermal = vibrations(atoms) * BOLTZMANN * how.temperature
        MaxwellBoltzmannDistribution(atoms, temperature_K=how.temperature, rng=random)
        thermostat = {"temperature_K": how.temperature, "friction": how.friction / (1000 * fs)}
        dynamics: Any = Langevin(atoms, how.step * fs, rng=random, fixcm=False, **thermostat)
        dynamics.run(how.steps)
        while atoms.get_potential_energy() - minimum > 0.9 * thermal:
            dynamics.run(10)
        kinetic = thermal - (atoms.get_potential_energy() - minimum)
    except (RuntimeError, ValueError, CalculationFailed) as error:
        raise FramesError(f"xTB failed during preparation: {str(error).strip().splitlines()[0]}") from error
    _stop_drift_and_rotation(atoms, kinetic)
    return atoms.get_positions(), atoms.get_velocities() * fs


def vibrations(atoms: Any) -> int:
    """Number of vibrations of an ase.Atoms molecule: 3N less translations and rotations."""
    if len(atoms) == 1:
        return 0
    moments = atoms.get_moments_of_inertia()
    return 3 * len(atoms) - 3 - int(np.count_nonzero(moments > 1e-3 * moments.max()))


def _stop_drift_and_rotation(atoms: Any, kinetic: float) -> None:
    """Centre of mass to the origin and at rest, no rotation, and this kinetic energy in eV in what is left."""
    from ase.md.velocitydistribution import Stationary, ZeroRotation

    atoms.positions -= atoms.get_center_of_mass()
    Stationary(atoms, preserve_temperature=False)
    if len(atoms) > 1:
        ZeroRotation(atoms, preserve_temperature=False)
    present = atoms.get_kinetic_energy()
    if present > 0:
        atoms.set_momenta(atoms.get_momenta() * np.sqrt(kinetic / present))
