"""A few fixed shapes that hold batches of many: what a compiled training step is made for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

MOST = 4  # shapes: each costs half a minute or more of compilation
PADDING = 0.1  # of the work: with so little of it wasted, fewer shapes do
ATOM_WORK = 30  # of one edge: about the ratio of the two in a step of `cartesian` (benchmarks/NOTES.md)
EDGES = 64  # where numbers of edges vary, they are rounded up to a multiple of this


class Shape(NamedTuple):
    """Numbers of atoms and edges of a batch."""

    atoms: int
    edges: int

    def holds(self, other: Shape) -> bool:
        """Whether a batch of the other shape can be padded to this one."""
        return self.atoms >= other.atoms and self.edges >= other.edges

    @property
    def work(self) -> int:
        """Of a step, in edges."""
        return self.edges + ATOM_WORK * self.atoms


def choose_buckets(batches: Iterable[Shape], most: int = MOST) -> list[Shape]:
    """As few shapes as hold these batches with little padding, the smallest first.

    Batches are sorted by edges and divided into runs, whose largest numbers make the shape; the division is the one
    with the least work. Batches of one shape get that shape, without padding.
    """
    counts = Counter(batches)
    shapes = sorted(counts, key=lambda shape: (shape.edges, shape.atoms))
    if not shapes:
        return []
    times = np.array([counts[shape] for shape in shapes])
    needed = sum(shape.work * counts[shape] for shape in shapes)
    work, first = _divisions(shapes, times, most)
    runs = next((k for k in range(most) if work[k, -1] <= (1 + PADDING) * needed), most - 1)
    found: list[Shape] = []
    end = len(shapes)
    for k in range(runs, -1, -1):
        start = int(first[k, end - 1])
        found.append(_shape_of(shapes[start:end]))
        end = start
        if end == 0:
            break
    return sorted(set(found), key=lambda shape: shape.work)


def _divisions(shapes: list[Shape], times: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Least work [most,n] of the first shapes in k + 1 runs, and where the last of these runs starts."""
    n = len(shapes)
    atoms, edges = np.array(shapes).T
    work = np.full((most, n), np.inf)
    first = np.zeros((most, n), np.int64)
    for end in range(n):
        # of a run from each start to this end, the last one included
        widest = np.maximum.accumulate(atoms[end::-1])[::-1]
        cost = (edges[end] + ATOM_WORK * widest) * np.cumsum(times[end::-1])[::-1]
        work[0, end] = cost[0]
        for k in range(1, most):
            total = np.concatenate([[cost[0]], work[k - 1, :end] + cost[1:]])
            first[k, end] = np.argmin(total)
            work[k, end] = total[first[k, end]]
    return work, first


def _shape_of(run: list[Shape]) -> Shape:
    edges = max(shape.edges for shape in run)
    varies = len({shape.edges for shape in run}) > 1
    return Shape(max(shape.atoms for shape in run), -(-edges // EDGES) * EDGES if varies else edges)
