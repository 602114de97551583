"""The native engine as a piece of software: threads, memory, refusals, life without PyTorch."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from frames.errors import FramesError
from frames.native import NativeModel, instruction_sets, measure_peak

from .conftest import Graph, MakeSample, make_graph, native_answer, random_structure


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_repeats_and_threads_change_no_bit(make_sample: MakeSample, dtype: str) -> None:
    path = make_sample(dtype).path
    one, two, three = (NativeModel(path, threads=n) for n in (1, 2, 3))
    for atoms in (2, 9, 130):
        graph = make_graph(*random_structure(atoms, 1.6, seed=atoms))
        first = native_answer(one, graph)
        for model in (one, two, three):
            again = native_answer(model, graph)
            assert (again.energies == first.energies).all()
            assert (again.forces == first.forces).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_more_than_the_cache_holds(make_sample: MakeSample, dtype: str) -> None:
    """Large systems have their rows fetched ahead; copies of a molecule must not notice."""
    path = make_sample(dtype, channels=64).path
    copies = 8
    numbers, positions = random_structure(130, 1.6, seed=1)
    graph = make_graph(numbers, positions)
    # atom a of copy k is atom copies * a + k, so that neighbours lie far apart
    edges = np.concatenate([copies * graph.edge_index + k for k in range(copies)], axis=1)
    many = Graph(np.repeat(numbers, copies), edges, np.tile(graph.edge_vectors, (copies, 1)))
    one = NativeModel(path)
    alone = native_answer(one, graph)
    virials = one.flux_virials()
    for threads in (1, 2):
        model = NativeModel(path, threads=threads)
        for graph_again in (many, graph, many):
            answer = native_answer(model, graph_again)
            times = len(answer.energies) // len(alone.energies)
            assert (answer.energies == np.repeat(alone.energies, times)).all()
            assert (answer.forces == np.repeat(alone.forces, times, axis=0)).all()
            assert (model.flux_virials() == np.repeat(virials, times, axis=0)).all()
        assert model.profile(1).workspace_bytes > 2 << 24  # well beyond what is left to the cache


def test_models_in_threads_of_their_own(make_sample: MakeSample) -> None:
    paths = [make_sample("float32").path, make_sample("float64").path, make_sample("float32", channels=64).path]
    graphs = [make_graph(*random_structure(n, 1.7, seed=n)) for n in (12, 50, 90)]
    expected = [[native_answer(NativeModel(path), graph).forces for graph in graphs] for path in paths]

    def work(k: int) -> bool:
        model = NativeModel(paths[k % 3])
        return all(
            (native_answer(model, graph).forces == forces).all()
            for _ in range(5)
            for graph, forces in zip(graphs, expected[k % 3], strict=True)
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(6)))


def test_memory_grows_with_the_largest_graph_alone(make_sample: MakeSample) -> None:
    model = NativeModel(make_sample("float32").path)
    small, large = (make_graph(*random_structure(n, 1.7, seed=n)) for n in (10, 120))
    native_answer(model, small)
    before = model.profile(1).workspace_bytes
    native_answer(model, large)
    grown = model.profile(1).workspace_bytes
    assert before < grown < 40 * before
    for graph in (small, large, small):
        native_answer(model, graph)
    assert model.profile(1).workspace_bytes == grown


def test_profile_accounts_for_the_time(make_sample: MakeSample) -> None:
    model = NativeModel(make_sample("float32").path)
    native_answer(model, make_graph(*random_structure(100, 1.7, seed=0)))
    profile = model.profile(20)
    assert min(profile.seconds[part] for part in ("radial", "edges", "nodes")) > 0
    assert sum(profile.seconds.values()) < 3 * np.median(model.time(20))
    assert profile.threads == 1
    assert profile.instruction_set == instruction_sets()[0]
    assert profile.operations > 1e6
    assert measure_peak(0.01) > 1e9


def test_graph_that_contradicts_itself(make_sample: MakeSample) -> None:
    model = NativeModel(make_sample("float32").path)
    numbers, edges, vectors = np.array([1, 6]), np.array([[0, 1], [1, 0]]), np.array([[1.0, 0, 0], [-1.0, 0, 0]])
    for case, (index, vector), message in (
        ("neighbour", (np.array([[0, 1], [1, 2]]), vectors), "edge 1 joins atoms 1 and 2, but there are 2"),
        ("vectors", (edges, vectors[:1]), r"edge_vectors must have shape \[2, 3\]"),
        ("index", (edges[0], vectors), r"edge_index must have shape \[2, E\]"),
    ):
        with pytest.raises(FramesError, match=message):
            model.edge_gradients(numbers, index, vector)
        assert case
    with pytest.raises(FramesError, match="species is not among the 4 of the model"):
        model.edge_gradients(np.array([1, 26]), edges, vectors)


def test_unknown_instruction_set_and_threads(make_sample: MakeSample) -> None:
    path = make_sample("float32").path
    with pytest.raises(FramesError, match=r'instruction set "MMX" is not available.*available are auto, '):
        NativeModel(path, instruction_set="MMX")
    with pytest.raises(FramesError, match="threads = 0"):
        NativeModel(path, threads=0)


def test_without_pytorch(make_sample: MakeSample) -> None:
    """Loads and evaluates where PyTorch cannot be imported."""
    script = """
import sys
sys.modules["torch"] = None
import numpy as np
from frames.native import NativeModel
model = NativeModel(sys.argv[1])
print(model.evaluate(np.array([8, 1, 1]), np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])).energy)
"""
    path = make_sample("float32").path
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    numbers, positions = np.array([8, 1, 1]), np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    energy = native_answer(NativeModel(path), make_graph(numbers, positions)).energies.sum()
    assert float(done.stdout) == pytest.approx(energy, abs=1e-9)


def test_forked_processes(make_sample: MakeSample) -> None:
    """Threads do not survive a fork, and a child must not wait for those of its parent."""
    script = """
import os, signal, sys
import numpy as np
from frames.native import NativeModel
numbers = np.full(64, 6)
positions = 1.6 * np.stack(np.meshgrid(*3 * [np.arange(4.0)]), axis=-1).reshape(-1, 3)
shared = NativeModel(sys.argv[1], threads=2)
energy = shared.evaluate(numbers, positions).energy
child = os.fork()
if child == 0:
    signal.alarm(20)  # ends a child that hangs
    models = shared, NativeModel(sys.argv[1], threads=2)
    os._exit(0 if all(model.evaluate(numbers, positions).energy == energy for model in models) else 1)
status = os.waitpid(child, 0)[1]
assert shared.evaluate(numbers, positions).energy == energy
sys.exit(status)
"""
    path = make_sample("float64").path
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_other_backbone_is_refused(make_sample: MakeSample, tmp_path: Path) -> None:
    raw = make_sample("float32").path.read_bytes()
    path = tmp_path / "other.pt"
    path.write_bytes(_with_other_backbone(raw))
    with pytest.raises(FramesError, match="evaluates backbone cartesian, not equiformXr; use backend 'torchscript'"):
        NativeModel(path)


def _with_other_backbone(raw: bytes) -> bytes:
    """The archive with another name of the backbone, of the same length, and the checksum of the entry mended."""
    import io
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename.endswith("frames.json"):
                data = data.replace(b'"cartesian"', b'"equiformXr"')
            new.writestr(info.filename, data)
    return out.getvalue()


def test_python_threads_take_turns(make_sample: MakeSample) -> None:
    """One model, several threads of Python with structures of different sizes."""
    model = NativeModel(make_sample("float32").path)
    graphs = [make_graph(*random_structure(atoms, 1.6, seed=atoms)) for atoms in (3, 150, 20, 80)]
    expected = [native_answer(model, graph).forces for graph in graphs]

    def repeat(k: int) -> bool:
        return all((native_answer(model, graphs[k]).forces == expected[k]).all() for _ in range(60))

    with ThreadPoolExecutor(len(graphs)) as pool:
        assert all(pool.map(repeat, range(len(graphs))))
