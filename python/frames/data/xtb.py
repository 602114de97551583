"""Energies and forces from the xTB methods of tblite, as a function of the positions alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from frames.data.trajectory import Floats, Integers
from frames.errors import FramesError
from frames.units import BOHR, HARTREE

METHODS = ("GFN2-xTB", "GFN1-xTB", "IPEA1-xTB")


def tblite() -> Any:
    """The module tblite. Raises FramesError if it is not installed."""
    try:
        import tblite.ase
        import tblite.interface
        import threadpoolctl  # noqa: F401
    except ImportError as error:
        raise FramesError(
            f"generating trajectories needs tblite and threadpoolctl: pip install 'frames-md[trajectories]' ({error})"
        ) from error
    return tblite


def one_thread() -> Any:
    """A limit of the threads that the libraries of tblite use: `with one_thread().limit(limits=1)`.

    Threads only wait for each other in molecules of tens of atoms, ethanol takes 1 ms on one and 3 ms on two, and they
    add up in an order of their own: a restarted run would differ in the last digit.
    """
    tblite()  # first: what is not loaded cannot be limited
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


class Xtb:
    """One molecule in one method.

    Every evaluation starts from the same guess of the wave function, not from the last one. That costs about as much
    (the guess from superposed atoms is good) and makes energies and forces a function of the positions alone: a
    trajectory that is interrupted and continued is the same as one that is not.
    """

    def __init__(
        self,
        method: str,
        atomic_numbers: Integers,
        positions: Floats,
        accuracy: float = 1.0,
        *,
        charge: int = 0,
        unpaired: int = 0,
    ) -> None:
        if method not in METHODS:
            raise FramesError(f"unknown method '{method}'; known are {', '.join(METHODS)}")
        self._threads = one_thread()
        self._calculator = tblite().interface.Calculator(
            method, atomic_numbers, positions / BOHR, charge=float(charge), uhf=unpaired
        )
        self._calculator.set("verbosity", 0)
        self._calculator.set("accuracy", accuracy)

    def __call__(self, positions: Floats) -> tuple[float, Floats]:
        """Energy in eV and forces [N,3] in eV/Å at positions [N,3] in Å.

        Raises FramesError if the self-consistent field does not converge.
        """
        try:
            with self._threads.limit(limits=1):
                self._calculator.update(positions / BOHR)
                result = self._calculator.singlepoint()
        except (RuntimeError, ValueError) as error:
            raise FramesError(f"xTB failed: {str(error).strip().splitlines()[0]}") from error
        energy = float(result.get("energy")) * HARTREE
        return energy, -np.asarray(result.get("gradient")) * (HARTREE / BOHR)
