"""All of a file is read, or it is said what is not; and what programs mean by their names and comments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from frames import FramesError
from frames.data import read
from frames.data.duplicates import find_duplicates
from frames.data.readers.hdf5 import write
from frames.data.readers.vasp import check_whole
from frames.data.summary import shortest_distances
from frames.data.trajectory import Trajectory
from frames.units import HARTREE


def _frame(x: float, comment: str = "") -> str:
    return f"2\n{comment}\nH 0.0000000 0.0000000 {x:.7f}\nO 0.0000000 1.0000000 0.2500000\n"


def test_an_empty_line_in_an_xyz_file(tmp_path: Path) -> None:
    path = tmp_path / "two.xyz"
    path.write_text(_frame(0.1) + _frame(0.2) + "\n" + _frame(0.3))
    with pytest.raises(FramesError, match="an empty line after 2 frames, and more after it, which would not be read"):
        read(path)
    path.write_text(_frame(0.1) + _frame(0.2) + "\n\n")
    assert len(read(path)[0]) == 2


def test_an_xyz_file_that_ends_inside_a_number(tmp_path: Path) -> None:
    path = tmp_path / "cut.xyz"
    whole = _frame(0.1) + _frame(0.2)
    path.write_text(whole[:-5])
    assert any("ends without a line break and is shorter than the others: cut off?" in n for n in read(path)[0].notes)
    for text in (whole, whole.removesuffix("\n")):
        path.write_text(text)
        assert not any("cut off" in note for note in read(path)[0].notes)


def test_comments_of_cp2k(tmp_path: Path) -> None:
    text = "".join(_frame(0.1 * k, f" i = {k:8d}, time = {0.5 * k:12.3f}, E = {-17.0 - k:20.10f}") for k in range(1, 5))
    path = tmp_path / "water-pos-1.xyz"
    path.write_text(text)
    (found,) = read(path)
    np.testing.assert_allclose(found.energies, -HARTREE * np.arange(18.0, 22.0))
    np.testing.assert_allclose(found.times, [0.5, 1.0, 1.5, 2.0])
    assert any("Hartree" in note and "as CP2K writes them" in note for note in found.notes)
    np.testing.assert_allclose(found.positions[:, 0, 2], [0.1, 0.2, 0.3, 0.4])
    fine = "".join(_frame(0.1 * k, f" i = {k:8d}, time = {0.0625 * k:12.3f}, E = {-17.0:20.10f}") for k in range(1, 40))
    path.write_text(fine)
    np.testing.assert_allclose(np.diff(read(path)[0].times), 0.0625, rtol=1e-2)  # type: ignore[arg-type]
    path.write_text("".join(_frame(0.1 * k, f" i = {k:8d}, E = {-17.0:20.10f}") for k in range(1, 5)))
    (relaxed,) = read(path)
    np.testing.assert_allclose(relaxed.energies, -17.0 * HARTREE)
    assert relaxed.times is None
    path.write_text(text + _frame(0.5, " i = 5, time = 2.5, E = ********"))
    with pytest.raises(FramesError, match="1 of 5 frames lack the energy that the others have in their comments"):
        read(path)
    for name in ("water-frc-1.xyz", "water-vel-1.xyz"):
        (tmp_path / name).write_text(text)
        with pytest.raises(FramesError, match="by its name forces or velocities of CP2K, not positions"):
            read(tmp_path / name)


def test_files_of_vasp(tmp_path: Path) -> None:
    path = tmp_path / "XDATCAR"
    head = "water\n 1.0\n 5.0 0.0 0.0\n 0.0 5.0 0.0\n 0.0 0.0 5.0\n H O\n 2 1\n"
    frames = [f"Direct configuration=     {k}\n" + 3 * f" 0.1 0.2 0.{k}\n" for k in range(1, 5)]
    path.write_text(head + "".join(frames))
    assert len(read(path)[0]) == 4
    path.write_text(head + "".join(frames[:2]) + "\n" + "".join(frames[2:]))
    with pytest.raises(FramesError, match="2 of 4 frames could be read: damaged, cut off, or with lines that ASE"):
        read(path)
    path.write_text(head + "".join(frames).replace("Direct configuration", "Konfig"))
    with pytest.raises(FramesError, match="1 of 4 frames could be read"):
        read(path)


def test_a_vasprun_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "vasprun.xml"
    for text, note in (
        ("<modeling>\n</modeling>\n", ""),
        ("<modeling>\n", "the file is cut off; 3 whole steps were read"),
    ):
        path.write_text(text)
        assert check_whole(path, "vasp-xml", 3) == note


@pytest.mark.parametrize("name", ["dft_force", "REF_force", "dft_forces"])
def test_forces_in_the_singular(tmp_path: Path, name: str) -> None:
    atoms = ase.Atoms("HO", [[0, 0, 0], [0, 0, 1.0]])
    atoms.info[name.replace("forces", "energy").replace("force", "energy")] = -1.0
    atoms.arrays[name] = np.ones((2, 3))
    ase.io.write(tmp_path / "a.xyz", atoms, format="extxyz")
    (found,) = read(tmp_path / "a.xyz")
    np.testing.assert_allclose(found.forces, 1.0)
    np.testing.assert_allclose(found.energies, -1.0)


def _labelled(path: Path, forces: bool, **results: float) -> Trajectory:
    atoms = ase.Atoms("HO", [[0, 0, 0], [0, 0, 1.0]])
    atoms.calc = SinglePointCalculator(atoms, **results, **({"forces": np.ones((2, 3))} if forces else {}))
    ase.io.write(path, [atoms, atoms], format="extxyz")
    return read(path)[0]


def test_forces_are_the_gradient_of_the_free_energy(tmp_path: Path) -> None:
    """As with smeared occupations, where programs also give an energy that is extrapolated to no smearing."""
    path = tmp_path / "a.xyz"
    found = _labelled(path, True, energy=-3.2, free_energy=-3.5)
    np.testing.assert_allclose(found.energies, -3.5)
    assert "energies are free_energy, of which the forces are the gradient" in found.notes
    assert found.labels_as == "energy"
    same = _labelled(path, True, energy=-3.2, free_energy=-3.2)
    np.testing.assert_allclose(same.energies, -3.2)
    assert not any("free_energy" in note for note in same.notes)
    np.testing.assert_allclose(_labelled(path, False, energy=-3.2, free_energy=-3.5).energies, -3.2)
    np.testing.assert_allclose(_labelled(path, True, free_energy=-3.5).energies, -3.5)


def test_one_kind_of_energy_in_a_file(tmp_path: Path) -> None:
    """Also where both are the same in some frames, or only some have a free energy."""
    frames = []
    for energy, free in ((-3.2, -3.5), (-3.3, -3.3), (-3.4, -3.6)):
        atoms = ase.Atoms("HO", [[0, 0, 0], [0, 0, 1.0]])
        atoms.calc = SinglePointCalculator(atoms, energy=energy, free_energy=free, forces=np.ones((2, 3)))
        frames.append(atoms)
    ase.io.write(tmp_path / "a.xyz", frames, format="extxyz")
    np.testing.assert_allclose(read(tmp_path / "a.xyz")[0].energies, [-3.5, -3.3, -3.6])
    del frames[0].calc.results["free_energy"]
    ase.io.write(tmp_path / "b.xyz", frames, format="extxyz")
    (found,) = read(tmp_path / "b.xyz")
    np.testing.assert_allclose(found.energies, [-3.2, -3.3, -3.4])
    assert "energies are not free_energy, which only some frames have" in found.notes


def test_a_molecule_with_a_box_and_without(morse_trajectory: Trajectory) -> None:
    free = morse_trajectory[:100]
    box = np.diag([20.0, 22.0, 24.0])
    moved = free.positions[::10] + 0.5
    wrapped = moved - np.floor(moved @ np.linalg.inv(box)) @ box
    boxed = replace(free[::10], positions=wrapped, cells=box, pbc=(True, True, True))
    assert find_duplicates(free, boxed).tolist() == [[10 * k, k] for k in range(10)]
    assert find_duplicates(boxed, free).tolist() == [[k, 10 * k] for k in range(10)]


def test_the_name_of_labels_is_kept(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    write(tmp_path / "a.h5", [replace(morse_trajectory, labels_as="REF_energy")])
    assert read(tmp_path / "a.h5")[0].labels_as == "REF_energy"


def test_shortest_distances_of_many_atoms() -> None:
    """Of so many that not all pairs are looked at."""
    places = 2.0 * np.stack(np.meshgrid(*[np.arange(11.0)] * 3), axis=-1).reshape(-1, 3)
    places[1] = places[0] + [0.9, 0, 0]
    numbers = np.full(len(places), 8)
    numbers[1] = 1
    found = shortest_distances(Trajectory(numbers, np.stack([places, places + 0.1])))
    assert found["H-O"] == pytest.approx(0.9) and found["O-O"] == pytest.approx(2.0) and len(found) == 2
