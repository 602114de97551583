"""Models of backbone `cartesian` with random parameters, as files for the native engine and as PyTorch modules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from frames.inference import assemble

torch = pytest.importorskip("torch")
pytest.importorskip("frames._native")

from frames.export import ModelSpec, Structure, export  # noqa: E402
from frames.native import NativeModel  # noqa: E402
from frames.nn.cartesian import CartesianSettings  # noqa: E402

ELEMENTS = (1, 6, 8, 17)
CUTOFF = 5.0


@dataclass(frozen=True)
class Graph:
    """Atoms and edges: atomic_numbers [N], edge_index [2,E], edge_vectors [E,3] in Å."""

    atomic_numbers: np.ndarray
    edge_index: np.ndarray
    edge_vectors: np.ndarray


@dataclass(frozen=True)
class Answer:
    energies: np.ndarray  # [N] eV
    forces: np.ndarray  # [N,3] eV/Å
    virial: np.ndarray  # [3,3] eV


@dataclass(frozen=True)
class Sample:
    """A model file and the PyTorch module that it was exported from, in float64."""

    path: Path
    potential: torch.nn.Module
    reference: np.ndarray  # [elements] eV

    def expected(self, graph: Graph) -> Answer:
        vectors = torch.tensor(graph.edge_vectors, requires_grad=True)
        energies = self.potential(torch.tensor(graph.atomic_numbers), torch.tensor(graph.edge_index), vectors)
        (gradient,) = torch.autograd.grad(energies.sum(), vectors)
        return _answer(graph, energies.detach().numpy(), gradient.numpy())


def native_answer(model: NativeModel, graph: Graph) -> Answer:
    energies, gradients = model.edge_gradients(graph.atomic_numbers, graph.edge_index, graph.edge_vectors)
    return _answer(graph, energies, gradients)


def _answer(graph: Graph, energies: np.ndarray, gradients: np.ndarray) -> Answer:
    result = assemble(energies, gradients, graph.edge_index, graph.edge_vectors)
    return Answer(result.atom_energies, result.forces, result.virial)


def make_graph(numbers: np.ndarray, positions: np.ndarray) -> Graph:
    """All pairs closer than the cutoff, in open space."""
    vectors = positions[None] - positions[:, None]
    inside = (np.linalg.norm(vectors, axis=2) < CUTOFF) & ~np.eye(len(numbers), dtype=bool)
    return Graph(numbers, np.stack(np.nonzero(inside)), vectors[inside])


def random_structure(atoms: int, spacing: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Atoms on a jittered lattice, never closer than a third of its spacing; numbers [N] and positions [N,3]."""
    random = np.random.default_rng(seed)
    side = int(np.ceil(atoms ** (1 / 3)))
    lattice = np.stack(np.meshgrid(*[np.arange(side)] * 3), -1).reshape(-1, 3)
    chosen = random.permutation(len(lattice))[:atoms]
    jitter = random.uniform(-1 / 3, 1 / 3, size=(atoms, 3))
    return random.choice(ELEMENTS, atoms), (lattice[chosen] + jitter) * spacing


MakeSample = Callable[..., Sample]


@pytest.fixture(scope="session")
def make_sample(tmp_path_factory: pytest.TempPathFactory) -> MakeSample:
    """Call with dtype and settings of the backbone; files are made once."""
    folder = tmp_path_factory.mktemp("models")
    made: dict[str, Sample] = {}

    def make(dtype: str, **settings: int) -> Sample:
        key = "-".join([dtype, *(f"{name}{value}" for name, value in settings.items())])
        if key not in made:
            made[key] = _export(folder / f"{key}.pt", dtype, settings)
        return made[key]

    return make


def _export(path: Path, dtype: str, settings: dict[str, int]) -> Sample:
    torch.manual_seed(len(path.name))
    backbone = replace(CartesianSettings(channels=32, layers=2), **settings)
    spec = ModelSpec("cartesian", asdict(backbone), ELEMENTS, CUTOFF)
    potential = spec.build(torch.float64)
    reference = np.array([-13.6, -1030.1, -2041.4, -12518.0])
    potential.energy_reference.copy_(torch.tensor(reference))
    potential.energy_scale.fill_(1.7)
    numbers, positions = random_structure(7, 1.6, seed=3)
    frame = Structure(numbers, positions, np.zeros((3, 3)), np.zeros(3, bool))
    export(potential, spec, path, frame, dtype=dtype)
    # what the file holds: parameters rounded to its arithmetic
    potential = potential.to(torch.float32).to(torch.float64) if dtype == "float32" else potential
    potential.energy_reference.copy_(torch.tensor(reference))
    return Sample(path, potential.requires_grad_(False), reference)
