"""What a file says of its units, labels, elements and times is what is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect

from frames import FramesError
from frames.data import read
from frames.data.duplicates import find_duplicates
from frames.data.timeline import chains, in_order, pairs
from frames.data.trajectory import Trajectory
from frames.units import BOHR, HARTREE, conversion

KCAL = conversion("kcal/mol", "eV")


@pytest.fixture
def toy(morse_trajectory: Trajectory) -> Trajectory:
    """Twelve consecutive frames with energies, forces, velocities and times."""
    return morse_trajectory[:12]


def test_npz_in_bohr(toy: Trajectory, tmp_path: Path) -> None:
    """The cell and the velocities are lengths too."""
    path = tmp_path / "bohr.npz"
    cell = np.tile(np.diag([8.0, 9.0, 10.0]), (len(toy), 1, 1))
    lengths = {"R": toy.positions / BOHR, "V": toy.velocities / BOHR, "cell": cell / BOHR}  # type: ignore[operator]
    forces = toy.forces * BOHR / HARTREE  # type: ignore[operator]
    np.savez(path, **lengths, E=toy.energies / HARTREE, F=forces, z=toy.atomic_numbers, t_fs=toy.times)  # type: ignore[arg-type,operator]
    (found,) = read(path, units="Hartree,bohr")
    np.testing.assert_allclose(found.cells, cell, rtol=1e-12)
    np.testing.assert_allclose(found.velocities, toy.velocities, rtol=1e-12)
    np.testing.assert_allclose(found.forces, toy.forces, rtol=1e-12)


def test_npz_that_states_units_and_lattice(toy: Trajectory, tmp_path: Path) -> None:
    """As sGDML writes them: lattice vectors are columns."""
    path = tmp_path / "sgdml.npz"
    lattice = np.array([[8.0, 0, 0], [1.0, 9.0, 0], [0, 2.0, 10.0]]).T
    said = {"e_unit": "eV", "r_unit": "Ang", "lattice": lattice}
    np.savez(path, R=toy.positions, z=toy.atomic_numbers, E=toy.energies, F=toy.forces, **said)  # type: ignore[arg-type]
    (found,) = read(path)
    np.testing.assert_allclose(found.energies, toy.energies)
    np.testing.assert_allclose(found.cells[0], lattice.T)  # type: ignore[index]
    assert found.pbc == (True, True, True) and "as the file says" in found.notes[0]
    (stated,) = read(path, units="kcal/mol")
    np.testing.assert_allclose(stated.energies, toy.energies * KCAL)  # type: ignore[operator]


def _xyz(toy: Trajectory, path: Path, info: dict[str, Any], arrays: dict[str, Any]) -> None:
    frames = []
    for k in range(len(toy)):
        atoms = ase.Atoms(toy.atomic_numbers, toy.positions[k], cell=[9, 9, 9], pbc=True)
        atoms.info.update({key: value[k] for key, value in info.items()})
        for key, value in arrays.items():
            atoms.arrays[key] = value[k]
        frames.append(atoms)
    ase.io.write(path, frames, format="extxyz")


def test_labels_of_one_method(toy: Trajectory, tmp_path: Path) -> None:
    """The energy of one method does not go with the forces of another."""
    path = tmp_path / "two.xyz"
    stress = np.tile(np.arange(9.0).reshape(3, 3) + np.arange(9.0).reshape(3, 3).T, (len(toy), 1, 1))
    info = {"energy": toy.energies + 5.0, "REF_energy": toy.energies, "REF_stress": stress}  # type: ignore[operator]
    _xyz(toy, path, info, {"REF_forces": toy.forces})
    (found,) = read(path)
    np.testing.assert_allclose(found.energies, toy.energies, atol=1e-7)
    np.testing.assert_allclose(found.forces, toy.forces, atol=1e-7)
    np.testing.assert_allclose(found.virials, -(9.0**3) * stress, atol=1e-6)
    assert found.notes[-1] == "labels are REF_energy, REF_forces, REF_stress, not energy"


def test_an_energy_that_is_none(toy: Trajectory, tmp_path: Path) -> None:
    path = tmp_path / "none.xyz"
    _xyz(toy, path, {"energy": ["None"] * len(toy)}, {"forces": toy.forces})
    with pytest.raises(FramesError, match=r"none.xyz: frame 0: energy = 'None' is no number"):
        read(path)
    _xyz(toy, path, {"E": [np.array([0, 0, 1.0])] * len(toy)}, {"forces": toy.forces})
    assert read(path)[0].energies is None  # an electric field


def test_lone_atoms_have_no_force(toy: Trajectory, tmp_path: Path) -> None:
    path = tmp_path / "mixed.xyz"
    atoms = ase.Atoms("H", info={"energy": -13.6})
    molecule = ase.Atoms(toy.atomic_numbers, toy.positions[0])
    molecule.calc = SinglePointCalculator(molecule, energy=-1.0, forces=toy.forces[0])  # type: ignore[index]
    ase.io.write(path, [atoms, molecule], format="extxyz")
    alone, other = read(path)
    np.testing.assert_array_equal(alone.forces, np.zeros((1, 1, 3)))
    assert other.forces is not None and "forces of 1 lone atoms" in alone.notes[-1]


def test_a_name_with_an_at_sign(toy: Trajectory, tmp_path: Path) -> None:
    _xyz(toy, tmp_path / "run@3.xyz", {"energy": toy.energies}, {"forces": toy.forces})
    _xyz(toy[:5], tmp_path / "run", {"energy": toy.energies}, {"forces": toy.forces})
    assert len(read(tmp_path / "run@3.xyz")[0]) == len(toy)


def test_an_xyz_file_of_too_many_atoms(tmp_path: Path) -> None:
    path = tmp_path / "big.xyz"
    path.write_text("1000000000000\n\nH 0 0 0\n")
    with pytest.raises(FramesError, match="a frame of 1000000000000 atoms in a file of 23 bytes"):
        read(path)


def _dump(path: Path, columns: str, row: str, style: str | None) -> None:
    frame = "ITEM: TIMESTEP\n{}\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp pp pp\n0 10\n0 10\n0 10\n"
    head = "" if style is None else f"ITEM: UNITS\n{style}\n"
    path.write_text("".join(f"{head}{frame.format(k)}ITEM: ATOMS {columns}\n{row}\n" for k in range(3)))


def test_lammps_dumps(tmp_path: Path) -> None:
    path = tmp_path / "run.lammpstrj"
    columns = "id type element x y z fx fy fz vx vy vz"
    row = "1 1 O 1 2 3 23.0 0 0 0.01 0 0"
    _dump(path, columns, row, "real")
    (found,) = read(path)
    assert found.energies is None  # ASE says 0
    assert found.forces is not None and found.forces[0, 0, 0] == pytest.approx(23.0 * KCAL, rel=1e-6)
    assert found.velocities is not None and found.velocities[0, 0, 0] == pytest.approx(0.01, rel=1e-6)
    assert "units of style real, as the dump says" in found.notes[0]
    _dump(path, columns, row, None)
    (metal,) = read(path)
    assert metal.forces is not None and metal.forces[0, 0, 0] == pytest.approx(23.0)
    assert metal.velocities is not None and metal.velocities[0, 0, 0] == pytest.approx(1e-5, rel=1e-6)
    (stated,) = read(path, units="kcal/mol")
    np.testing.assert_allclose(stated.forces, found.forces)  # type: ignore[arg-type]
    _dump(path, "id type x y z", "1 1 1 2 3", None)
    with pytest.raises(FramesError, match="names no elements, and types are mere numbers"):
        read(path)
    _dump(path, columns, row, "lj")
    with pytest.raises(FramesError, match="in units of style lj; metal and real are read"):
        read(path)


def test_databases(toy: Trajectory, tmp_path: Path) -> None:
    path = tmp_path / "calculator.db"
    atoms = ase.Atoms(toy.atomic_numbers, toy.positions[0], cell=[9, 9, 9], pbc=True)
    atoms.set_velocities(np.ones((toy.atoms, 3)))
    stress = np.arange(1.0, 7.0)
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=toy.forces[0], stress=stress)  # type: ignore[index]
    with connect(path) as database:
        database.write(atoms)
    (found,) = read(path)
    expected = ase.io.read(path)
    virial = -expected.get_stress(voigt=False) * 729.0  # type: ignore[union-attr]
    np.testing.assert_allclose(found.virials[0], virial)  # type: ignore[index]
    assert found.velocities is not None and (found.velocities > 0).all()

    units = tmp_path / "units.db"
    with connect(units) as database:
        database.metadata = {
            "_property_unit_dict": {"energy": "Hartree", "forces": "Hartree/Bohr"},
            "_distance_unit": "Ang",
        }
        data = {"energy": np.array([-1.0]), "forces": np.ones((toy.atoms, 3))}
        database.write(ase.Atoms(toy.atomic_numbers, toy.positions[0]), data=data)
    (found,) = read(units)
    np.testing.assert_allclose(found.energies, [-HARTREE])
    np.testing.assert_allclose(found.forces, HARTREE / BOHR)
    with connect(units) as database:
        database.metadata = {"_property_unit_dict": {"energy_U0": "Hartree"}}
    with pytest.raises(FramesError, match="states units for energy_U0, and none of these is an energy"):
        read(units)


def _two_runs(toy: Trajectory, path: Path) -> None:
    """Two simulations in one file, each from time 0."""
    later = toy.positions + 0.3
    arrays = {"R": np.concatenate([toy.positions, later]), "t_fs": np.concatenate([toy.times, toy.times])}  # type: ignore[list-item]
    np.savez(path, **arrays, z=toy.atomic_numbers)


def test_simulations_in_one_file_are_runs(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    toy = morse_trajectory[:30]
    _two_runs(toy, tmp_path / "two.npz")
    (found,) = read(tmp_path / "two.npz")
    assert found.runs.tolist() == [0] * 30 + [1] * 30
    assert "time starts again after frame 29: 2 runs" in found.notes[-1]
    for frames in (pairs(found), chains(found, (-1, 0, 1))):
        assert len(frames) and (np.diff(frames, axis=1) == 1).all()


def test_shuffled_frames_are_sorted(toy: Trajectory) -> None:
    order = np.random.default_rng(0).permutation(len(toy))
    found = in_order(toy[order])
    np.testing.assert_array_equal(found.times, toy.times)
    np.testing.assert_array_equal(found.positions, toy.positions)
    assert in_order(toy) is toy


def test_many_copies_of_a_frame(toy: Trajectory) -> None:
    copies = toy[[0] * 400]
    assert len(find_duplicates(copies)) == 400 * 399 // 2
    slab = Trajectory(toy.atomic_numbers, toy.positions, cells=np.diag([9.0, 9.0, 0.0]), pbc=(True, True, False))
    moved = Trajectory(
        toy.atomic_numbers,
        toy.positions + np.array([9.0, -18.0, 0.0]),
        cells=np.diag([9.0, 9.0, 0.0]),
        pbc=(True, True, False),
    )
    np.testing.assert_array_equal(find_duplicates(slab, moved), np.arange(len(toy)).repeat(2).reshape(-1, 2))


@pytest.mark.parametrize(
    "arrays",
    [
        {"coords": np.zeros((2, 1, 3)), "nuclear_charges": [1], "energies": 1.0, "old_indices": [0, 1]},
        {"R": np.zeros((2, 1, 3)), "z": np.zeros((0, 1), int)},
    ],
)
def test_damaged_archives(arrays: dict[str, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(FramesError, match=r"bad\.npz: "):
        read(tmp_path / "bad.npz")
