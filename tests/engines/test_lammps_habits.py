"""What users of LAMMPS do with any pair style, done with this one: restart, adapt, hybrid, minimise, rerun, NEB, ..."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

pytest.importorskip("torch")

from lammps_run import DUMP, PROGRAMS, TIMEOUT, Run, deck, read_thermo, require_lammps, run_deck, run_lammps, write_data
from lammps_systems import TYPES, crystal, ethanol, heated, triclinic
from native_models import write_native_model

RESTARTED = f"""units metal
read_restart {{name}}
{{model}}
compute pe all pe/atom
thermo_style custom step pe ke etotal press pxx pyy pzz pxy pxz pyz vol
thermo_modify format float %.15g
thermo 1
run 0
write_dump all custom atoms.dump {DUMP} modify sort id format float %.15g
"""


@pytest.fixture(scope="module", autouse=True)
def lammps() -> None:
    require_lammps()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_native_model(tmp_path_factory.mktemp("habits") / "model.pt")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_native_model(tmp_path_factory.mktemp("habits") / "other.pt", seed=9)


def succeed(folder: Path, text: str, ranks: int = 1) -> Run:
    run = run_deck(folder, text, ranks)
    assert run.status == 0, run.output
    return run


# --- restart files ---


@pytest.mark.parametrize("ranks", [1, 2])
def test_restart_goes_on_with_the_same_model(tmp_path: Path, model: Path, ranks: int) -> None:
    before = run_lammps(
        tmp_path, heated(crystal(), 300), model, TYPES, ranks, commands="run 0\nwrite_restart saved.restart"
    )
    run = succeed(tmp_path, RESTARTED.format(name="saved.restart", model=""), ranks)
    assert f"{model}: cartesian" in run.output
    assert np.abs(run.forces - before.forces).max() < 1e-12
    assert run.thermo["TotEng"][0] == pytest.approx(before.thermo["TotEng"][0], rel=1e-14)


def test_restart_in_another_folder(tmp_path: Path, model: Path) -> None:
    """The deck named the model by a relative path."""
    (tmp_path / "a").mkdir()
    shutil.copy(model, tmp_path / "a" / "here.pt")
    before = run_lammps(tmp_path / "a", crystal(), "here.pt", TYPES, commands="run 0\nwrite_restart saved.restart")
    (tmp_path / "b").mkdir()
    run = succeed(tmp_path / "b", RESTARTED.format(name="../a/saved.restart", model=""))
    assert np.abs(run.forces - before.forces).max() < 1e-12


@pytest.mark.parametrize("change", ["gone", "another"])
def test_restart_without_its_model(tmp_path: Path, model: Path, other: Path, change: str) -> None:
    shutil.copy(model, tmp_path / "here.pt")
    before = run_lammps(tmp_path, crystal(), "here.pt", TYPES, commands="run 0\nwrite_restart saved.restart")
    if change == "gone":
        (tmp_path / "here.pt").unlink()
        expected = "here.pt: no such model file"
    else:
        shutil.copy(other, tmp_path / "here.pt")
        expected = "here.pt is another model than the one that the restart file was written with"
    run = run_deck(tmp_path, RESTARTED.format(name="saved.restart", model=""))
    assert run.status != 0
    assert f"no model from the restart file: {tmp_path}/{expected}" in run.output
    assert "ERROR: All pair coeffs are not set" in run.output
    named = f"pair_style frames\npair_coeff * * {model} O C H"
    run = succeed(tmp_path, RESTARTED.format(name="saved.restart", model=named))
    assert np.abs(run.forces - before.forces).max() < 1e-12


def test_restart_keeps_settings_and_committee(tmp_path: Path, model: Path, other: Path) -> None:
    style = "frames backend torchscript threshold 1e-6 save saved.extxyz every 7"
    run_lammps(tmp_path, crystal(), f"{model} {other}", TYPES, style=style, commands="run 0\nwrite_restart r")
    (tmp_path / "saved.extxyz").unlink()
    run = succeed(tmp_path, RESTARTED.format(name="r", model=""))
    assert "mean of 2 models, torchscript" in run.output
    assert (tmp_path / "saved.extxyz").exists()
    assert "more than 1e-06" in run.output


def test_restart_of_hybrid(tmp_path: Path, model: Path) -> None:
    """LAMMPS saves the settings of sub-styles; coefficients have to be given again, as for any other."""
    text = deck(crystal(), model, TYPES, style="hybrid/overlay frames backend torchscript zero 4.0")
    text = text.replace("pair_coeff * *", "pair_coeff * * zero\npair_coeff * * frames")
    write_data(tmp_path / "system.data", crystal(), TYPES)
    before = succeed(tmp_path, text.replace("run 0", "run 0\nwrite_restart r"))
    named = f"pair_coeff * * zero\npair_coeff * * frames {model} O C H"
    run = succeed(tmp_path, RESTARTED.format(name="r", model=named))
    assert "torchscript" in run.output
    assert np.abs(run.forces - before.forces).max() < 1e-12


# --- combination with other styles ---


def test_fix_adapt_scales_energy_and_forces(tmp_path: Path, model: Path) -> None:
    atoms = triclinic()
    plain = run_lammps(tmp_path / "plain", atoms, model, TYPES)
    settings = "variable s equal 0.25\nfix a all adapt 1 pair frames scale * * v_s"
    for ranks in (1, 2):
        scaled = run_lammps(tmp_path / "scaled", atoms, model, TYPES, ranks, settings=settings)
        assert np.abs(scaled.forces - 0.25 * plain.forces).max() < 1e-11
        for name in ("PotEng", "Pxx", "Pxy"):
            assert scaled.thermo[name][0] == pytest.approx(0.25 * plain.thermo[name][0], rel=1e-9, abs=1e-6)


def test_scale_begins_anew_with_the_model(tmp_path: Path, model: Path) -> None:
    """What fix adapt left behind is gone with new coefficients, as in other styles; a restart file keeps it."""
    adapt = "variable s equal 0.25\nfix a all adapt 1 pair frames scale * * v_s\nrun 0\nwrite_restart r\nunfix a\n"
    again = f"pair_style frames\npair_coeff * * {model} O C H\nrun 0"
    write_data(tmp_path / "system.data", crystal(), TYPES)
    text = deck(crystal(), model, TYPES, commands=f"run 0\n{adapt}run 0\n{again}")
    energies = re.findall(r"^ +0 +(\S+) ", succeed(tmp_path, text).output, re.MULTILINE)
    plain, scaled, left, new = map(float, energies)
    assert (scaled, left, new) == pytest.approx((0.25 * plain, 0.25 * plain, plain), rel=1e-12)
    restarted = succeed(tmp_path, RESTARTED.format(name="r", model=""))
    assert restarted.thermo["PotEng"][0] == pytest.approx(0.25 * plain, rel=1e-12)
    restarted = succeed(tmp_path, RESTARTED.format(name="r", model=f"pair_style frames\npair_coeff * * {model} O C H"))
    assert restarted.thermo["PotEng"][0] == pytest.approx(plain, rel=1e-12)


def test_free_energy_perturbation(tmp_path: Path, model: Path) -> None:
    """compute fep evaluates a scaled model beside the run, which it leaves as it was."""
    plain = run_lammps(tmp_path / "plain", crystal(), model, TYPES)
    settings = "variable d equal 0.01\ncompute f all fep 300 pair frames scale * * v_d"
    for ranks in (1, 2):
        write_data(tmp_path / "system.data", crystal(), TYPES)
        text = deck(crystal(), model, TYPES, settings=settings).replace("vol\n", "vol c_f[1]\n", 1)
        assert "c_f[1]" in text
        run = succeed(tmp_path, text, ranks)
        assert run.thermo["c_f[1]"][0] == pytest.approx(0.01 * plain.thermo["PotEng"][0], rel=1e-9)
        assert np.abs(run.forces - plain.forces).max() < 1e-11


def test_one_scale_for_all_types(tmp_path: Path, model: Path) -> None:
    settings = "variable s equal 0.25\nfix a all adapt 1 pair frames scale 1 2*3 v_s"
    write_data(tmp_path / "system.data", crystal(), TYPES)
    run = run_deck(tmp_path, deck(crystal(), model, TYPES, settings=settings))
    assert run.status != 0
    assert "scale is 0.25 for atom types 1 and 2, but 1 for others; a model has one factor for all" in run.output


def test_exclusions_are_warned_of_where_they_are(tmp_path: Path, model: Path) -> None:
    warning = "WARNING: pair_style frames: neigh_modify exclude has no effect on this style"
    write_data(tmp_path / "system.data", crystal(), TYPES)
    for command, times in (("", 0), ("neigh_modify exclude type 1 2", 1), ("neigh_modify exclude group all all", 1)):
        again = "run 0\nneigh_modify exclude none\nrun 0"
        run = succeed(tmp_path, deck(crystal(), model, TYPES, settings=command, commands=again))
        assert run.output.count(warning) == times, command


def test_hybrid_scaled(tmp_path: Path, model: Path) -> None:
    plain = run_lammps(tmp_path / "plain", crystal(), model, TYPES)
    text = deck(crystal(), model, TYPES, style="hybrid/scaled 0.5 frames 1.0 zero 4.0")
    text = text.replace("pair_coeff * *", "pair_coeff * * zero\npair_coeff * * frames")
    (tmp_path / "half").mkdir()
    write_data(tmp_path / "half" / "system.data", crystal(), TYPES)
    run = succeed(tmp_path / "half", text)
    assert np.abs(run.forces - 0.5 * plain.forces).max() < 1e-11


@pytest.mark.parametrize("ranks", [1, 2])
def test_hybrid_leaves_other_types_to_the_other_style(tmp_path: Path, model: Path, ranks: int) -> None:
    """Argon around a molecule: the model sees the molecule alone, the pair potential everything else."""
    atoms = ethanol()
    atoms.center(vacuum=4.0)
    atoms.pbc = True
    noble = Atoms("Ar2", atoms.positions.mean(0) + np.array([[3.8, 0, 0], [0, -3.7, 0]]))
    both = atoms + noble
    types = (*TYPES, 18)
    alone = run_lammps(tmp_path / "alone", atoms, model, TYPES)
    write_data(tmp_path / "system.data", both, types)
    lj = "\n".join(f"pair_coeff {t} 4 lj/cut 0.005 3.2" for t in (1, 2, 3, 4))
    text = deck(both, model, TYPES, style="hybrid frames lj/cut 6.0")
    text = text.replace("pair_coeff * * ", "pair_coeff * * frames ").replace(" O C H\n", f" O C H NULL\n{lj}\n")
    mixed = succeed(tmp_path, text, ranks)
    text = deck(both, "", types, style="lj/cut 6.0")
    line = next(line for line in text.splitlines() if line.startswith("pair_coeff"))
    rest = "pair_coeff * * 0.0 1.0\n" + lj.replace(" lj/cut", "")
    classical = succeed(tmp_path, text.replace(line, rest), ranks)
    expected = classical.forces.copy()
    expected[: len(atoms)] += alone.forces
    assert np.abs(classical.forces).max() > 1e-3
    assert np.abs(mixed.forces - expected).max() < 1e-10
    energy = alone.thermo["PotEng"][0] + classical.thermo["PotEng"][0]
    assert mixed.thermo["PotEng"][0] == pytest.approx(energy, abs=1e-8)


def test_compute_pair_and_overlay_with_zbl(tmp_path: Path, model: Path) -> None:
    plain = run_lammps(tmp_path / "plain", crystal(), model, TYPES)
    text = deck(crystal(), model, TYPES, style="hybrid/overlay frames zbl 1.0 2.0")
    zbl = "".join(
        f"pair_coeff {i} {j} zbl {zi} {zj}\n"
        for i, zi in enumerate(TYPES, 1)
        for j, zj in enumerate(TYPES, 1)
        if i <= j
    )
    text = text.replace("pair_coeff * *", zbl + "pair_coeff * * frames")
    text = text.replace("thermo_style", "compute f all pair frames\ncompute z all pair zbl\nthermo_style", 1)
    text = text.replace("pyz vol", "pyz vol c_f c_z")
    write_data(tmp_path / "system.data", crystal(), TYPES)
    run = succeed(tmp_path, text)
    assert run.thermo["c_f"][0] == pytest.approx(plain.thermo["PotEng"][0], rel=1e-12)
    assert run.thermo["c_z"][0] > 0
    assert run.thermo["PotEng"][0] == pytest.approx(run.thermo["c_f"][0] + run.thermo["c_z"][0], rel=1e-12)


def test_type_labels(tmp_path: Path, model: Path) -> None:
    plain = run_lammps(tmp_path, crystal(), model, TYPES)
    labelled = run_lammps(tmp_path, crystal(), model, TYPES, settings="labelmap atom 1 O 2 C 3 H\ngroup carbon type C")
    assert np.abs(labelled.forces - plain.forces).max() < 1e-12


def test_ids_with_gaps(tmp_path: Path, model: Path) -> None:
    plain = run_lammps(tmp_path, crystal(), model, TYPES)
    data = (tmp_path / "system.data").read_text()
    head, atoms = data.split("Atoms # atomic\n\n")
    lines = [line.split(" ", 1) for line in atoms.strip().splitlines()]
    atoms = "\n".join(f"{10 * int(k) + 2000000} {rest}" for k, rest in lines)
    (tmp_path / "system.data").write_text(f"{head}Atoms # atomic\n\n{atoms}\n")
    for ranks in (1, 2):
        run = succeed(tmp_path, deck(crystal(), model, TYPES), ranks)
        assert run.atoms["id"][0] == 2000010
        assert np.abs(run.forces - plain.forces).max() < 1e-10


def test_pair_write_is_refused(tmp_path: Path, model: Path) -> None:
    write_data(tmp_path / "system.data", crystal(), TYPES)
    run = run_deck(tmp_path, deck(crystal(), model, TYPES, commands="run 0\npair_write 1 1 10 r 1.0 3.0 t.txt X"))
    assert run.status != 0
    assert "ERROR: Pair style frames does not support pair_write" in run.output


# --- atoms closer than in training ---


@pytest.mark.parametrize("ranks", [1, 2])
def test_extrapolation_is_warned_of_once_per_pair_of_elements(tmp_path: Path, ranks: int) -> None:
    atoms = crystal()
    distances = atoms.get_all_distances(mic=True) + 9.0 * np.eye(len(atoms))
    hydrogen = np.flatnonzero(atoms.numbers == 1)
    shortest = float(distances[np.ix_(hydrogen, hydrogen)].min())
    record = {"shortest_distances": {"H-H": shortest + 0.01, "H-C": 0.5}}
    path = write_native_model(tmp_path / "model.pt", training=record)
    run = run_lammps(tmp_path, atoms, path, TYPES, ranks, commands="fix nve all nve\ntimestep 1e-6\nrun 3")
    warnings = [line for line in run.output.splitlines() if "the model extrapolates" in line]
    assert 1 <= len(warnings) <= ranks
    assert "step 0: atoms" in warnings[0]
    assert warnings[0].count("(H)") == 2
    assert f"are {shortest:.4g} A apart, closer than any such pair in training ({shortest + 0.01:.4g} A)" in warnings[0]


# --- other ways to move atoms ---


@pytest.mark.parametrize("ranks", [1, 2])
def test_minimise_atoms_and_box(tmp_path: Path, model: Path, ranks: int) -> None:
    """With a pair potential on top, since an untrained model has no minimum."""
    write_data(tmp_path / "system.data", crystal(), TYPES)
    commands = "fix b all box/relax iso 1000.0 vmax 0.002\nminimize 0 1e-3 300 3000"
    text = deck(crystal(), model, TYPES, style="hybrid/overlay frames lj/cut 6.0", commands=commands)
    text = text.replace("pair_coeff * *", "pair_coeff * * lj/cut 1.0 2.0\npair_coeff * * frames")
    run = succeed(tmp_path, text, ranks)
    assert abs(run.thermo["Press"][-1] - 1000) < 0.1 * abs(run.thermo["Press"][0] - 1000)
    assert run.thermo["PotEng"][-1] < run.thermo["PotEng"][0] - 1.0


def test_rerun(tmp_path: Path, model: Path) -> None:
    commands = "timestep 0.0005\nfix nve all nve\ndump t all custom 2 t.dump id type x y z\n" \
               "dump_modify t format float %.15g sort id\nrun 6\nundump t"  # fmt: skip
    ran = run_lammps(tmp_path, heated(crystal(), 300), model, TYPES, commands=commands)
    for ranks in (1, 2):
        again = run_lammps(tmp_path, crystal(), model, TYPES, ranks, commands="rerun t.dump dump x y z")
        assert again.thermo["Step"].tolist() == [0, 2, 4, 6]
        assert np.abs(again.thermo["PotEng"] - ran.thermo["PotEng"][::2]).max() < 1e-8


def test_respa_with_the_model_in_the_outer_level(tmp_path: Path, model: Path) -> None:
    move = "timestep 0.0005\nfix nve all nve\nrun 5"
    plain = run_lammps(tmp_path / "verlet", heated(crystal(), 300), model, TYPES, commands=move)
    settings = "run_style respa 2 2 pair 2"
    respa = run_lammps(tmp_path / "respa", heated(crystal(), 300), model, TYPES, settings=settings, commands=move)
    assert np.abs(respa.forces - plain.forces).max() < 1e-8


def test_deform_with_flips(tmp_path: Path, model: Path) -> None:
    """A box that is sheared until LAMMPS flips it: pairs kept within the skin give what fresh ones give."""
    commands = "timestep 0.0005\nfix nve all nve\nfix d all deform 1 xy erate 40.0 remap x\nrun 40"
    kept = run_lammps(tmp_path / "kept", triclinic(), model, TYPES, commands=commands)
    always = "neigh_modify delay 0 every 1 check no"
    for ranks in (1, 2):
        fresh = run_lammps(tmp_path / "f", triclinic(), model, TYPES, ranks, settings=always, commands=commands)
        assert np.abs(fresh.thermo["PotEng"] - kept.thermo["PotEng"]).max() < 1e-7
        assert np.abs(fresh.forces - kept.forces).max() < 1e-7


def test_atoms_that_come_and_go(tmp_path: Path, model: Path) -> None:
    commands = (
        "run 0\ngroup gone id 3 7 20:30\ndelete_atoms group gone\nrun 2\n"
        "create_atoms 2 single 1.0 1.0 1.0\nrun 2\nreset_atoms id\nrun 0"
    )
    settings = "fix nve all nve\ntimestep 0.0002"
    one = run_lammps(tmp_path / "1", crystal(), model, TYPES, settings=settings, commands=commands)
    two = run_lammps(tmp_path / "2", crystal(), model, TYPES, 2, settings=settings, commands=commands)
    assert len(one.forces) == len(crystal()) - 12
    assert np.abs(np.array(one.thermo["PotEng"]) - two.thermo["PotEng"]).max() < 1e-8


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_atoms_that_a_fix_inserts(tmp_path: Path, model: Path, ranks: int) -> None:
    atoms = crystal()
    atoms.set_cell([9.0, 9.5, 20.0])  # room above the atoms
    settings = (
        "fix nve all nve\ntimestep 0.0002\nregion above block 1 8 1 8 13 18 units box\n"
        "fix d all deposit 4 2 3 4711 region above near 1.5 vz -20 -20 units box"
    )
    run = run_lammps(tmp_path, atoms, model, TYPES, ranks, settings=settings, commands="run 20")
    assert len(run.forces) == len(atoms) + 4
    one = run_lammps(tmp_path / "1", atoms, model, TYPES, settings=settings, commands="run 20")
    assert np.abs(run.thermo["PotEng"] - one.thermo["PotEng"]).max() < 1e-7
    assert np.abs(run.forces - one.forces).max() < 1e-7


@pytest.mark.parametrize("ranks", [1, 2])
def test_two_sub_styles_with_a_model_each(tmp_path: Path, model: Path, other: Path, ranks: int) -> None:
    """Each exchanges features of its own ghosts."""
    alone = [run_lammps(tmp_path / str(k), crystal(), path, TYPES) for k, path in enumerate((model, other))]
    write_data(tmp_path / "system.data", crystal(), TYPES)
    text = deck(crystal(), model, TYPES, style="hybrid/overlay frames frames")
    text = text.replace("pair_coeff * * ", f"pair_coeff * * frames 2 {other} O C H\npair_coeff * * frames 1 ")
    run = succeed(tmp_path, text, ranks)
    assert np.abs(run.forces - alone[0].forces - alone[1].forces).max() < 1e-10
    energy = alone[0].thermo["PotEng"][0] + alone[1].thermo["PotEng"][0]
    assert run.thermo["PotEng"][0] == pytest.approx(energy, rel=1e-12)


def test_run_without_new_lists(tmp_path: Path, model: Path) -> None:
    """`pre no` goes on with the lists of the run before; with another model they are of no use."""
    moving = "timestep 0.0005\nfix nve all nve\n"
    once = run_lammps(tmp_path / "1", heated(crystal(), 300), model, TYPES, commands=f"{moving}run 6")
    parts = run_lammps(tmp_path / "2", heated(crystal(), 300), model, TYPES, commands=f"{moving}run 3\nrun 3 pre no")
    assert np.abs(parts.forces - once.forces).max() < 1e-12
    write_data(tmp_path / "system.data", crystal(), TYPES)
    again = f"{moving}run 3\npair_coeff * * {model} O C H\nrun 3 pre no"
    refused = run_deck(tmp_path, deck(crystal(), model, TYPES, commands=again))
    assert refused.status != 0
    assert "atoms or model changed without new neighbour lists; use `run` without `pre no`" in refused.output


# --- several worlds in one process group ---


def run_partitions(folder: Path, text: str, partitions: str, ranks: int) -> str:
    (folder / "in.test").write_text(text)
    command = [PROGRAMS / "mpiexec", "-n", str(ranks), PROGRAMS / "lmp", "-partition", *partitions.split()]
    command += ["-in", "in.test"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("partitions", "ranks"), [("2x1", 2), ("1 2", 3)])
def test_partitions_run_different_systems(
    tmp_path: Path, model: Path, other: Path, partitions: str, ranks: int
) -> None:
    models = [model, other]
    alone = [run_lammps(tmp_path / str(k), crystal(), models[k], TYPES) for k in (0, 1)]
    write_data(tmp_path / "system.data", crystal(), TYPES)
    text = f"variable m world {model} {other}\n" + deck(crystal(), "${m}", TYPES, commands="run 1")
    text = text.replace("atoms.dump", "atoms.$m.dump").split("dump last")[0] + "run 1\n"
    run_partitions(tmp_path, text, partitions, ranks)
    for k in (0, 1):
        thermo = read_thermo((tmp_path / f"log.lammps.{k}").read_text())
        assert thermo["PotEng"][0] == pytest.approx(alone[k].thermo["PotEng"][0], rel=1e-10)


def test_nudged_elastic_band(tmp_path: Path, model: Path) -> None:
    """Three replicas between two positions of a hydrogen atom of ethanol: their ends keep their energies."""
    atoms = ethanol()
    write_data(tmp_path / "system.data", atoms, TYPES)
    moved = atoms.positions[-1] - atoms.positions.min(axis=0) + [0.0, 0.3, 0.0]
    x, y, z = moved + atoms.positions.min(axis=0)
    (tmp_path / "final.txt").write_text(f"1\n{len(atoms)} {x} {y} {z}\n")
    text = deck(atoms, model, TYPES, before="atom_modify map array sort 0 0.0").split("dump last")[0]
    text += "timestep 0.0005\nfix n all neb 1.0\nmin_style quickmin\nneb 0.0 0.001 10 10 5 final final.txt\n"
    run_partitions(tmp_path, text, "3x1", 3)
    band = (tmp_path / "log.lammps").read_text()
    assert "Climbing" in band
    barrier = [line.split() for line in band.splitlines() if line[:1].isdigit() or line.startswith(" ")]
    assert np.isfinite([float(word) for word in barrier[-1]]).all()
