"""pair_style frames with the native engine: the answer of TorchScript, with features exchanged between ranks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

pytest.importorskip("torch")

from lammps_run import PROGRAMS, THERMO, deck, require_lammps, run_deck, run_lammps, write_data
from lammps_systems import TYPES, crystal, ethanol, heated, jittered, narrow, slab, triclinic

MOVING = "neigh_modify delay 0 every 1\ntimestep 0.0003\nfix nve all nve\nrun 200"


@pytest.fixture(scope="module", autouse=True)
def lammps() -> None:
    require_lammps()


@pytest.fixture
def models(native_models: dict[str, Path]) -> dict[str, Path]:
    return native_models


@pytest.mark.parametrize("structure", [ethanol, triclinic, narrow, slab])
def test_native_equals_torchscript(tmp_path: Path, models: dict[str, Path], structure: Callable[[], Atoms]) -> None:
    atoms = structure()
    torchscript = run_lammps(tmp_path / "ts", atoms, models["float64"], TYPES, style="frames backend torchscript")
    scale = np.abs(torchscript.forces).max()
    assert scale > 0.01
    for ranks, newton in ((1, "on"), (2, "off"), (4, "on")):
        native = run_lammps(tmp_path / "n", atoms, models["float64"], TYPES, ranks, newton=newton)
        assert "layer(s), native" in native.output
        assert np.abs(native.forces - torchscript.forces).max() < 1e-6 * scale
        assert np.abs(native.atoms["c_pe"] - torchscript.atoms["c_pe"]).max() < 1e-6
        for name in ("PotEng", "Pxx", "Pyy", "Pzz", "Pxy", "Pxz", "Pyz"):
            expected = torchscript.thermo[name][0]
            assert native.thermo[name][0] == pytest.approx(
                expected, rel=1e-6, abs=1e-6 * abs(torchscript.thermo["Press"][0])
            )


def test_single_precision(tmp_path: Path, models: dict[str, Path]) -> None:
    double = run_lammps(tmp_path / "d", triclinic(), models["float64"], TYPES)
    for ranks in (1, 2):
        single = run_lammps(tmp_path / "s", triclinic(), models["float32"], TYPES, ranks)
        assert np.abs(single.forces - double.forces).max() < 1e-5 * max(1.0, np.abs(double.forces).max())


@pytest.mark.parametrize("structure", [crystal, slab])
def test_ranks_agree_after_migration(tmp_path: Path, models: dict[str, Path], structure: Callable[[], Atoms]) -> None:
    atoms = heated(structure(), 1500)
    one = run_lammps(tmp_path / "1", atoms, models["float64"], TYPES, commands=MOVING)
    many = run_lammps(tmp_path / "n", atoms, models["float64"], TYPES, 2, before="processors 1 1 *", commands=MOVING)
    assert np.abs(many.forces - one.forces).max() < 1e-6
    assert np.abs(many.thermo["TotEng"] - one.thermo["TotEng"]).max() < 1e-6


@pytest.mark.parametrize("settings", ["", "comm_style tiled\nfix balance all balance 5 1.0 rcb"])
def test_large_boxes_whose_atoms_are_sorted_in_space(tmp_path: Path, models: dict[str, Path], settings: str) -> None:
    """Some ranks hold enough atoms to sort them, others do not."""
    atoms = heated(jittered((9, 9, 16), np.diag([20.0, 20.0, 36.0]), 8), 800)
    atoms = atoms[(atoms.positions[:, 2] < 18) | (np.arange(len(atoms)) % 3 == 0)]
    shuffled = atoms[np.random.default_rng(0).permutation(len(atoms))]
    moving = MOVING.replace("run 200", "run 12")
    model = models["float64"]
    one = run_lammps(tmp_path / "1", shuffled, model, TYPES, commands=moving)
    many = run_lammps(tmp_path / "n", shuffled, model, TYPES, 3, settings=settings, commands=moving)
    torchscript = run_lammps(tmp_path / "ts", shuffled, model, TYPES, style="frames backend torchscript")
    first = run_lammps(tmp_path / "0", shuffled, model, TYPES)
    scale = np.abs(torchscript.forces).max()
    assert np.abs(first.forces - torchscript.forces).max() < 1e-6 * scale
    assert np.abs(many.forces - one.forces).max() < 1e-6
    assert np.abs(many.thermo["Press"] - one.thermo["Press"]).max() < 1e-6 * np.abs(one.thermo["Press"]).max()


@pytest.mark.parametrize("without", ["012", "1", "02"])
def test_ranks_that_cannot_read_each_others_memory(tmp_path: Path, models: dict[str, Path], without: str) -> None:
    """As on several machines: some ranks, or all, send their features in messages."""
    atoms = heated(jittered((7, 7, 6), np.diag([16.0, 16.0, 14.0]), 8), 800)
    moving = MOVING.replace("run 200", "run 25")
    one = run_lammps(tmp_path / "1", atoms, models["float64"], TYPES, commands=moving)
    script = tmp_path / "lmp.sh"
    switch = f"case {without} in *$PMI_RANK*) export FRAMES_SHARED_MEMORY=off;; esac"
    script.write_text(f'#!/bin/sh\n{switch}\nexec "{PROGRAMS}/lmp" "$@"\n')
    script.chmod(0o755)
    write_data(tmp_path / "system.data", atoms, TYPES)
    text = deck(atoms, models["float64"], TYPES, commands=moving)
    many = run_deck(tmp_path, text, 3, script)
    assert many.status == 0, many.output
    assert np.abs(many.forces - one.forces).max() < 1e-6


def test_ghost_shell_is_one_cutoff(tmp_path: Path, models: dict[str, Path]) -> None:
    run = run_lammps(tmp_path, crystal(), models["float64"], TYPES, 2)
    assert "ghost atom cutoff = 5\n" in run.output


@pytest.mark.parametrize("memory", ["", "off"])
def test_what_is_exchanged_is_counted(
    tmp_path: Path, models: dict[str, Path], memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rank gets every other rank's atom near its part of the box once, four times a step for two layers."""
    monkeypatch.setenv("FRAMES_SHARED_MEMORY", memory)
    # fewer atoms than the model's test frame, whose replay leaves the engine with memory that no other rank reads
    atoms, length = jittered((3, 3, 8), np.diag([7.0, 7.0, 32.0]), 3), 32.0
    settings = "compute f all pair frames\nthermo_style custom step pe c_f[1] c_f[2] c_f[3]"
    grid = "processors 1 1 2"
    options = {"before": grid, "settings": settings}
    text = deck(atoms, models["float32"], TYPES, **options).replace(THERMO, "step pe c_f[1] c_f[2] c_f[3]")
    write_data(tmp_path / "system.data", atoms, TYPES)
    run = run_deck(tmp_path, text, 2)
    assert run.status == 0, run.output
    z = atoms.positions[:, 2] % length
    half, shell = length / 2, 4.0 + 1.0  # cutoff and skin
    upper = (z >= half) & ((z < half + shell) | (z >= length - shell))
    lower = (z < half) & ((z >= half - shell) | (z < shell))
    ghosts = int(upper.sum() + lower.sum())
    assert 0 < ghosts < len(atoms)
    size = ghosts * 9 * 16 * 4 * 4  # components, channels, bytes of a number, exchanges
    assert [run.thermo[f"c_f[{k}]"][0] for k in (1, 2, 3)] == [ghosts, size, size if memory == "off" else 0]
    per_rank = f"features of {ghosts / 2:.0f} ghost atoms per rank (at most {max(upper.sum(), lower.sum())}), 4 times"
    assert per_rank in run.output


def test_models_of_a_hybrid_style_exchange_too(tmp_path: Path, models: dict[str, Path]) -> None:
    """LAMMPS sizes its buffers by the outermost style, which must learn how wide the features are."""
    plain = run_lammps(tmp_path / "plain", crystal(), models["float64"], TYPES, 2)
    folder = tmp_path / "hybrid"
    folder.mkdir()
    write_data(folder / "system.data", crystal(), TYPES)
    text = deck(crystal(), models["float64"], TYPES, style="hybrid/overlay frames zero 4.0")
    text = text.replace("pair_coeff * *", "pair_coeff * * zero\npair_coeff * * frames")
    for ranks in (1, 2):
        run = run_deck(folder, text, ranks)
        assert run.status == 0, run.output
        assert np.abs(run.forces - plain.forces).max() < 1e-10


def test_two_runs_and_a_second_model(tmp_path: Path, models: dict[str, Path]) -> None:
    again = deck(ethanol(), models["float64"], TYPES, style="frames backend torchscript")
    commands = f"run 0\nrun 2\nminimize 0 0.01 20 100\nundump last\nclear\n{again}"
    run = run_lammps(
        tmp_path, ethanol(), models["float64"], TYPES, commands=commands.replace("run 0\nwrite", "run 0\n#")
    )
    energies = run.thermo["PotEng"]
    assert energies[0] == pytest.approx(energies[-1], abs=1e-6)
    assert energies.min() < energies[0] - 1e-3


def test_ranks_with_ghosts_only(tmp_path: Path, models: dict[str, Path]) -> None:
    """The second rank owns no atom, but the periodic images of the slab lie right above its part of the box."""
    one = run_lammps(tmp_path / "1", slab(), models["float64"], TYPES)
    for newton in ("on", "off"):
        two = run_lammps(
            tmp_path / newton, slab(), models["float64"], TYPES, 2, before="processors 1 1 2", newton=newton
        )
        lines = [line.split() for line in two.output.splitlines()]
        fewest = {words[0]: float(words[5]) for words in lines if words[:1] in (["Nlocal:"], ["Nghost:"])}
        assert fewest["Nlocal:"] == 0 and fewest["Nghost:"] > 0
        assert np.abs(two.forces - one.forces).max() < 1e-10
        assert two.thermo["PotEng"][0] == pytest.approx(one.thermo["PotEng"][0], rel=1e-12)


def test_ghosts_with_a_cutoff_for_each_type(tmp_path: Path, models: dict[str, Path]) -> None:
    one = run_lammps(tmp_path / "1", crystal(), models["float64"], TYPES)
    settings = "neighbor 1.0 multi\ncomm_modify mode multi"
    two = run_lammps(tmp_path / "2", crystal(), models["float64"], TYPES, 2, settings=settings)
    assert np.abs(two.forces - one.forces).max() < 1e-10
