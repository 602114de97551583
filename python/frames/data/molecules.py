"""Molecules by name, as starting points for generated trajectories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from frames.data.trajectory import Floats, Integers
from frames.errors import FramesError

# Relaxed with GFN2-xTB; no imaginary frequencies. In Å.
_RELAXED = {
    "uracil": """
        N -0.3339 1.5149 0.0   C 0.8975 0.8835 0.0    N 0.8167 -0.4849 0.0   C -0.3342 -1.2769 0.0
        C -1.5638 -0.5015 0.0  C -1.5178 0.8404 0.0   O 1.9344 1.4973 0.0    O -0.2453 -2.4812 0.0
        H -0.3112 2.5246 0.0   H 1.7018 -0.9805 0.0   H -2.4933 -1.0420 0.0  H -2.4086 1.4515 0.0
    """,
    "malonaldehyde": """
        O -1.2941 -0.8533 0.0  C -1.1912 0.4533 0.0   C -0.0139 1.1283 0.0   C 1.2227 0.4011 0.0
        O 1.3042 -0.8216 0.0   H -0.3665 -1.2254 0.0  H -2.1469 0.9674 0.0   H 0.0046 2.2032 0.0
        H 2.1395 1.0125 0.0
    """,
    "aspirin": """
        C -0.8253 0.0753 -0.3986   C 0.1726 -0.9013 -0.3073   C -0.1473 -2.2424 -0.4636
        C -1.4549 -2.6185 -0.7102  C -2.4539 -1.6605 -0.7823  C -2.1401 -0.3246 -0.6260
        C -0.4917 1.5170 -0.2980   O 0.5768 2.0061 -0.5716    O -1.5312 2.2571 0.1013
        O 1.4931 -0.5744 -0.0840   C 1.8139 0.2031 0.9765     O 1.0442 0.4767 1.8543
        C 3.2469 0.6316 0.8898     H 0.6401 -2.9760 -0.3889   H -1.6944 -3.6635 -0.8360
        H -3.4761 -1.9558 -0.9627  H -2.9074 0.4308 -0.6882   H -1.2651 3.1873 0.1708
        H 3.8503 -0.1490 0.4370    H 3.2785 1.5123 0.2498     H 3.6175 0.8921 1.8762
    """,
}

# Everyday names of members of the G2 set, which ase.build.molecule knows by formula.
_IN_G2 = {
    "acetaldehyde": "CH3CHO",
    "acetamide": "CH3CONH2",
    "acetic acid": "CH3COOH",
    "acetone": "CH3COCH3",
    "acetonitrile": "CH3CN",
    "ammonia": "NH3",
    "benzene": "C6H6",
    "butadiene": "butadiene",
    "carbon dioxide": "CO2",
    "dimethyl ether": "CH3OCH3",
    "ethane": "C2H6",
    "ethanol": "CH3CH2OH",
    "ethylene": "C2H4",
    "formaldehyde": "H2CO",
    "formic acid": "HCOOH",
    "furan": "C4H4O",
    "methane": "CH4",
    "methanol": "CH3OH",
    "methylamine": "H3CNH2",
    "propane": "C3H8",
    "pyridine": "C5H5N",
    "pyrrole": "C4H4NH",
    "thiophene": "C4H4S",
    "water": "H2O",
}


def molecule(name: str) -> tuple[Integers, Floats]:
    """Atomic numbers [N] and positions [N,3] in Å of a molecule by name, by G2 formula, or from an .xyz file.

    Raises FramesError for a name that is not known, with those that are, and for a file that is not one molecule.
    """
    if Path(name).suffix.lower() in (".xyz", ".extxyz") or Path(name).is_file():
        return _from_file(Path(name))
    key = name.strip().lower()
    if key in _RELAXED:
        words = _RELAXED[key].split()
        return _numbers(words[::4]), np.array(words, dtype=object).reshape(-1, 4)[:, 1:].astype(np.float64)
    from ase import build

    from_g2: Any = build.molecule
    try:
        atoms = from_g2(_IN_G2.get(key, name.strip()))
    except KeyError:
        known = ", ".join(sorted([*_RELAXED, *_IN_G2]))
        raise FramesError(
            f"unknown molecule '{name}'; known are {known}, the formulas of the G2 set, and .xyz files"
        ) from None
    return np.asarray(atoms.get_atomic_numbers(), dtype=np.int64), np.asarray(atoms.get_positions())


def _numbers(symbols: list[str]) -> Integers:
    from ase.data import atomic_numbers

    return np.array([atomic_numbers[symbol] for symbol in symbols], dtype=np.int64)


def _from_file(path: Path) -> tuple[Integers, Floats]:
    from frames.data.readers import read

    trajectories = read(path)
    if len(trajectories) != 1 or len(trajectories[0]) != 1:
        frames = sum(len(trajectory) for trajectory in trajectories)
        raise FramesError(f"{path}: must hold one geometry of one molecule, holds {frames}")
    if trajectories[0].periodic:
        raise FramesError(f"{path}: is periodic; trajectories are generated for molecules")
    return trajectories[0].atomic_numbers, trajectories[0].positions[0]
