"""The programs inside a TorchForce: nanometres in, kJ/mol out, with their own neighbour list."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from frames.openmm.neighbours import (
    all_pairs,
    cell_list,
    fixed_edges,
    fixed_shifts,
    open_cell_list,
    open_edges,
    periodic_edges,
    shortened,
)
from frames.units import conversion

# Up to this many atoms all pairs are tried (a list that is built once); beyond, a cell list is quicker. On
# one core they meet between 350 and 500 atoms (0.1 atoms/Å³, cutoff 5 Å), open or periodic …
ALL_PAIRS_UP_TO = 400
# … unless periodic images multiply the pairs beyond this number.
MOST_IMAGES_OF_PAIRS = 1 << 21


class ForceProgram(nn.Module):
    """Energy of the model's atoms in an OpenMM system, which TorchForce differentiates by the positions.

    The neighbour list is found outside of the differentiation, which then sees the edge vectors alone.
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
        scaled: bool = False,
        reach: list[int] | None = None,
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
            scaled: whether a number will be given that multiplies the energy.
            reach: tensors of fixed shape, as a CUDA graph needs them: every pair of atoms is an edge, with so
                many periodic images each way along each lattice vector (zeros in open space). None: edges are
                those within the cutoff.
        """
        super().__init__()
        self.model = model
        self.particles = particles
        self.cutoff = cutoff
        self.dtype = dtype
        self.periodic = periodic
        self.scaled = scaled
        self.fixed = reach is not None
        self.reach = [0, 0, 0] if reach is None else reach
        self.subset = atoms is not None
        self.few_atoms = reach is None and len(atomic_numbers) <= ALL_PAIRS_UP_TO
        self.most_images_of_pairs = MOST_IMAGES_OF_PAIRS
        self.nanometre = conversion("nm", "Å")
        self.kj_per_mol = conversion("eV", "kJ/mol")
        self.atomic_numbers: Tensor
        self.atoms: Tensor
        self.pairs: Tensor
        self.steps: Tensor
        self.register_buffer("atomic_numbers", torch.tensor(atomic_numbers, dtype=torch.int64))
        self.register_buffer("atoms", torch.tensor(atoms or [], dtype=torch.int64))
        pairs = all_pairs(len(atomic_numbers) if self.few_atoms else 0)
        steps = torch.zeros(0, 3, dtype=torch.float64)
        if reach is not None:
            pairs, steps = fixed_edges(len(atomic_numbers), reach)
        self.register_buffer("pairs", pairs)
        self.register_buffer("steps", steps)

    def forward(self, positions: Tensor, boxvectors: Tensor | None = None, scale: Tensor | None = None) -> Tensor:
        """Energy [] in kJ/mol, float64.

        Args:
            positions: [particles,3] in nm.
            boxvectors: [3,3] in nm, rows; given exactly if the force is periodic. In open space TorchForce
                gives the scale in this place.
            scale: [] the global parameter that multiplies the energy; given exactly if the program is scaled.

        Fails for another number of particles, boxvectors or a scale where there should be none or the reverse,
        and for an energy that is not finite. With tensors of fixed shape, where nothing may wait for a result, the
        latter is NaN instead, which OpenMM reports.
        """
        boxvectors, scale = self.arguments(positions, boxvectors, scale)
        local = self.local_positions(positions)
        edge_index, vectors = self.edge_vectors(local, boxvectors)
        energy = self.energy(local, edge_index, vectors)
        if scale is not None:
            energy = energy * scale.to(energy.device, energy.dtype)
        return energy

    def arguments(
        self, positions: Tensor, boxvectors: Tensor | None, scale: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Box vectors and scale, each in its place, if they are what this program was made for."""
        if positions.size(0) != self.particles:
            raise ValueError(
                f"frames: this TorchForce was made for {self.particles} particles but the system has "
                f"{positions.size(0)}; make it again from the topology of this system"
            )
        if boxvectors is not None and boxvectors.dim() == 0:
            scale = boxvectors
            boxvectors = None
        if self.periodic and boxvectors is None:
            raise ValueError(
                "frames: this TorchForce is periodic: call force.setUsesPeriodicBoundaryConditions(True) "
                "before the Context is made"
            )
        if boxvectors is not None and not self.periodic:
            raise ValueError(
                "frames: this TorchForce is not periodic: leave out "
                "force.setUsesPeriodicBoundaryConditions(True), or make it again with periodic=True"
            )
        if self.scaled and scale is None:
            raise ValueError(
                "frames: this TorchForce scales its energy: call force.addGlobalParameter(name, 1.0) "
                "before the Context is made"
            )
        if scale is not None and not self.scaled:
            raise ValueError(
                "frames: this TorchForce does not scale its energy: leave out force.addGlobalParameter, or make it "
                "again with scale_parameter"
            )
        return boxvectors, scale

    def local_positions(self, positions: Tensor) -> Tensor:
        """Of the model's atoms [N,3] in Å, float64."""
        # The positions are on the CPU even where TorchForce has moved this module to a GPU.
        local = positions.to(self.atomic_numbers.device, torch.float64)
        if self.subset:
            local = local.index_select(0, self.atoms)
        return local * self.nanometre

    def edge_vectors(self, positions: Tensor, boxvectors: Tensor | None) -> tuple[Tensor, Tensor]:
        """Neighbour list of positions [N,3] in Å: edge_index [2,E] and vectors [E,3] in Å."""
        edge_index, shifts = self.edges(positions.detach(), boxvectors)
        vectors = positions.index_select(0, edge_index[1]) - positions.index_select(0, edge_index[0])
        if shifts is not None:
            vectors = vectors + shifts
        if self.fixed:
            vectors = shortened(vectors, self.cutoff)
        return edge_index, vectors

    def energy(self, positions: Tensor, edge_index: Tensor, vectors: Tensor) -> Tensor:
        """Energy [] in kJ/mol, float64."""
        energy = self.model(self.atomic_numbers, edge_index, vectors.to(self.dtype)).sum()
        # NaN positions have no neighbours, and would otherwise pass for isolated atoms.
        energy = energy + 0.0 * positions.sum()
        if not self.fixed and not math.isfinite(float(energy)):
            raise ValueError("frames: the energy is not finite: positions are NaN or infinite, or two atoms have met")
        return energy * self.kj_per_mol

    def edges(self, positions: Tensor, boxvectors: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """See `neighbours`."""
        if boxvectors is None:
            if self.fixed:
                return self.pairs, None
            if self.few_atoms:
                return open_edges(positions, self.pairs, self.cutoff)
            return open_cell_list(positions, self.cutoff)
        box = boxvectors.to(positions.device, torch.float64) * self.nanometre
        if self.fixed:
            return self.pairs, fixed_shifts(positions, box, self.pairs, self.steps, self.reach, self.cutoff)
        if self.few_atoms:
            images = max(1.0, (2.0 * self.cutoff) ** 3 / abs(float(torch.linalg.det(box))))
            if images * float(self.pairs.size(1)) <= self.most_images_of_pairs:
                return periodic_edges(positions, box, self.pairs, self.cutoff)
        return cell_list(positions, box, self.cutoff)


class EnergyAndForcesProgram(ForceProgram):
    """The same for `setOutputsForces(True)`: one call gives the energy and the forces.

    PyTorch then differentiates by the edge vectors alone, and nothing is left for TorchForce to differentiate. The
    forces are computed as well where a barostat or a reporter asks for the energy only.
    """

    def forward(  # type: ignore[override]
        self, positions: Tensor, boxvectors: Tensor | None = None, scale: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Energy [] in kJ/mol, float64, and forces [particles,3] in kJ/mol/nm in the dtype of the positions.

        Arguments and errors as those of ForceProgram. The energy can be differentiated by the scale alone.
        """
        boxvectors, scale = self.arguments(positions, boxvectors, scale)
        local = self.local_positions(positions.detach())
        edge_index, vectors = self.edge_vectors(local, boxvectors)
        vectors = vectors.detach().requires_grad_(True)
        energy = self.energy(local, edge_index, vectors)
        gradient = torch.autograd.grad([energy], [vectors])[0]
        assert gradient is not None  # TorchScript's signature
        forces = torch.zeros_like(local)
        forces = forces.index_add(0, edge_index[0], gradient).index_add(0, edge_index[1], gradient, alpha=-1)
        forces = forces * self.nanometre
        with torch.no_grad():  # in a frozen module detach() alone leaves the graph, which is used up, in place
            energy = energy.clone()
        if scale is not None:
            factor = scale.to(energy.device, energy.dtype)
            energy, forces = energy * factor, forces * factor.detach()
        if self.subset:
            everywhere = torch.zeros(self.particles, 3, dtype=forces.dtype, device=forces.device)
            forces = everywhere.index_add(0, self.atoms, forces)
        return energy, forces.to(positions.device, positions.dtype).contiguous()
