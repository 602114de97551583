"""Every format, on small files written the way their owners write them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase
import ase.io
import h5py
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.geometry import cell_to_cellpar

from frames import FramesError
from frames.data import read
from frames.data.readers import hdf5
from frames.data.timeline import pairs, time_step
from frames.data.trajectory import Trajectory
from frames.units import conversion

EV_IN_KCAL = conversion("eV", "kcal/mol")
ARRAYS = ("atomic_numbers", "positions", "cells", "energies", "forces", "virials", "velocities", "times", "runs")


@pytest.fixture
def toy(morse_trajectory: Trajectory) -> Trajectory:
    """Twelve consecutive frames with energies, forces, velocities and times."""
    return morse_trajectory[:12]


def _in_kcal(trajectory: Trajectory) -> tuple[Any, Any]:
    assert trajectory.energies is not None and trajectory.forces is not None
    return trajectory.energies * EV_IN_KCAL, trajectory.forces * EV_IN_KCAL


def _atoms(trajectory: Trajectory, **extra: Any) -> list[ase.Atoms]:
    frames = []
    assert trajectory.energies is not None and trajectory.forces is not None
    for frame in range(len(trajectory)):
        atoms = ase.Atoms(trajectory.atomic_numbers, trajectory.positions[frame], **extra)
        labels = {"energy": trajectory.energies[frame], "forces": trajectory.forces[frame]}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        frames.append(atoms)
    return frames


def _assert_same(found: Trajectory, expected: Trajectory, tolerance: float = 1e-12, *keys: str) -> None:
    for key in keys or ARRAYS:
        one, other = getattr(found, key), getattr(expected, key)
        assert (one is None) == (other is None), key
        if one is not None:
            np.testing.assert_allclose(one, other, rtol=0, atol=tolerance, err_msg=key)
    assert found.pbc == expected.pbc


def test_original_md17(toy: Trajectory, tmp_path: Path) -> None:
    energies, forces = _in_kcal(toy)
    path = tmp_path / "md17_toy.npz"
    # As sGDML writes it: energies [T,1], strings and a version beside the numbers.
    np.savez(
        path,
        E=energies[:, None],
        F=forces,
        R=toy.positions,
        z=toy.atomic_numbers.astype(np.uint8),
        name=np.array(b"toy"),
        theory=np.array("unknown"),
        type=np.array("d"),
    )
    (found,) = read(path)
    assert "MD17; units taken as kcal/mol" in found.notes[0] and not found.ordered
    _assert_same(found, toy, 1e-9, "atomic_numbers", "positions", "energies", "forces")
    (timed,) = read(path, time_step=0.5)
    assert time_step(timed) == 0.5 and len(pairs(timed)) == len(toy) - 1
    (stated,) = read(path, units="eV")
    assert stated.energies is not None and stated.energies == pytest.approx(energies)
    assert "as stated by the caller" in stated.notes[0]


def test_time_step_for_frames_in_no_order(morse_trajectory: Trajectory, tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(len(morse_trajectory))
    path = tmp_path / "shuffled.npz"
    np.savez(path, R=morse_trajectory.positions[order], z=morse_trajectory.atomic_numbers)
    assert not read(path)[0].ordered
    with pytest.raises(FramesError, match=r"the frames are in no order .*, so they are not 0\.5 fs apart"):
        read(path, time_step=0.5)


def test_rmd17_is_put_in_order(toy: Trajectory, tmp_path: Path) -> None:
    energies, forces = _in_kcal(toy)
    order = np.random.default_rng(0).permutation(len(toy))
    # Frames 0, 1, 2 of the toy are consecutive in the original; then some are left out.
    original = np.array([7, 8, 9, 15, 16, 30, 31, 32, 40, 41, 50, 60])
    path = tmp_path / "rmd17_toy.npz"
    np.savez(
        path,
        nuclear_charges=toy.atomic_numbers,
        coords=toy.positions[order],
        energies=energies[order],
        forces=forces[order],
        old_indices=original[order],
        old_energies=energies[order],
        old_forces=forces[order],
    )
    (found,) = read(path)
    _assert_same(found, toy, 1e-9, "atomic_numbers", "positions", "energies", "forces")
    np.testing.assert_allclose(found.times, original * 0.5)
    assert pairs(found).tolist() == [[0, 1], [1, 2], [3, 4], [5, 6], [6, 7], [8, 9]]


def test_mdbenchgnn_layout(toy: Trajectory, tmp_path: Path) -> None:
    path = tmp_path / "toy.npz"
    arrays: dict[str, Any] = {
        "pos": toy.positions,
        "energy": toy.energies[:, None],  # type: ignore[index]
        "forces": toy.forces,
        "atomic_numbers": toy.atomic_numbers,
        "cell": np.eye(3),
    }
    np.savez(path, **arrays, pbc=np.zeros(3, bool))
    (found,) = read(path, time_step=0.5)
    assert found.cells is None
    _assert_same(found, replace(toy, velocities=None))
    np.savez(path, **{**arrays, "cell": np.eye(3) * 30}, pbc=np.ones(3, bool))
    assert read(path)[0].pbc == (True, True, True)


def test_aimd_layout_with_blocks(toy: Trajectory, tmp_path: Path) -> None:
    cells = np.tile(np.eye(3) * 20, (len(toy), 1, 1))
    runs = np.repeat([0, 1, 2], 4)
    path = tmp_path / "aimd.npz"
    np.savez(
        path,
        R=toy.positions,
        F=toy.forces,
        E=toy.energies,
        V=toy.velocities,
        z=toy.atomic_numbers,
        t_fs=toy.times,
        block=runs,
        cell=cells,
    )
    (found,) = read(path)
    _assert_same(found, replace(toy, cells=cells, pbc=(True,) * 3, runs=runs))
    assert len(pairs(found)) == 9
    with pytest.raises(FramesError, match=r"its frames are 0\.5 fs apart, not 1 fs"):
        read(path, time_step=1.0)


def test_wrapped_positions_are_unwrapped(toy: Trajectory, tmp_path: Path) -> None:
    moving = toy.positions + np.linspace(0, 9, len(toy))[:, None, None]
    cells = np.tile(np.eye(3) * 5.0, (len(toy), 1, 1))
    path = tmp_path / "wrapped.npz"
    np.savez(path, R=moving % 5.0, z=toy.atomic_numbers, t_fs=toy.times, cell=cells)
    (found,) = read(path)
    np.testing.assert_allclose(np.diff(found.positions, axis=0), np.diff(moving, axis=0), atol=1e-12)


def test_extended_xyz(toy: Trajectory, tmp_path: Path) -> None:
    path = tmp_path / "toy.xyz"
    ase.io.write(path, _atoms(toy), format="extxyz")
    (found,) = read(path)
    _assert_same(found, toy, 1e-7, "atomic_numbers", "positions", "energies", "forces")
    assert "units taken as eV and eV/Å: nothing in the file says otherwise" in found.notes[0]
    (scaled,) = read(path, units="kcal/mol")
    np.testing.assert_allclose(scaled.forces, found.forces / EV_IN_KCAL)
    (atomic,) = read(path, units="Hartree,bohr")
    np.testing.assert_allclose(atomic.positions, found.positions * conversion("bohr", "Å"))
    np.testing.assert_allclose(atomic.forces, found.forces * conversion("Hartree/bohr", "eV/Å"))


@pytest.mark.parametrize(("energy", "force"), [("REF_energy", "REF_forces"), ("E", "F"), ("dft_energy", "force")])
def test_extended_xyz_with_other_keys(toy: Trajectory, tmp_path: Path, energy: str, force: str) -> None:
    path = tmp_path / "keys.xyz"
    frames = []
    for number in range(len(toy)):
        atoms = ase.Atoms(toy.atomic_numbers, toy.positions[number])
        atoms.info[energy] = toy.energies[number]  # type: ignore[index]
        atoms.info["time_fs"] = number * 0.5
        atoms.arrays[force] = toy.forces[number]  # type: ignore[index]
        frames.append(atoms)
    ase.io.write(path, frames, format="extxyz")
    (found,) = read(path)
    _assert_same(found, toy, 1e-7, "energies", "forces", "times")


def test_xyz_of_several_molecules(toy: Trajectory, tmp_path: Path) -> None:
    water = ase.Atoms("OHH", [[0, 0, 0], [0.96, 0, 0], [-0.2, 0.94, 0]])
    frames = [*_atoms(toy[:2]), water, *_atoms(toy[2:4])]
    path = tmp_path / "mixed.xyz"
    ase.io.write(path, frames, format="extxyz")
    first, second = read(path)
    assert (len(first), len(second)) == (4, 1)
    # The other molecule interrupts the first: two runs, and no pair across.
    assert first.runs.tolist() == [0, 0, 1, 1]
    assert second.energies is None and second.atomic_numbers.tolist() == [8, 1, 1]


def test_frame_without_forces_among_others(toy: Trajectory, tmp_path: Path) -> None:
    frames = _atoms(toy[:3])
    frames[1].calc = None
    path = tmp_path / "hole.xyz"
    ase.io.write(path, frames, format="extxyz")
    with pytest.raises(FramesError, match="frame 1 has no energy, and 2 other frames of the same molecule have"):
        read(path)


def test_ase_trajectory_with_stress_and_momenta(toy: Trajectory, tmp_path: Path) -> None:
    path = tmp_path / "toy.traj"
    frames = _atoms(toy[:3], cell=np.eye(3) * 8, pbc=True)
    stress = np.diag([0.01, 0.02, 0.03])
    for number, atoms in enumerate(frames):
        atoms.calc.results["stress"] = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        atoms.set_velocities(toy.velocities[number] / ase.units.fs)  # type: ignore[index]
    ase.io.write(path, frames)
    (found,) = read(path)
    np.testing.assert_allclose(found.virials, np.tile(-stress * 512, (3, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(found.velocities, toy.velocities[:3], rtol=1e-12)  # type: ignore[index]


def test_old_ase_trajectories_hold_pickles_and_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.traj"
    path.write_bytes(b"PickleTrajectory" + b"\x80\x02}q\x00.")
    with pytest.raises(FramesError, match=r"old\.traj: a \.traj file of before 2016, or none"):
        read(path)


def test_hdf5_keeps_everything(toy: Trajectory, tmp_path: Path) -> None:
    periodic = replace(
        toy,
        cells=np.tile(np.diag([9.0, 9.0, 0.0]), (len(toy), 1, 1)),
        pbc=(True, True, False),
        virials=np.random.default_rng(0).normal(size=(len(toy), 3, 3)),
        runs=np.repeat([0, 1], 6),
        notes=("first", "second"),
        metadata={"method": "Morse", "temperature_k": 500.0, "seed": 3},
    )
    other = Trajectory(np.array([2]), np.zeros((1, 1, 3)))
    path = tmp_path / "both.h5"
    hdf5.write(path, [periodic, other])
    found, second = read(path)
    _assert_same(found, periodic, 0.0)
    assert found.notes == periodic.notes
    assert {key: found.metadata[key] for key in periodic.metadata} == periodic.metadata
    assert found.metadata["original_source"] == "morse"
    assert second.energies is None and second.atomic_numbers.tolist() == [2]
    with pytest.raises(FramesError, match=r"both\.h5: exists already"):
        hdf5.write(path, [other])
    hdf5.write(path, [other], overwrite=True)
    assert len(read(path)) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["both.h5"]


def _deepmd(folder: Path, trajectory: Trajectory, cells: Any) -> None:
    (folder / "set.000").mkdir(parents=True)
    (folder / "set.001").mkdir()
    (folder / "type.raw").write_text("0\n1\n1\n2\n")
    (folder / "type_map.raw").write_text("O\nH\nC\n")
    frames = len(trajectory)
    half = frames // 2
    for number, part in enumerate((slice(0, half), slice(half, frames))):
        place = folder / f"set.{number:03d}"
        count = len(trajectory.positions[part])
        np.save(place / "coord.npy", trajectory.positions[part].reshape(count, -1))
        np.save(place / "force.npy", trajectory.forces[part].reshape(count, -1))  # type: ignore[index]
        np.save(place / "energy.npy", trajectory.energies[part])  # type: ignore[index]
        np.save(place / "virial.npy", np.tile(np.arange(9.0), (count, 1)))
        np.save(place / "box.npy", cells[part].reshape(count, 9))


def test_deepmd_folder(toy: Trajectory, tmp_path: Path) -> None:
    cells = np.tile(np.eye(3) * 12, (len(toy), 1, 1))
    _deepmd(tmp_path / "system", toy, cells)
    (found,) = read(tmp_path / "system")
    expected = replace(
        toy,
        cells=cells,
        pbc=(True,) * 3,
        virials=np.tile(np.arange(9.0).reshape(3, 3), (len(toy), 1, 1)),
        velocities=None,
        times=None,
    )
    _assert_same(found, expected)
    (tmp_path / "system" / "nopbc").touch()
    assert read(tmp_path / "system")[0].pbc == (False, False, False)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "type_map.raw").unlink(), r"type_map\.raw: no such file; it names the element"),
        (lambda f: (f / "type_map.raw").write_text("O H Xx"), "'Xx' is no element"),
        (lambda f: (f / "type.raw").write_text("0 1 1 5"), r"type\.raw: type 5, and type_map\.raw names 3 types"),
        (lambda f: (f / "type.raw").write_text("0 1 one 2"), r"type\.raw: must hold one number per atom"),
        (lambda f: (f / "type.raw").write_text("0 1 1"), r"coord\.npy: must hold 9 numbers per frame"),
        (lambda f: (f / "set.001" / "force.npy").unlink(), r"set\.001.force\.npy: no such file, and other sets"),
        (lambda f: (f / "set.000" / "coord.npy").write_bytes(b"junk"), r"coord\.npy: not a NumPy array file"),
        (lambda f: (f / "set.000" / "real_atom_types.npy").touch(), "mixed types are not read"),
        (lambda f: (f / "type.raw").unlink(), r"a folder without type\.raw"),
    ],
)
def test_damaged_deepmd_folder(toy: Trajectory, tmp_path: Path, damage: Any, message: str) -> None:
    _deepmd(tmp_path / "system", toy, np.tile(np.eye(3) * 12, (len(toy), 1, 1)))
    damage(tmp_path / "system")
    with pytest.raises(FramesError, match=message):
        read(tmp_path / "system")


def test_iso17_database(toy: Trajectory, tmp_path: Path) -> None:
    path = tmp_path / "reference.db"
    with connect(path) as database:
        for number in range(len(toy)):
            atoms = ase.Atoms(toy.atomic_numbers, toy.positions[number])
            energy = float(toy.energies[number])  # type: ignore[index]
            database.write(atoms, total_energy=energy, data={"atomic_forces": toy.forces[number]})  # type: ignore[index]
    (found,) = read(path)
    _assert_same(found, toy, 1e-12, "atomic_numbers", "positions", "energies", "forces")
    assert "databases of ASE and ISO17 are in eV" in found.notes[0]


def test_schnetpack_database_states_its_units(toy: Trajectory, tmp_path: Path) -> None:
    path = tmp_path / "schnet.db"
    energies, forces = _in_kcal(toy)
    with connect(path) as database:
        units = {"energy": "kcal/mol", "forces": "kcal/mol/Ang"}
        database.metadata = {"_property_unit_dict": units, "_distance_unit": "Ang"}
        for number in range(len(toy)):
            atoms = ase.Atoms(toy.atomic_numbers, toy.positions[number])
            database.write(atoms, data={"energy": energies[number : number + 1], "forces": forces[number]})
    (found,) = read(path)
    _assert_same(found, toy, 1e-9, "positions", "energies", "forces")


def test_mdtraj_formats(toy: Trajectory, tmp_path: Path) -> None:
    mdtraj = pytest.importorskip("mdtraj")
    topology = mdtraj.Topology()
    residue = topology.add_residue("MOL", topology.add_chain())
    for number in toy.atomic_numbers:
        element = mdtraj.element.Element.getByAtomicNumber(int(number))
        topology.add_atom(element.symbol, element, residue)
    lengths, angles = np.full((len(toy), 3), 3.0), np.full((len(toy), 3), 90.0)
    times = np.arange(len(toy)) * 0.002
    whole = mdtraj.Trajectory(toy.positions / 10, topology, times, lengths, angles)
    whole[0].save_pdb(str(tmp_path / "toy.pdb"))
    for suffix, tolerance in ((".dcd", 1e-5), (".xtc", 0.011), (".trr", 1e-5)):
        path = tmp_path / f"toy{suffix}"
        whole.save(str(path))
        (found,) = read(path, topology=tmp_path / "toy.pdb")
        np.testing.assert_array_equal(found.atomic_numbers, toy.atomic_numbers)
        np.testing.assert_allclose(found.positions, toy.positions, rtol=0, atol=tolerance)
        assert found.energies is None and found.forces is None
        np.testing.assert_allclose(found.cells, np.tile(np.eye(3) * 30, (len(toy), 1, 1)), atol=1e-4)
        if suffix == ".dcd":
            assert found.times is None
            assert time_step(read(path, topology=tmp_path / "toy.pdb", time_step=2.0)[0]) == 2.0
        else:
            assert time_step(found) == pytest.approx(2.0, abs=1e-3)
    with pytest.raises(FramesError, match=r"toy\.dcd: holds positions without elements; give a topology"):
        read(tmp_path / "toy.dcd")
    truncated = tmp_path / "short.xtc"
    truncated.write_bytes((tmp_path / "toy.xtc").read_bytes()[:200])
    with pytest.raises(FramesError, match=r"short\.xtc: MDTraj cannot read it"):
        read(truncated, topology=tmp_path / "toy.pdb")


def _mdtraj_h5(path: Path, trajectory: Trajectory, element: str = "O") -> None:
    """As MDTraj writes it, which needs PyTables."""
    symbols = [element, "H", "H", "C"]
    atoms = [{"index": index, "name": symbol, "element": symbol} for index, symbol in enumerate(symbols)]
    residue = {"index": 0, "name": "MOL", "resSeq": 1, "segmentID": "", "atoms": atoms}
    topology = {"chains": [{"index": 0, "residues": [residue]}], "bonds": []}
    with h5py.File(path, "w") as file:
        file.attrs["conventions"] = np.bytes_("Pande")
        file.attrs["conventionVersion"] = np.bytes_("1.1")
        file.attrs["program"] = np.bytes_("MDTraj")
        coordinates = file.create_dataset("coordinates", data=(trajectory.positions / 10).astype(np.float32))
        coordinates.attrs["units"] = np.bytes_("nanometers")
        times = file.create_dataset("time", data=(np.arange(len(trajectory)) * 0.002).astype(np.float32))
        times.attrs["units"] = np.bytes_("picoseconds")
        file.create_dataset("cell_lengths", data=np.tile(np.float32([3.0, 4.0, 5.0]), (len(trajectory), 1)))
        file.create_dataset("cell_angles", data=np.tile(np.float32([80.0, 70.0, 60.0]), (len(trajectory), 1)))
        file.create_dataset("topology", data=np.array([json.dumps(topology).encode()]))


def test_mdtraj_h5(toy: Trajectory, tmp_path: Path) -> None:
    path = tmp_path / "toy.h5"
    _mdtraj_h5(path, toy)
    (found,) = read(path)
    np.testing.assert_array_equal(found.atomic_numbers, toy.atomic_numbers)
    np.testing.assert_allclose(found.positions, toy.positions, rtol=0, atol=1e-6)
    assert time_step(found) == pytest.approx(2.0, abs=1e-3) and found.cells is not None
    assert cell_to_cellpar(found.cells[0]) == pytest.approx([30, 40, 50, 80, 70, 60], rel=1e-6)
    _mdtraj_h5(path, toy, element="VS")
    with pytest.raises(FramesError, match=r"toy\.h5: atom 0 of the topology is no element: 'VS'"):
        read(path)


def test_every_set_of_the_reference_data_reads(shared_data: Path) -> None:
    files = [path for path in shared_data.glob("*/*") if path.suffix in (".npz", ".xyz")]
    folders = [path.parent for path in shared_data.glob("*/*/type.raw")]
    assert files and folders
    for path in sorted(files + folders):
        if path.name == "frame_times.npz":
            continue
        for trajectory in read(path):
            assert trajectory.energies is not None
            assert trajectory.forces is not None or trajectory.atoms == 1
            assert trajectory.notes
