"""pair_style frames on one rank: the same answer as the model in Python, and derivatives that belong to the energy."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

pytest.importorskip("torch")

from lammps_run import deck, require_lammps, run_deck, run_lammps, write_data
from lammps_systems import STRUCTURES, TYPES, crystal, ethanol, heated, narrow, triclinic
from toy_potential import ToyModel, write_toy_model

from frames.ase import FramesCalculator

# bar per eV/Å³: LAMMPS' constant for units metal (update.cpp), so that pressures can be compared to 1e-9
METAL_PRESSURE = 1.6021765e6
REAL_PRESSURE = 68568.415  # atm per kcal/mol/Å³, the same for units real
KCAL_PER_EV = 1.602176634e-19 * 6.02214076e23 / 4184

VIRIAL = ["Pxx", "Pyy", "Pzz", "Pxy", "Pxz", "Pyz"]
ROWS, COLUMNS = [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]

Energies = list[float]


@pytest.fixture(scope="module", autouse=True)
def lammps() -> None:
    require_lammps()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ToyModel:
    return write_toy_model(tmp_path_factory.mktemp("lammps") / "toy.pt")


def virial_of(atoms: Atoms) -> np.ndarray:
    """Virial [6] in eV by the Python model, in the order of LAMMPS."""
    stress: np.ndarray = atoms.get_stress(voigt=False)
    return -stress[ROWS, COLUMNS] * atoms.get_volume()


@pytest.mark.parametrize("structure", STRUCTURES)
def test_same_answer_as_in_python(tmp_path: Path, model: ToyModel, structure: Callable[[], Atoms]) -> None:
    atoms = structure()
    run = run_lammps(tmp_path, atoms, model.path, TYPES)
    atoms.calc = FramesCalculator(model.path)
    assert abs(run.thermo["PotEng"][0] - atoms.get_potential_energy()) < 1e-9 * len(atoms)
    assert np.abs(run.forces - atoms.get_forces()).max() < 1e-10
    assert np.abs(run.forces).max() > 0.1
    assert np.abs(run.atoms["c_pe"] - atoms.get_potential_energies()).max() < 1e-9
    if atoms.pbc.all():
        volume = run.thermo["Volume"][0]
        virial = np.array([run.thermo[name][0] for name in VIRIAL]) * volume / METAL_PRESSURE
        assert np.abs(virial - virial_of(atoms)).max() < 1e-9
        assert np.abs(virial).max() > 1.0


def test_single_precision(tmp_path: Path) -> None:
    model = write_toy_model(tmp_path / "single.pt", dtype="float32")
    atoms = crystal()
    run = run_lammps(tmp_path, atoms, model.path, TYPES)
    atoms.calc = FramesCalculator(model.path)
    assert abs(run.thermo["PotEng"][0] - atoms.get_potential_energy()) < 1e-5 * len(atoms)
    assert np.abs(run.forces - atoms.get_forces()).max() < 1e-4


def test_types_may_be_in_any_order(tmp_path: Path, model: ToyModel) -> None:
    first = run_lammps(tmp_path / "a", triclinic(), model.path, (1, 6, 8))
    second = run_lammps(tmp_path / "b", triclinic(), model.path, (6, 8, 1))
    twice = run_lammps(tmp_path / "c", triclinic(), model.path, (8, 1, 6, 6))
    assert abs(first.thermo["PotEng"][0] - second.thermo["PotEng"][0]) < 1e-9
    assert np.abs(first.forces - second.forces).max() < 1e-11
    assert np.abs(first.forces - twice.forces).max() < 1e-11


@pytest.mark.parametrize("structure", [ethanol, narrow])
def test_forces_are_the_negative_gradient(tmp_path: Path, model: ToyModel, structure: Callable[[], Atoms]) -> None:
    step = 1e-4
    moves = [(atom, axis) for atom in (1, 2) for axis in range(3)]
    lines = ["run 0"]
    for atom, axis in moves:
        lines.append(f"group moved id {atom}")
        for length in (step, -2 * step, step):
            along = ["0", "0", "0"]
            along[axis] = f"{length:.17g}"
            lines += [f"displace_atoms moved move {' '.join(along)} units box", "run 0"]
        lines.append("group moved delete")
    run = run_lammps(tmp_path, structure(), model.path, TYPES, commands="\n".join(lines))
    energies = run.thermo["PotEng"][1:].reshape(len(moves), 3)
    numerical = (energies[:, 1] - energies[:, 0]) / (2 * step)
    assert np.abs(numerical - run.forces[:2].ravel()).max() < 1e-6


@pytest.mark.parametrize("structure", [crystal, narrow])
def test_pressure_is_the_derivative_by_volume_and_shape(
    tmp_path: Path, model: ToyModel, structure: Callable[[], Atoms]
) -> None:
    atoms = structure()
    strain = 1e-5
    lines = ["run 0"]
    for row, column in zip(ROWS, COLUMNS, strict=True):
        for size in (strain, -strain):
            deformation = np.eye(3)
            deformation[row, column] += size
            (lx, _, _), (xy, ly, _), (xz, yz, lz) = atoms.cell.array @ deformation.T
            box = f"x final 0 {lx:.17g} y final 0 {ly:.17g} z final 0 {lz:.17g}"
            tilt = f"xy final {xy:.17g} xz final {xz:.17g} yz final {yz:.17g}"
            lines += [f"change_box all {box} {tilt} remap", "run 0"]
    tilted = "" if structure is narrow else "change_box all triclinic"
    run = run_lammps(tmp_path, atoms, model.path, TYPES, settings=tilted, commands="\n".join(lines))
    energies = run.thermo["PotEng"][1:].reshape(6, 2)
    numerical = -(energies[:, 0] - energies[:, 1]) / (2 * strain)
    virial = np.array([run.thermo[name][0] for name in VIRIAL]) * run.thermo["Volume"][0] / METAL_PRESSURE
    assert np.abs(numerical - virial).max() < 1e-5 * np.abs(virial).max()


def test_real_units_are_the_same_physics(tmp_path: Path, model: ToyModel) -> None:
    metal = run_lammps(tmp_path / "metal", crystal(), model.path, TYPES)
    real = run_lammps(tmp_path / "real", crystal(), model.path, TYPES, units="real")
    assert real.thermo["PotEng"][0] == pytest.approx(metal.thermo["PotEng"][0] * KCAL_PER_EV, rel=1e-13)
    assert np.abs(real.forces / KCAL_PER_EV - metal.forces).max() < 1e-12
    assert np.abs(real.atoms["c_pe"] / KCAL_PER_EV - metal.atoms["c_pe"]).max() < 1e-10
    for name in VIRIAL:
        expected = metal.thermo[name][0] / METAL_PRESSURE * REAL_PRESSURE * KCAL_PER_EV
        assert real.thermo[name][0] == pytest.approx(expected, rel=1e-9, abs=1e-3)


def test_real_units_give_the_same_trajectory(tmp_path: Path, model: ToyModel) -> None:
    atoms = heated(ethanol(), 300)
    metal = run_lammps(
        tmp_path / "metal", atoms, model.path, TYPES, commands="timestep 0.0005\nfix nve all nve\nrun 50"
    )
    # data files of units real hold Å/fs
    slow = atoms.copy()
    slow.set_velocities(atoms.get_velocities() / 1000)
    real = run_lammps(
        tmp_path / "real", slow, model.path, TYPES, units="real", commands="timestep 0.5\nfix nve all nve\nrun 50"
    )
    assert np.abs(metal.positions - atoms.positions).max() > 1.0
    # LAMMPS' own constants for forces and masses differ by a part in 10^7 between the two styles
    assert np.abs(real.positions - metal.positions).max() < 1e-6


def test_energy_is_conserved_and_the_skin_does_not_matter(tmp_path: Path, model: ToyModel) -> None:
    """A hot crystal: with a thin skin lists are rebuilt often, while atoms cross the cutoff and the borders."""
    atoms = heated(crystal(), 1500)
    runs = []
    for skin in ("0.2", "2.0"):
        commands = f"neighbor {skin} bin\nneigh_modify delay 0 every 1\ntimestep 0.0001\nfix nve all nve\nrun 300"
        runs.append(run_lammps(tmp_path / skin, atoms, model.path, TYPES, commands=commands))
    builds = [int(re.findall(r"Neighbor list builds = (\d+)", run.output)[0]) for run in runs]
    assert builds[0] >= 5 * max(1, builds[1])
    assert np.abs(runs[0].forces - runs[1].forces).max() < 1e-8
    total, kinetic = runs[0].thermo["TotEng"], runs[0].thermo["KinEng"]
    assert np.abs(kinetic - kinetic[0]).max() > 5.0
    assert np.abs(total - total[0]).max() < 0.01 * np.abs(kinetic - kinetic[0]).max()


def test_atom_stresses_add_up_to_the_virial(tmp_path: Path, native_models: dict[str, Path]) -> None:
    settings = """compute s all stress/atom NULL virial
compute c all centroid/stress/atom NULL virial
compute ssum all reduce sum c_s[*]
compute csum all reduce sum c_c[*]
thermo_style custom step pe pxx pyy pzz pxy pxz pyz vol c_ssum[*] c_csum[*]
thermo_modify format float %.15g"""
    atoms = triclinic()
    run = run_lammps(tmp_path, atoms, native_models["float64"], TYPES, commands=settings + "\nrun 0")
    pressure_volume = np.array([run.thermo[name][0] for name in VIRIAL]) * run.thermo["Volume"][0]
    stress = np.array([run.thermo[f"c_ssum[{k}]"][0] for k in range(1, 7)])
    centroid = np.array([run.thermo[f"c_csum[{k}]"][0] for k in range(1, 10)])
    assert np.abs(stress + pressure_volume).max() < 1e-9 * np.abs(pressure_volume).max()
    assert np.abs(centroid[:6] + pressure_volume).max() < 1e-9 * np.abs(pressure_volume).max()
    assert np.abs(centroid[6:] - centroid[3:6]).max() < 1e-9 * np.abs(pressure_volume).max()


def test_special_bonds_leave_no_pair_out(tmp_path: Path, model: ToyModel) -> None:
    """LAMMPS drops bonded pairs from its own neighbour lists; a model needs them all."""
    plain = run_lammps(tmp_path / "plain", ethanol(), model.path, TYPES)
    lines = (tmp_path / "plain" / "system.data").read_text()
    lines = lines.replace("3 atom types", "3 atom types\n1 bonds\n1 bond types\n4 extra bond per atom")
    head, body = lines.split("Atoms # atomic\n\n")
    rows = [row.split() for row in body.splitlines() if row]
    bonded = "\n".join(f"{row[0]} 1 {' '.join(row[1:])}" for row in rows)
    folder = tmp_path / "bonded"
    folder.mkdir()
    (folder / "system.data").write_text(f"{head}Atoms # molecular\n\n{bonded}\n\nBonds\n\n1 1 1 2\n")
    text = deck(ethanol(), model.path, TYPES, settings="bond_style zero\nbond_coeff *\nspecial_bonds lj/coul 0 0 0")
    bonds = run_deck(folder, text.replace("atom_style atomic", "atom_style molecular"))
    assert bonds.status == 0, bonds.output
    assert bonds.thermo["PotEng"][0] == pytest.approx(plain.thermo["PotEng"][0], abs=1e-10)


def test_hybrid_leaves_other_types_alone(tmp_path: Path, model: ToyModel) -> None:
    atoms = ethanol() + Atoms("Ar", [[9.0, 0, 0]])
    text = "hybrid/overlay frames lj/cut 8.0"
    write_data(tmp_path / "system.data", atoms, (8, 6, 1, 18))
    deck_text = deck(atoms, model.path, (8, 6, 1, 18), style=text)
    deck_text = deck_text.replace(
        f"pair_coeff * * {model.path} O C H Ar",
        f"pair_coeff * * frames {model.path} O C H NULL\npair_coeff 1*4 4 lj/cut 0.01 3.4",
    )
    run = run_deck(tmp_path, deck_text)
    assert run.status == 0, run.output
    free = ethanol()
    free.calc = FramesCalculator(model.path)
    assert np.abs(run.forces[:9] - free.get_forces()).max() < 0.1  # the argon pulls a little
    assert run.thermo["PotEng"][0] == pytest.approx(free.get_potential_energy(), abs=0.1)
    assert 0 < np.abs(run.forces[9]).max() < 0.1
