"""`frames export --torchforce`: what its options write, print and refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("openmmtorch")

import torch
from openmm import app, unit
from openmm_systems import assert_same, ethanol, reference, single_point, topology_of
from typer.testing import CliRunner, Result

from frames.cli.app import app as frames_command
from frames.errors import FramesError
from frames.export import ModelSpec
from frames.training.checkpoint import Checkpoint, save_checkpoint

pytestmark = [
    pytest.mark.torchforce,
    pytest.mark.filterwarnings("ignore:cuda_graphs. this OpenMM has no CUDA platform"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained checkpoint, and ethanol in a PDB file."""
    folder = tmp_path_factory.mktemp("export")
    torch.manual_seed(4)
    spec = ModelSpec("cartesian", {"channels": 16, "layers": 1}, (6, 1, 8), 4.0)
    state = spec.build(torch.float32).state_dict()
    atoms = ethanol()
    frame = {
        "atomic_numbers": torch.tensor(atoms.numbers),
        "positions": torch.from_numpy(atoms.positions),
        "cell": torch.zeros(3, 3, dtype=torch.float64),
        "pbc": torch.zeros(3, dtype=torch.bool),
    }
    save_checkpoint(folder / "best.pt", Checkpoint(spec, state, state, {}, 0, 0.0, {}, {}, frame))
    with (folder / "ethanol.pdb").open("w") as stream:
        app.PDBFile.writeFile(topology_of(atoms), atoms.positions * unit.angstrom, stream)
    return folder


def export(folder: Path, output: Path, *options: str) -> Result:
    command = ["export", str(folder / "best.pt"), "-o", str(output), "--dtype", "float64", *options]
    return CliRunner().invoke(frames_command, command)


@pytest.fixture(scope="module")
def wanted(folder: Path) -> tuple[float, np.ndarray]:
    """Energy and forces by the model file of the same checkpoint."""
    assert export(folder, folder / "model.pt").exit_code == 0
    return reference(folder / "model.pt", ethanol())


@pytest.mark.parametrize(
    ("options", "scale"),
    [
        ((), 1.0),
        (("--outputs-forces",), 1.0),
        (("--scale-parameter", "mu"), 1.0),
        (("--scale-parameter", "mu", "--scale-default", "0.25", "--outputs-forces"), 0.25),
        (("--cuda-graphs", "--outputs-forces"), 1.0),
    ],
    ids=["plain", "forces", "scale", "scale and forces", "graphs"],
)
def test_printed_lines_load_what_was_written(
    folder: Path, tmp_path: Path, wanted: tuple[float, np.ndarray], options: tuple[str, ...], scale: float
) -> None:
    import openmmtorch

    file = tmp_path / "openmm.pt"
    done = export(folder, file, "--torchforce", str(folder / "ethanol.pdb"), *options)
    assert done.exit_code == 0, done.output
    names = {"openmmtorch": openmmtorch}
    for line in done.output.splitlines():
        if line.startswith("    "):
            exec(line.strip(), names)
    force = names["force"]
    assert force.getOutputsForces() == ("--outputs-forces" in options)
    assert force.getNumGlobalParameters() == ("mu" in options)
    graphs = "--cuda-graphs" in options
    assert force.getProperties().asdict().get("useCUDAGraphs", "false") == ("true" if graphs else "false")
    assert_same(single_point(force, ethanol().positions, None), (scale * wanted[0], scale * wanted[1]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--outputs-forces",), "describe a file for TorchForce; expected --torchforce FILE beside them"),
        (("--scale-parameter", "mu"), "expected --torchforce FILE beside them"),
        (("--cuda-graphs",), "expected --torchforce FILE beside them"),
        (("--scale-default", "0.5"), "scale_default = 0.5 without scale_parameter; name the parameter"),
        (("--torchforce", "PDB", "--scale-parameter", "a+b"), "scale_parameter = 'a.b'; expected a name of letters"),
        (("--torchforce", "PDB", "--cuda-graphs", "--scale-parameter", "mu"), "a CUDA graph keeps the value"),
        (("--torchforce", "absent.pdb"), "--torchforce absent.pdb: no such file; expected a PDB or mmCIF file"),
        (("--dtype", "half"), "--dtype half: expected float32 or float64"),
    ],
)
def test_refuses_options(folder: Path, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    given = [str(folder / "ethanol.pdb") if option == "PDB" else option for option in options]
    done = export(folder, tmp_path / "openmm.pt", *given)
    assert isinstance(done.exception, FramesError)
    with pytest.raises(FramesError, match=message):
        raise done.exception
    assert not (tmp_path / "openmm.pt").exists()
