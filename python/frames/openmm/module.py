"""The program inside a TorchForce: nanometres in, kJ/mol out, with its own neighbour list."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from frames.openmm.neighbours import all_pairs, cell_list, open_cell_list, open_edges, periodic_edges
from frames.units import conversion

# Up to this many atoms all pairs are tried (a list that is built once); beyond, a cell list is quicker. On
# one core they meet between 350 and 500 atoms (0.1 atoms/Å³, cutoff 5 Å), open or periodic …
ALL_PAIRS_UP_TO = 400
# … unless periodic images multiply the pairs beyond this number.
MOST_IMAGES_OF_PAIRS = 1 << 21


class ForceProgram(nn.Module):
    """Energy of the model's atoms in an OpenMM system, which TorchForce differentiates by the positions.

    The neighbour list is found outside of the differentiation, which then sees the edge vectors alone.
    Computing the forces in here as well, for `setOutputsForces(True)`, was measured to take the same time per
    step of ethanol, and would compute them where a barostat or a reporter asks for the energy alone.
    """

    def __init__(
        self,
        model: torch.jit.ScriptModule,
        *,
        atomic_numbers: list[int],
        atoms: list[int] | None,
        particles: int,
        cutoff: float,
        dtype: torch.dtype,
        periodic: bool,
    ) -> None:
        """Prepares the program; nothing is checked here.

        Args:
            model: program of a model file, `(atomic_numbers, edge_index, edge_vectors) -> energies`.
            atomic_numbers: of the atoms that the model describes.
            atoms: their indices in the system; None for all particles.
            particles: number of particles in the system.
            cutoff: Å.
            dtype: of the edge vectors that the model takes.
            periodic: whether box vectors will be given.
        """
        super().__init__()
        self.model = model
        self.particles = particles
        self.cutoff = cutoff
        self.dtype = dtype
        self.periodic = periodic
        self.subset = atoms is not None
        self.few_atoms = len(atomic_numbers) <= ALL_PAIRS_UP_TO
        self.most_images_of_pairs = MOST_IMAGES_OF_PAIRS
        self.nanometre = conversion("nm", "Å")
        self.kj_per_mol = conversion("eV", "kJ/mol")
        self.atomic_numbers: Tensor
        self.atoms: Tensor
        self.pairs: Tensor
        self.register_buffer("atomic_numbers", torch.tensor(atomic_numbers, dtype=torch.int64))
        self.register_buffer("atoms", torch.tensor(atoms or [], dtype=torch.int64))
        self.register_buffer("pairs", all_pairs(len(atomic_numbers) if self.few_atoms else 0))

    def forward(self, positions: Tensor, boxvectors: Tensor | None = None) -> Tensor:
        """Energy [] in kJ/mol, float64.

        Args:
            positions: [particles,3] in nm.
            boxvectors: [3,3] in nm, rows; given exactly if the force is periodic.

        Fails for another number of particles, boxvectors where there should be none or the reverse, and for
        an energy that is not finite.
        """
        if positions.size(0) != self.particles:
            raise ValueError(
                f"frames: this TorchForce was made for {self.particles} particles but the system has "
                f"{positions.size(0)}; make it again from the topology of this system"
            )
        # The positions are on the CPU even where TorchForce has moved this module to a GPU.
        local = positions.to(self.atomic_numbers.device, torch.float64)
        if self.subset:
            local = local.index_select(0, self.atoms)
        local = local * self.nanometre
        edge_index, shifts = self.edges(local.detach(), boxvectors)
        vectors = local.index_select(0, edge_index[1]) - local.index_select(0, edge_index[0])
        if shifts is not None:
            vectors = vectors + shifts
        energy = self.model(self.atomic_numbers, edge_index, vectors.to(self.dtype)).sum()
        # NaN positions have no neighbours, and would otherwise pass for isolated atoms.
        energy = energy + 0.0 * local.sum()
        if not math.isfinite(float(energy)):
            raise ValueError("frames: the energy is not finite: positions are NaN or infinite, or two atoms have met")
        return energy * self.kj_per_mol

    def edges(self, positions: Tensor, boxvectors: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Neighbour list of positions [N,3] in Å; see `neighbours`."""
        if boxvectors is None:
            if self.periodic:
                raise ValueError(
                    "frames: this TorchForce is periodic: call force.setUsesPeriodicBoundaryConditions(True) "
                    "before the Context is made"
                )
            if self.few_atoms:
                return open_edges(positions, self.pairs, self.cutoff)
            return open_cell_list(positions, self.cutoff)
        if not self.periodic:
            raise ValueError(
                "frames: this TorchForce is not periodic: leave out "
                "force.setUsesPeriodicBoundaryConditions(True), or make it again with periodic=True"
            )
        box = boxvectors.to(positions.device, torch.float64) * self.nanometre
        if self.few_atoms:
            images = max(1.0, (2.0 * self.cutoff) ** 3 / abs(float(torch.linalg.det(box))))
            if images * float(self.pairs.size(1)) <= self.most_images_of_pairs:
                return periodic_edges(positions, box, self.pairs, self.cutoff)
        return cell_list(positions, box, self.cutoff)
