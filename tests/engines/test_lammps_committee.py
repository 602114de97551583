"""Several models in one pair_coeff: their mean, their disagreement, and what a threshold does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.units import kcal, mol

pytest.importorskip("torch")

from lammps_run import Run, deck, require_lammps, run_deck, run_lammps, write_data
from lammps_systems import TYPES, ethanol, slab, triclinic
from native_models import write_native_model
from toy_potential import write_toy_model

SEEDS = (1, 2, 3)
COMPUTES = """compute dev all frames/deviation
compute out all frames/atom energy energy_deviation force_deviation neighbours nearest
thermo_style custom step pe pxx pyy pzz pxy pxz pyz c_dev
thermo_modify format float %.15g
undump last
dump last all custom 1000000 atoms.dump id type x y z fx fy fz c_pe c_dev c_out[*]
dump_modify last sort id format float %.15g
"""
DUMP = "\nwrite_dump all custom atoms.dump id type x y z fx fy fz c_pe c_dev c_out[*] modify sort id format float %.15g"


@pytest.fixture(scope="module", autouse=True)
def lammps() -> None:
    require_lammps()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("committee")
    return [write_native_model(folder / f"{seed}.pt", seed=seed) for seed in SEEDS]


def run_committee(folder: Path, atoms: Atoms, models: list[Path], ranks: int = 1, **options: str) -> Run:
    """As run_lammps, with several models, both computes in thermo and dump."""
    folder.mkdir(parents=True, exist_ok=True)
    write_data(folder / "system.data", atoms, TYPES)
    text = deck(atoms, " ".join(map(str, models)), TYPES, commands=options.pop("commands", "run 0"), **options)
    at = text.index("dump last")
    lines = text[at:].split("\n", 2)[2]
    text = (
        text[:at] + COMPUTES.replace("undump last\n", "") + lines[: lines.rindex("write_dump")].rstrip() + DUMP + "\n"
    )
    run = run_deck(folder, text, ranks)
    assert run.status == 0, run.output
    return run


def deviations(forces: list[np.ndarray]) -> np.ndarray:
    """Root mean square distance of the members' forces from their mean, for each atom."""
    stacked = np.stack(forces)
    return np.sqrt(((stacked - stacked.mean(0)) ** 2).sum(-1).mean(0))


@pytest.mark.parametrize("structure", [ethanol, triclinic, slab])
def test_mean_and_deviation_of_three_models(tmp_path: Path, models: list[Path], structure: Callable[[], Atoms]) -> None:
    atoms = structure()
    singles = [run_lammps(tmp_path / str(k), atoms, model, TYPES) for k, model in enumerate(models)]
    expected = deviations([single.forces for single in singles])
    energies = np.stack([single.atoms["c_pe"] for single in singles])
    assert expected.max() > 0.01
    for ranks, newton in ((1, "on"), (2, "off"), (4, "on")):
        run = run_committee(tmp_path / f"{ranks}", atoms, models, ranks, newton=newton)
        assert "mean of 3 models, native" in run.output
        assert run.thermo["PotEng"][0] == pytest.approx(np.mean([s.thermo["PotEng"][0] for s in singles]), rel=1e-12)
        for name in ("Pxx", "Pyy", "Pzz", "Pxy", "Pxz", "Pyz"):
            mean = np.mean([single.thermo[name][0] for single in singles])
            assert run.thermo[name][0] == pytest.approx(mean, rel=1e-9, abs=1e-5)
        assert np.abs(run.forces - np.mean([s.forces for s in singles], axis=0)).max() < 1e-10
        assert np.abs(run.atoms["c_dev"] - expected).max() < 1e-9
        assert np.abs(run.atoms["c_out[3]"] - expected).max() < 1e-9
        assert run.thermo["c_dev"][0] == pytest.approx(expected.max(), rel=1e-9)
        assert np.abs(run.atoms["c_out[1]"] - energies.mean(0)).max() < 1e-9
        assert np.abs(run.atoms["c_out[2]"] - energies.std(0)).max() < 1e-9


def test_neighbours_and_nearest(tmp_path: Path, models: list[Path]) -> None:
    atoms = triclinic()
    # all images within two cells of each other: the cell is wider than the cutoff
    shifts = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)]) @ atoms.cell.array
    vectors = atoms.positions[None, :, None] + shifts - atoms.positions[:, None, None]
    distances = np.linalg.norm(vectors.reshape(len(atoms), -1, 3), axis=-1)
    distances[distances < 1e-9] = np.inf
    for ranks in (1, 2):
        run = run_committee(tmp_path / str(ranks), atoms, models, ranks)
        assert np.array_equal(run.atoms["c_out[4]"], (distances < 4.0).sum(1))
        assert np.abs(run.atoms["c_out[5]"] - distances.min(1)).max() < 1e-9


def test_units_real(tmp_path: Path, models: list[Path]) -> None:
    metal = run_committee(tmp_path / "metal", triclinic(), models)
    real = run_committee(tmp_path / "real", triclinic(), models, units="real")
    assert real.thermo["c_dev"][0] * kcal / mol == pytest.approx(
        metal.thermo["c_dev"][0], rel=1e-7
    )  # tables of constants differ


def test_compute_of_a_group(tmp_path: Path, models: list[Path]) -> None:
    settings = (
        "group first id 10:40\ncompute firstdev first frames/deviation\n"
        "fix p all print 1 '$(c_firstdev:%.12g)' file first.txt"
    )
    run = run_committee(tmp_path, triclinic(), models, settings=settings, commands="run 1")
    (value,) = np.loadtxt(tmp_path / "first.txt", ndmin=1)[-1:]
    assert value == pytest.approx(run.atoms["c_dev"][9:40].max(), rel=1e-9)
    assert value < run.atoms["c_dev"].max()


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("stop", ["no", "yes"])
def test_threshold_saves_and_stops(tmp_path: Path, models: list[Path], ranks: int, stop: str) -> None:
    atoms = triclinic()
    style = f"frames threshold 0.001 save candidates.extxyz stop {stop} every 5"
    run = run_committee(tmp_path, atoms, models, ranks, style=style, commands="fix nve all nve\nrun 10")
    assert "step 0: the models disagree by" in run.output
    assert "structure appended to candidates.extxyz" in run.output
    frames = ase.io.read(tmp_path / "candidates.extxyz", ":")
    assert [frame.info["step"] for frame in frames] == ([0] if stop == "yes" else [0, 5, 10])
    assert ("the run ends here" in run.output) == (stop == "yes")
    assert run.thermo["Step"][-1] == (0 if stop == "yes" else 10)
    first = frames[0]
    assert first.symbols.get_chemical_formula() == atoms.symbols.get_chemical_formula()
    assert np.array_equal(first.arrays["id"], np.arange(1, len(atoms) + 1))
    assert np.array_equal(first.numbers, atoms.numbers)
    assert np.allclose(first.cell.array, atoms.cell.array)
    assert first.pbc.all()
    first.set_positions(atoms.positions)  # the file's are in the box: distances to the originals are lattice vectors
    read = ase.io.read(tmp_path / "candidates.extxyz", 0)
    shifts = np.linalg.solve(atoms.cell.array.T, (read.positions - atoms.positions).T).T
    assert np.abs(shifts - np.round(shifts)).max() < 1e-6
    assert read.arrays["force_deviation"].max() > 0.001


def test_a_high_threshold_says_nothing(tmp_path: Path, models: list[Path]) -> None:
    run = run_committee(tmp_path, triclinic(), models, style="frames threshold 1e6 save none.extxyz")
    assert "disagree" not in run.output
    assert not (tmp_path / "none.extxyz").exists()


def test_minimiser_writes_a_step_once(tmp_path: Path, models: list[Path]) -> None:
    style = "frames threshold 0.001 save candidates.extxyz"
    run_committee(tmp_path, ethanol(), models, style=style, commands="minimize 0 0.01 5 50")
    steps = [frame.info["step"] for frame in ase.io.read(tmp_path / "candidates.extxyz", ":")]
    assert steps == sorted(set(steps))
    assert len(steps) >= 3


def refusal(folder: Path, models: list[Path], **options: str) -> str:
    folder.mkdir(exist_ok=True)
    write_data(folder / "system.data", ethanol(), TYPES)
    run = run_deck(folder, deck(ethanol(), " ".join(map(str, models)), TYPES, **options))
    assert run.status != 0, run.output
    return next(line for line in run.output.splitlines() if line.startswith("ERROR"))


def test_members_that_do_not_fit(tmp_path: Path, models: list[Path]) -> None:
    other = write_native_model(tmp_path / "wide.pt", cutoff=4.5)
    message = refusal(tmp_path, [models[0], other])
    assert "1.pt has cutoff 4 Å" in message
    assert "wide.pt has 4.5 Å" in message
    other = write_native_model(tmp_path / "order.pt", elements=(1, 6, 8))
    message = refusal(tmp_path, [models[0], other])
    assert "has elements C H O" in message
    assert "order.pt has H C O" in message
    other = write_toy_model(tmp_path / "toy.pt").path
    assert "has layers 3" in refusal(tmp_path, [models[0], other])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"style": "frames threshold 0.1"}, "keyword threshold needs a committee"),
        ({"settings": "compute d all frames/deviation"}, "compute frames/deviation: needs a committee"),
        ({"settings": "compute d all frames/atom force_deviation"}, "compute frames/atom: needs a committee"),
    ],
)
def test_one_model_is_no_committee(tmp_path: Path, models: list[Path], options: dict[str, str], expected: str) -> None:
    message = refusal(tmp_path, models[:1], **options)
    assert expected in message
    assert "name two or more model files in pair_coeff" in message


def test_structures_of_one_step_are_all_looked_at(tmp_path: Path, models: list[Path]) -> None:
    """Candidates that are scanned by `run 0`; a run that goes on from the last structure does not report it twice."""
    atoms = ethanol()
    write_data(tmp_path / "system.data", atoms, TYPES)
    scan = "label next\nvariable i loop 4\nrun 0\nrun 0\ndisplace_atoms all random 0.1 0.1 0.1 7${i}\nnext i\n"
    text = deck(
        atoms,
        " ".join(map(str, models)),
        TYPES,
        style="frames threshold 1e-6 save seen.extxyz",
        commands=f"{scan}jump SELF next",
    )
    run = run_deck(tmp_path, text)
    assert run.status == 0, run.output
    assert run.output.count("WARNING: pair_style frames: step 0: the models disagree by") == 4
    assert len(ase.io.read(tmp_path / "seen.extxyz", ":")) == 4
