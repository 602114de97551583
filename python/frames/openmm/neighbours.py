"""Neighbour lists in tensor operations that TorchScript can compile.

They are called inside a TorchForce, where no Python and no neighbour list library is at hand. All functions
return `edge_index` [2,E] int64 (row 0 the centres i, row 1 the neighbours j, both directions present) and
`shifts` [E,3], so that the edge vector r_j + shift − r_i is shorter than the cutoff. Lengths share one unit.
Without periodic boundaries there are no shifts: None is returned in their place.

The functions named `fixed_…` are for CUDA graphs, which replay the same work on tensors of the same shape: there all
pairs are edges, and `shortened` takes those that are too long out of the sums.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def all_pairs(atoms: int) -> Tensor:
    """All ordered pairs [2,N·N] of N atoms: first the N(N−1) of distinct atoms, then the N of an atom with
    itself."""
    index = torch.arange(atoms)
    i, j = index.repeat_interleave(atoms), index.repeat(atoms)
    distinct = i != j
    return torch.cat([torch.stack([i[distinct], j[distinct]]), torch.stack([index, index])], dim=1)


def open_edges(positions: Tensor, pairs: Tensor, cutoff: float) -> tuple[Tensor, Tensor | None]:
    """Edges of a system without periodic boundaries, from the `all_pairs` of it."""
    atoms = positions.size(0)
    distinct = pairs.narrow(1, 0, atoms * (atoms - 1))
    vectors = positions.index_select(0, distinct[1]) - positions.index_select(0, distinct[0])
    found = shorter_than(cutoff, vectors)
    if found.size(0) == distinct.size(1):  # a small molecule
        return distinct, None
    return distinct.index_select(1, found), None


def periodic_edges(positions: Tensor, box: Tensor, pairs: Tensor, cutoff: float) -> tuple[Tensor, Tensor | None]:
    """Edges in a periodic box [3,3] of any shape and size, from the `all_pairs` of it and all images in
    reach.

    Each pair is first brought to fractional distances within ±1/2. An image n steps along lattice vector k is
    then at least (|n| − 1/2) heights of the box away, so |n| ≤ cutoff/height + 1/2 reaches all neighbours;
    for a box wider than twice the cutoff that is the nearest image alone.
    """
    atoms = positions.size(0)
    distinct = atoms * (atoms - 1)
    inverse = torch.linalg.inv(box)
    reach = images_in_reach(inverse, cutoff)
    nearest_only = reach[0] + reach[1] + reach[2] == 0
    if nearest_only:
        pairs = pairs.narrow(1, 0, distinct)
    vectors = positions.index_select(0, pairs[1]) - positions.index_select(0, pairs[0])
    shifts = -torch.round(vectors.matmul(inverse)).matmul(box)
    vectors = vectors + shifts
    if nearest_only:
        found = shorter_than(cutoff, vectors)
        return pairs.index_select(1, found), shifts.index_select(0, found)
    images = lattice_points(reach, box.device).to(box.dtype).matmul(box)
    inside = squared_lengths(vectors.unsqueeze(0) + images.unsqueeze(1)) < cutoff * cutoff  # [images, pairs]
    inside[images.size(0) // 2, distinct:] = False  # the atom itself, in the middle image
    image, pair = torch.unbind(inside.nonzero(), 1)
    return pairs.index_select(1, pair), shifts.index_select(0, pair) + images.index_select(0, image)


def images_in_reach(inverse: Tensor, cutoff: float) -> list[int]:
    """How many periodic images each way have to be looked at, beside the nearest, for each lattice vector."""
    steps: list[float] = torch.floor(cutoff * inverse.square().sum(0).sqrt() + 0.5).tolist()
    return [int(step) for step in steps]


def lattice_points(reach: list[int], device: torch.device) -> Tensor:
    """All integer triples within ±reach [M,3] in lexicographic order, (0,0,0) in the middle."""
    a = torch.arange(-reach[0], reach[0] + 1, device=device)
    b = torch.arange(-reach[1], reach[1] + 1, device=device)
    c = torch.arange(-reach[2], reach[2] + 1, device=device)
    return torch.cartesian_prod(a, b, c)


def squared_lengths(vectors: Tensor) -> Tensor:
    """Squares of the lengths of vectors [...,3]; as a product with ones, several times quicker than a sum
    over 3."""
    return vectors.square().matmul(torch.ones(3, dtype=vectors.dtype, device=vectors.device))


def shorter_than(cutoff: float, vectors: Tensor) -> Tensor:
    """Indices of the vectors [P,3] that are shorter than the cutoff."""
    return (squared_lengths(vectors) < cutoff * cutoff).nonzero().squeeze(1)


def open_cell_list(positions: Tensor, cutoff: float) -> tuple[Tensor, Tensor | None]:
    """Edges of a large system without periodic boundaries.

    A box that leaves one cutoff of vacuum around all atoms has no neighbours across its faces.
    """
    if not math.isfinite(float(positions.sum())):
        raise ValueError("frames: the energy is not finite: positions are NaN or infinite, or two atoms have met")
    lowest = positions.min(0)[0]
    size = positions.max(0)[0] - lowest + cutoff
    edge_index, _shifts = cell_list(positions - lowest, torch.diag(size), cutoff)
    return edge_index, None


def cell_list(positions: Tensor, box: Tensor, cutoff: float) -> tuple[Tensor, Tensor | None]:
    """Edges of a large system in a periodic box [3,3], in time and memory proportional to the number of
    atoms.

    Cells are at least one cutoff wide, so that neighbours lie in adjacent cells; where the box is narrower
    than the cutoff there is one cell, and adjacent images of it are searched as far as the cutoff reaches.
    Atoms are sorted by cell, so that the content of a cell is a range found by bisection and empty cells take
    no memory.
    """
    atoms = positions.size(0)
    inverse = torch.linalg.inv(box)
    fractional = positions.matmul(inverse)
    wrapped = torch.floor(fractional)
    # the cutoff in heights of the box, and a little more: rounding must not put two neighbours two cells
    # apart
    widths: list[float] = (1.001 * cutoff * inverse.square().sum(0).sqrt()).tolist()
    cells = [min(max(int(1.0 / width), 1), 1 << 20) for width in widths]
    reach = [1 if width <= 0.5 else int(width) + 1 for width in widths]
    counts = torch.tensor(cells, device=positions.device)
    cell_of = torch.minimum(((fractional - wrapped) * counts).to(torch.int64), counts - 1)

    stride = torch.tensor([cells[1] * cells[2], cells[2], 1], device=positions.device)
    sorted_cells, order = (cell_of * stride).sum(1).sort()
    offsets = lattice_points(reach, positions.device)
    offsets = offsets[offsets.size(0) // 2 :]  # one of each pair of opposite offsets; (0,0,0) comes first
    target = cell_of.unsqueeze(0) + offsets.unsqueeze(1)  # [offsets, atoms, 3]
    image = torch.div(target, counts, rounding_mode="floor")
    target_cells = ((target - image * counts) * stride).sum(2)
    first = torch.searchsorted(sorted_cells, target_cells)
    occupancy = (torch.searchsorted(sorted_cells, target_cells, right=True) - first).flatten()

    # candidates: for every visit, that is (offset, atom), all the atoms of the target cell
    visit = torch.repeat_interleave(occupancy)
    i = visit % atoms
    rank = torch.arange(visit.size(0), device=positions.device) - (occupancy.cumsum(0) - occupancy)[visit]
    j = order[first.flatten()[visit] + rank]
    # within one cell each pair is met twice, and each atom meets itself
    kept = (visit >= atoms) | (i < j)
    visit, i, j = visit[kept], i[kept], j[kept]
    lattice = image.flatten(0, 1)[visit].to(box.dtype) - wrapped[j] + wrapped[i]
    shifts = lattice.matmul(box)
    found = shorter_than(cutoff, positions[j] + shifts - positions[i])
    i, j, shifts = i[found], j[found], shifts[found]
    return torch.cat([torch.stack([i, j]), torch.stack([j, i])], dim=1), torch.cat([shifts, -shifts])


def image_steps(heights: list[float], cutoff: float, shrinkage: float = 0.05) -> list[int]:
    """How many images each way along each lattice vector hold all neighbours, also in a box whose heights have
    shrunk by this part: what `fixed_edges` takes as its reach."""
    return [int(cutoff / ((1.0 - shrinkage) * height) + 0.5) for height in heights]


def fixed_edges(atoms: int, reach: list[int]) -> tuple[Tensor, Tensor]:
    """Every ordered pair of atoms with all images in reach: edge_index [2,E], and the images as steps [E,3] along
    the lattice vectors, float64. Without reach, no atom is a neighbour of itself."""
    images = lattice_points(reach, torch.device("cpu"))
    pairs = all_pairs(atoms)
    count = pairs.size(1)
    index = pairs.repeat(1, images.size(0))
    steps = images.repeat_interleave(count, dim=0)
    kept = (index[0] != index[1]) | (steps != 0).any(1)
    return index[:, kept].contiguous(), steps[kept].to(torch.float64)


def fixed_shifts(
    positions: Tensor, box: Tensor, pairs: Tensor, steps: Tensor, reach: list[int], cutoff: float
) -> Tensor:
    """Shifts [E,3] of the `fixed_edges` in a periodic box [3,3]; NaN if the box has become too small for their reach.

    As in `periodic_edges`, each pair is first brought to fractional distances within ±1/2; the steps count from there.
    No operation waits for a result, and linear algebra is written out, since the library's checks would.
    """
    normals = torch.linalg.cross(torch.roll(box, -1, 0), torch.roll(box, -2, 0))  # b×c, c×a, a×b
    volume = (box[0] * normals[0]).sum()
    inverse = normals.t() / volume
    vectors = positions.index_select(0, pairs[1]) - positions.index_select(0, pairs[0])
    shifts = (steps - torch.round(vectors.matmul(inverse))).matmul(box)
    heights = volume.abs() / normals.square().sum(1).sqrt()
    enough = (
        (heights[0] * (reach[0] + 0.5) > cutoff)
        & (heights[1] * (reach[1] + 0.5) > cutoff)
        & (heights[2] * (reach[2] + 0.5) > cutoff)
    )
    return torch.where(enough, shifts, torch.full_like(shifts, float("nan")))


def shortened(vectors: Tensor, cutoff: float) -> Tensor:
    """Vectors [E,3] that are as long as the cutoff or longer replaced by one of exactly that length.

    There messages and their derivatives are zero, so such an edge adds nothing to any sum. NaN stays NaN.
    """
    lengths = squared_lengths(vectors)
    outside = (lengths >= cutoff * cutoff).unsqueeze(1)
    along_x = torch.zeros_like(vectors)
    along_x[:, 0] = cutoff
    return torch.where(outside, along_x, vectors)
