"""A small many-body potential with random but fixed parameters, written as a real model file.

It is quick to script and to evaluate, and has what the engines must carry correctly: elements that differ, a
many-body term through the densities of the neighbours (two neighbour aggregations), vectors that cancel by
symmetry, large reference energies, and a repulsion that keeps a simulation from running into a singularity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save
from torch import Tensor, nn

from frames.artifact import Metadata, TestFrame
from frames.export import Structure, replay, script_module, write_archive
from frames.nn.potential import Potential

ELEMENTS = (6, 1, 8)  # deliberately not sorted


class ToyBackbone(nn.Module):
    """Embedded-atom energies whose second layer sees the densities and dipoles of the first."""

    def __init__(self, species: int, cutoff: float, dtype: torch.dtype, channels: int = 4) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.receptive_layers = 2
        self.cutoff = cutoff

        def draw(*shape: int) -> nn.Parameter:
            values = torch.randn(*shape, generator=generator, dtype=torch.float64)
            return nn.Parameter((0.4 * values).to(dtype))

        self.charge = draw(species, channels)
        self.widths = nn.Parameter((0.3 + torch.rand(channels, generator=generator, dtype=torch.float64)).to(dtype))
        self.mix = draw(2 * channels, channels)
        self.read = draw(2 * channels)

    def forward(self, species: Tensor, edge_index: Tensor, edge_vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        i, j = edge_index[0], edge_index[1]
        atoms = species.size(0)
        distance = edge_vectors.square().sum(1, keepdim=True).sqrt()
        inside = (1 - (distance / self.cutoff).square()).clamp(min=0)
        radial = inside.pow(3) * torch.exp(-self.widths * distance)  # [E,C]
        charge = self.charge.index_select(0, species)

        message = radial * charge.index_select(0, j)
        density = torch.zeros_like(charge).index_add(0, i, message)
        direction = (edge_vectors / distance).unsqueeze(2)
        dipole = torch.zeros(atoms, 3, charge.size(1), dtype=charge.dtype, device=charge.device)
        dipole = dipole.index_add(0, i, direction * message.unsqueeze(1))
        features = torch.tanh(torch.cat([density, dipole.square().sum(1)], dim=1))

        hidden = features.matmul(self.mix) + charge
        second = torch.zeros_like(charge).index_add(0, i, radial * hidden.index_select(0, j))
        energies = torch.tanh(torch.cat([density, second], dim=1)).matmul(self.read)

        # a pair potential that binds atoms at about 1.3 Å and keeps them apart
        fall = torch.exp(-2.0 * (distance - 1.3))
        pair = inside.pow(3) * (fall - 2.0) * fall
        energies = energies.index_add(0, i, pair.squeeze(1))
        return energies, features, dipole


@dataclass(frozen=True)
class ToyModel:
    """What the tests need to know of a model file that was just written."""

    path: Path
    cutoff: float
    dtype: str
    elements: tuple[int, ...]


def write_toy_model(
    path: Path,
    *,
    dtype: str = "float64",
    cutoff: float = 4.0,
    elements: Sequence[int] = ELEMENTS,
    alter: Callable[[TestFrame], TestFrame] = lambda frame: frame,
) -> ToyModel:
    """Writes a model file as `frames export` does, with six atoms in a periodic box as test frame.

    Args:
        alter: changes the stored test frame, for files that loaders have to refuse.
    """
    torch_dtype = {"float32": torch.float32, "float64": torch.float64}[dtype]
    potential = Potential(ToyBackbone(len(elements), cutoff, torch_dtype), elements, cutoff).eval()
    potential.energy_reference.copy_(torch.tensor([-1030.5, -13.6, -2043.2][: len(elements)], dtype=torch.float64))
    rng = np.random.default_rng(3)
    numbers = np.asarray(elements)[rng.integers(len(elements), size=6)]
    frame = Structure(numbers, rng.uniform(0, 5.0, (6, 3)), np.diag([6.0, 7.0, 6.5]), np.array([True, True, True]))
    answer = replay(potential, frame, torch_dtype)

    weights = save({name: value.detach().numpy() for name, value in potential.state_dict().items()})
    metadata = Metadata(
        backbone="toy",
        backbone_settings={},
        elements=list(elements),
        cutoff=cutoff,
        receptive_layers=2,
        dtype=dtype,
        energy_reference=potential.energy_reference.tolist(),
        energy_scale=1.0,
        weights_sha256=sha256(weights).hexdigest(),
    )
    write_archive(script_module(potential), path, metadata, weights, alter(answer))
    return ToyModel(path, cutoff, dtype, tuple(elements))
