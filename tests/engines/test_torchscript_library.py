"""The library that evaluates TorchScript models, through its C functions: a neighbour list is taken over once."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from lammps_systems import jittered
from native_models import write_native_model

from frames.lammps import plugin_folder

MESSAGE_SIZE = 4096
CUTOFF, SKIN = 4.0, 1.0


class GraphView(ctypes.Structure):
    """`FramesGraphView` of cpp/core/torchscript_abi.h."""

    _fields_ = (
        ("atoms", ctypes.c_int32),
        ("locals", ctypes.c_int32),
        ("centres", ctypes.c_int32),
        *((name, ctypes.c_void_p) for name in ("species", "offsets", "neighbours", "vectors")),
        ("list", ctypes.c_int64),
        ("pairs", ctypes.c_int64),
        ("list_atoms", ctypes.c_int32),
        *(
            (name, ctypes.c_void_p)
            for name in ("pair_centres", "pair_neighbours", "edge_pairs", "list_nodes", "positions")
        ),
    )


class ModelView(ctypes.Structure):
    """`FramesModelView`."""

    _fields_ = (
        ("path", ctypes.c_char_p),
        ("elements", ctypes.c_void_p),
        ("element_count", ctypes.c_int32),
        ("double_precision", ctypes.c_int32),
    )


class Api(ctypes.Structure):
    """`FramesTorchApi`."""

    _fields_ = (
        ("abi_version", ctypes.c_int32),
        ("torch_version", ctypes.c_char_p),
        ("open", ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ModelView), ctypes.c_char_p, ctypes.c_int32, ctypes.c_int32,
            ctypes.POINTER(ctypes.c_void_p), ctypes.c_char_p, ctypes.c_size_t)),
        ("close", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
        ("evaluate", ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(GraphView), ctypes.c_void_p, ctypes.c_void_p,
            ctypes.c_char_p, ctypes.c_size_t)),
        ("device_name", ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_void_p)),
    )  # fmt: skip


@dataclass
class Library:
    """One model, opened through the C functions."""

    api: Api
    model: ctypes.c_void_p

    def evaluate(self, step: Step, number: int, *, pairs: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Energies [N] and gradients [E,3]; number 0 sends edges themselves. pairs=False: the list's are not there."""
        energies, gradients = np.zeros(step.atoms), np.zeros((len(step.edges), 3))
        listed = number != 0
        arrays = {
            "species": step.species,
            "offsets": step.offsets,
            "neighbours": None if listed else step.nodes[step.neighbours],
            "vectors": None if listed else step.vectors,
            "pair_centres": step.list.centres if listed and pairs else None,
            "pair_neighbours": step.list.neighbours if listed and pairs else None,
            "edge_pairs": step.edges if listed else None,
            "list_nodes": step.nodes if listed else None,
            "positions": step.positions if listed else None,
        }
        view = GraphView(
            atoms=step.atoms, locals=step.atoms, centres=step.atoms, list=number,
            pairs=len(step.list.centres), list_atoms=len(step.nodes),
            **{name: None if array is None else array.ctypes.data for name, array in arrays.items()},
        )  # fmt: skip
        message = ctypes.create_string_buffer(MESSAGE_SIZE)
        failed = self.api.evaluate(
            self.model, ctypes.byref(view), energies.ctypes.data, gradients.ctypes.data, message, MESSAGE_SIZE
        )
        assert not failed, message.value.decode()
        return energies, gradients


@dataclass(frozen=True)
class Pairs:
    """Pairs of atoms within cutoff + skin, images included, ordered by their centres."""

    centres: np.ndarray
    neighbours: np.ndarray


class Step:
    """Positions of a periodic crystal and its images, and which pairs of the list are edges at them."""

    def __init__(self, displacement: np.ndarray) -> None:
        atoms = jittered((3, 3, 4), np.diag([7.0, 7.5, 9.0]), 1)
        whole = atoms.positions
        shifts = np.stack(np.meshgrid(*[range(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 3)
        shifts = shifts[np.argsort(np.abs(shifts).sum(1), kind="stable")] @ atoms.cell.array  # no shift comes first
        self.atoms = len(atoms)
        self.species = np.array([(6, 1, 8).index(z) for z in atoms.numbers], np.int32)
        self.nodes = np.tile(np.arange(self.atoms, dtype=np.int32), len(shifts))
        at_rebuild = (shifts[:, None] + whole).reshape(-1, 3)
        centres, neighbours = np.nonzero(distances(whole, at_rebuild) < CUTOFF + SKIN)
        kept = centres != neighbours
        self.list = Pairs(centres[kept].astype(np.int32), neighbours[kept].astype(np.int32))
        self.positions = np.ascontiguousarray((shifts[:, None] + (whole + displacement)).reshape(-1, 3))
        vectors = self.positions[self.list.neighbours] - self.positions[self.list.centres]
        self.edges = np.flatnonzero((vectors**2).sum(1) < CUTOFF**2).astype(np.int32)
        self.vectors = np.ascontiguousarray(vectors[self.edges])
        self.neighbours = self.list.neighbours[self.edges]
        counts = np.bincount(self.list.centres[self.edges], minlength=self.atoms)
        self.offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a[:, None] - b[None], axis=-1)


@pytest.fixture(params=["float32", "float64"])
def library(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Library]:
    file = Path(plugin_folder()) / "libframes_torchscript.so"
    if not file.is_file():
        pytest.skip("the torchscript backend was not built in this environment")
    path = write_native_model(tmp_path / "model.pt", request.param)
    entry = ctypes.CDLL(str(file)).frames_torchscript
    entry.restype = ctypes.POINTER(Api)
    api = entry().contents
    assert api.abi_version == 2
    elements = np.array([6, 1, 8], np.int32)
    view = ModelView(str(path).encode(), elements.ctypes.data, 3, request.param == "float64")
    model, message = ctypes.c_void_p(), ctypes.create_string_buffer(MESSAGE_SIZE)
    failed = api.open(ctypes.byref(view), b"cpu", 0, 1, ctypes.byref(model), message, MESSAGE_SIZE)
    assert not failed, message.value.decode()
    yield Library(api, model)
    api.close(model)


def moved(seed: int) -> Step:
    return Step(np.random.default_rng(seed).uniform(-0.25, 0.25, (36, 3)))


def assert_same(found: tuple[np.ndarray, np.ndarray], wanted: tuple[np.ndarray, np.ndarray]) -> None:
    assert np.array_equal(found[0], wanted[0]) and np.array_equal(found[1], wanted[1])


def test_edges_of_a_list_are_those_that_are_sent(library: Library) -> None:
    counts = set()
    for _ in range(4):  # in its first calls, PyTorch still optimises the program, and the last bits change
        library.evaluate(moved(0), 0)
    for seed in range(3):
        step = moved(seed)
        counts.add(len(step.edges))
        assert_same(library.evaluate(step, 0), library.evaluate(step, 7))
    assert len(counts) > 1  # the edges changed while the list stayed


def test_pairs_are_read_once_for_each_list(library: Library) -> None:
    first, second = moved(1), moved(2)
    for _ in range(4):
        library.evaluate(first, 11)
    wanted = library.evaluate(second, 0)
    # null pointers would end the process if they were read
    assert_same(library.evaluate(second, 11, pairs=False), wanted)
    other = moved(2)
    other.list.neighbours[:] = other.list.neighbours[::-1].copy()
    assert not np.allclose(library.evaluate(other, 12)[0], wanted[0])  # a new number: these pairs were read
    assert_same(library.evaluate(second, 13), wanted)


def test_elements_may_change_between_two_rebuilds(library: Library) -> None:
    """As `fix atom/swap` does it."""
    step = moved(1)
    for _ in range(4):
        before = library.evaluate(step, 21)
    step.species = step.species[::-1].copy()
    wanted = library.evaluate(step, 0)
    assert np.abs(wanted[0] - before[0]).max() > 1.0
    assert_same(library.evaluate(step, 21), wanted)
