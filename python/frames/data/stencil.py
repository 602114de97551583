"""Second differences in time: what neighbouring frames have to weigh so that they give the acceleration.

Textbook weights assume that frames are samples of a smooth motion. Those of an integrator are not quite: velocity
Verlet obeys its own three-frame difference, over steps that were perhaps not all stored, and fast vibrations have only
a few frames to a period. So where some frames have forces, the weights are fitted to them (Savitzky and Golay, Anal.
Chem. 36, 1627, 1964, fit a polynomial to the samples; here it is the forces that are fitted). A handful of numbers for
all atoms needs a handful of frames: by 100 of them, forces of ethanol stored every 1 fs of a 0.5 fs dynamics come out
0.003 % off instead of 1.9, every 2 fs 0.5 instead of 9 % (benchmarks/study/reach.md).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from frames.data.trajectory import Floats

_EQUATIONS = 20
"""Force components that a fit needs for each weight."""


def central_difference(reach: int) -> Floats:
    """Weights [reach] of r(t+k) + r(t−k) − 2 r(t), k = 1 … reach, in Δt² r̈(t), of order 2·reach.

    B. Fornberg, Math. Comp. 51, 699 (1988).
    """
    k = np.arange(1, reach + 1, dtype=np.float64)
    shares = np.array([np.prod([j * j / (j * j - i * i) for j in k if j != i]) for i in k])
    return np.asarray(shares / k**2)


def fitted_difference(parts: Iterable[tuple[Floats, Floats]], reach: int) -> Floats | None:
    """Weights [reach] that give the known forces best, of all that are exact for a constant acceleration.

    Args:
        parts: of each run what each term adds to the forces, m (r(t+k) + r(t−k) − 2 r(t)) / Δt² as [reach,...] eV/Å,
            and the forces [...].

    Returns:
        None if there are too few forces for a fit.
    """
    squares = np.arange(1, reach + 1, dtype=np.float64) ** 2
    columns, rests = [np.zeros((reach - 1, 0))], [np.zeros(0)]
    for terms, forces in parts:
        # Σ k² w(k) = 1: what is left to choose are the weights beyond the first
        flat = terms.reshape(reach, forces.size)
        columns.append(flat[1:] - squares[1:, None] * flat[0])
        rests.append(forces.reshape(-1) - flat[0])
    matrix, right = np.concatenate(columns, axis=1).T, np.concatenate(rests)
    if len(right) < _EQUATIONS * reach:
        return None
    # scaled, since columns of frames that lie far off are large
    scale = np.sqrt(np.square(matrix).sum(axis=0)).clip(min=1e-300)
    beyond = np.linalg.lstsq(matrix / scale, right, rcond=None)[0] / scale
    return np.concatenate([[1.0 - squares[1:] @ beyond], beyond])
