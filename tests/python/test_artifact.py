"""The model file: what is written is read again, and nothing else is."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from frames.artifact import METADATA, read_metadata, read_model
from frames.check import _Check, check_model
from frames.cli.app import app
from frames.errors import FramesError
from frames.export import ModelSpec, Structure, export
from frames.inference import Result, open_model
from frames.nn.potential import Potential


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return ModelSpec("cartesian", {"channels": 16, "layers": 1}, (1, 8), 4.0)


@pytest.fixture(scope="module")
def potential(spec: ModelSpec) -> Potential:
    torch.manual_seed(0)
    made = spec.build()
    made.energy_reference.copy_(torch.tensor([-13.5, -2040.25]))
    return made


@pytest.fixture(scope="module")
def water() -> Structure:
    positions = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0.01]])
    return Structure(np.array([8, 1, 1]), positions, np.zeros((3, 3)), np.zeros(3, bool))


@pytest.fixture(scope="module")
def crystal() -> Structure:
    """A triclinic cell smaller than the cutoff."""
    positions = np.array([[0.1, 0, 0], [1.4, 1.3, 0.2], [0.3, 1.6, 1.7]])
    cell = np.array([[2.9, 0, 0], [0.4, 3.1, 0], [-0.5, 0.3, 3.3]])
    return Structure(np.array([8, 1, 1]), positions, cell, np.ones(3, bool))


@pytest.fixture(scope="module")
def model(potential: Potential, spec: ModelSpec, water: Structure, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "water.pt"
    export(potential, spec, path, water, training={"data": "test"})
    return path


def rewrite(source: Path, target: Path, name: str, content: bytes) -> None:
    """The same archive with one entry replaced."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for info in old.infolist():
            new.writestr(info.filename, content if info.filename.endswith("/" + name) else old.read(info))


def test_round_trip(model: Path, potential: Potential, water: Structure) -> None:
    file = read_model(model)
    assert file.metadata.elements == [1, 8]
    assert file.metadata.energy_reference == [-13.5, -2040.25]
    assert file.metadata.receptive_layers == 2
    assert file.metadata.training == {"data": "test"}
    state = potential.state_dict()
    assert set(file.weights) == set(state)
    for name, value in file.weights.items():
        np.testing.assert_array_equal(value, state[name].numpy())
    np.testing.assert_array_equal(file.test_frame.positions, water.positions)
    assert abs(file.test_frame.atom_energies.sum() - file.test_frame.energy) < 1e-9


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("frame", ["water", "crystal"])
def test_check_passes(
    potential: Potential, spec: ModelSpec, tmp_path: Path, frame: str, dtype: Any, request: pytest.FixtureRequest
) -> None:
    export(potential, spec, tmp_path / "m.pt", request.getfixturevalue(frame), dtype=dtype)
    _, findings = check_model(tmp_path / "m.pt", backend="torchscript")
    assert len(findings) == 8
    assert [f for f in findings if not f.passed] == []


class NotInvariant(torch.nn.Module):
    """Energies that depend on a direction in space, and that jump at the cutoff."""

    receptive_layers = 1

    def forward(
        self, species: torch.Tensor, edge_index: torch.Tensor, edge_vectors: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        energies = torch.zeros(species.size(0), dtype=edge_vectors.dtype)
        energies = energies.index_add(0, edge_index[0], edge_vectors[:, 0].cos())
        return energies, energies, energies


def test_check_fails_where_physics_is_broken(
    spec: ModelSpec, water: Structure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Potential(NotInvariant(), spec.elements, spec.cutoff)
    monkeypatch.setattr(ModelSpec, "build", lambda self, dtype: broken)
    export(broken, spec, tmp_path / "broken.pt", water, dtype="float64")
    _, findings = check_model(tmp_path / "broken.pt", backend="torchscript")
    failed = {f.name for f in findings if not f.passed}
    assert failed == {"rotation", "energy at the cutoff"}
    result = CliRunner().invoke(app, ["check", str(tmp_path / "broken.pt"), "--backend", "torchscript"])
    assert result.exit_code == 1
    assert "FAIL" in result.output and "PASS" in result.output


def test_a_changed_test_frame_fails_the_check(model: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save

    from frames.artifact import TEST_FRAME, test_frame_tensors

    tensors = test_frame_tensors(read_model(model).test_frame)
    tensors["forces"] = tensors["forces"] + 0.01
    rewrite(model, tmp_path / "m.pt", TEST_FRAME, save(tensors))
    _, findings = check_model(tmp_path / "m.pt", backend="torchscript")
    assert [f.passed for f in findings] == [False]
    assert "replay of the test frame" in findings[0].name


def test_findings_are_json_also_where_the_frame_is_not_reproduced(model: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save

    from frames.artifact import TEST_FRAME, test_frame_tensors

    tensors = test_frame_tensors(read_model(model).test_frame)
    tensors["forces"] = tensors["forces"] + 0.01
    rewrite(model, tmp_path / "m.pt", TEST_FRAME, save(tensors))
    result = CliRunner().invoke(app, ["check", str(tmp_path / "m.pt"), "--backend", "torchscript", "--json"])
    assert result.exit_code == 1

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    (finding,) = json.loads(result.output, parse_constant=refuse)["findings"]
    assert finding["passed"] is False and finding["difference"] is None


@pytest.mark.parametrize("shift", [0.0, 300.0])
def test_a_wrong_virial_is_found_wherever_the_structure_lies(
    model: Path, shift: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, frame = open_model(model, backend="torchscript"), read_model(model).test_frame
    moved = replace(frame, positions=frame.positions + shift)
    assert _Check(opened, moved, np.random.default_rng(0)).virial().passed
    evaluate = type(opened).evaluate

    def wrong(self: Any, *arguments: Any) -> Result:
        found = evaluate(self, *arguments)
        return replace(found, virial=0.9 * found.virial)

    monkeypatch.setattr(type(opened), "evaluate", wrong)
    assert not _Check(opened, moved, np.random.default_rng(0)).virial().passed


def test_the_weights_of_a_file_go_back_into_a_potential(model: Path, spec: ModelSpec) -> None:
    file = read_model(model)
    fresh = spec.build(torch.float64)
    fresh.load_trained({name: torch.tensor(values) for name, values in file.weights.items()})
    with pytest.raises(FramesError, match="missing or of other shape: backbone"):
        fresh.load_trained({"energy_scale": fresh.energy_scale, "energy_reference": fresh.energy_reference})


def edited(model: Path, **changes: Any) -> bytes:
    with zipfile.ZipFile(model) as archive:
        name = next(n for n in archive.namelist() if n.endswith(METADATA))
        return json.dumps({**json.loads(archive.read(name)), **changes}).encode()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "format version 2, this package reads version 1"),
        ({"format": "other"}, "not that of a frames-model"),
        ({"elements": [1, 200], "energy_reference": [0, 0]}, "atomic numbers from 1 to 118"),
        ({"elements": [1]}, "one energy_reference each"),
        ({"cutoff": -1}, "cutoff: Input should be greater than 0"),
        ({"dtype": "float16"}, "dtype: Input should be 'float32' or 'float64'"),
        ({"units": {"length": "bohr", "energy": "hartree"}}, "units are {'length': 'bohr'"),
        ({"energy_scale": float("nan")}, "not valid JSON"),
        ({"weights_sha256": "0"}, "weights do not match their checksum"),
    ],
)
def test_wrong_metadata(model: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    rewrite(model, tmp_path / "m.pt", METADATA, edited(model, **changes))
    with pytest.raises(FramesError, match=message) as caught:
        read_model(tmp_path / "m.pt")
    assert str(tmp_path / "m.pt") in str(caught.value)


def test_a_training_that_went_wrong_is_no_damage(
    potential: Potential, spec: ModelSpec, water: Structure, tmp_path: Path
) -> None:
    """JSON has no NaN, and the compiled readers refuse it."""
    report = {"test": {"force_mae_mev_per_angstrom": float("nan"), "energy_mae_mev": 1.0}}
    export(potential, spec, tmp_path / "m.pt", water, training=report)
    assert read_model(tmp_path / "m.pt").metadata.training["test"] == {
        "force_mae_mev_per_angstrom": None,
        "energy_mae_mev": 1.0,
    }
    for backend in ("native", "torchscript"):
        open_model(tmp_path / "m.pt", backend=backend)  # type: ignore[arg-type]


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(FramesError, match="a folder; expected a model file"):
        read_model(tmp_path)


def test_settings_that_the_native_engine_cannot_tabulate_are_refused() -> None:
    with pytest.raises(FramesError, match="radial_functions = 33; expected an integer from 1 to 32"):
        ModelSpec("cartesian", {"radial_functions": 33}, (1,), 5.0).build()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_as_many_radial_functions_as_there_may_be(dtype: Any, water: Structure, tmp_path: Path) -> None:
    torch.manual_seed(1)
    spec = ModelSpec("cartesian", {"channels": 16, "layers": 1, "radial_functions": 32}, (1, 8), 5.0)
    export(spec.build(), spec, tmp_path / "m.pt", water, dtype=dtype)
    open_model(tmp_path / "m.pt", backend="native")


def test_wrong_files(model: Path, tmp_path: Path) -> None:
    whole = model.read_bytes()
    path = tmp_path / "m.pt"
    with pytest.raises(FramesError, match="no such model file"):
        read_model(path)
    for content in (b"", b"not a model", whole[: len(whole) // 2], whole[:-30]):
        path.write_bytes(content)
        with pytest.raises(FramesError, match="truncated or foreign file"):
            read_model(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/extra/other.txt", "x")
    with pytest.raises(FramesError, match=r"holds no frames\.json"):
        read_model(path)
    rewrite(model, path, METADATA, b"{")
    with pytest.raises(FramesError, match="not valid JSON"):
        read_metadata(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:  # a compression bomb
        archive.writestr("a/extra/frames.json", b" " * 10_000_000)
    with pytest.raises(FramesError, match="claims 10000000 bytes"):
        read_metadata(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_raise_only_our_error(model: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(model.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.pt"
    path.write_bytes(bytes(content))
    try:
        read_model(path)
    except FramesError as error:
        assert str(path) in str(error)


def test_export_refuses_unknown_elements_and_unwritable_places(
    potential: Potential, spec: ModelSpec, water: Structure, tmp_path: Path
) -> None:
    strange = Structure(np.array([8, 1, 7]), water.positions, water.cell, water.pbc)
    with pytest.raises(FramesError, match=r"element\(s\) \[7\] are not among"):
        export(potential, spec, tmp_path / "m.pt", strange)
    with pytest.raises(FramesError, match="cannot be written"):
        export(potential, spec, tmp_path / "missing" / "m.pt", water)


def test_without_torch(model: Path, tmp_path: Path) -> None:
    """Reading a model file, and the entry point of LAMMPS, import no PyTorch."""
    import subprocess
    import sys

    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import frames, frames.artifact, frames.ase, frames.lammps;"
        "print(frames.artifact.read_model(sys.argv[2]).metadata.elements); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), str(model)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[1, 8]"


def test_shutil_copy_is_the_same_model(model: Path, tmp_path: Path) -> None:
    shutil.copy(model, tmp_path / "renamed.pt")
    assert read_metadata(tmp_path / "renamed.pt") == read_metadata(model)
