"""Heat flux by `compute heat/flux` with `centroid/stress/atom`: energy is where it says that it goes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

pytest.importorskip("torch")

from lammps_run import deck, require_lammps, run_deck, run_lammps, write_data
from lammps_systems import TYPES, crystal, heated, jittered, narrow
from native_models import write_native_model

TIMESTEP = 1e-5  # ps
FLUX = f"""compute ke all ke/atom
compute virials all centroid/stress/atom NULL virial
compute flux all heat/flux ke pe virials
variable bx atom x*(c_ke+c_pe)
variable by atom y*(c_ke+c_pe)
variable bz atom z*(c_ke+c_pe)
compute barycentre all reduce sum v_bx v_by v_bz
timestep {TIMESTEP}
fix nve all nve
thermo_style custom step pe vol pxx pyy pzz pxy pxz pyz c_flux[*] c_barycentre[*]
thermo_modify format float %.17g"""


@pytest.fixture(scope="module", autouse=True)
def lammps() -> None:
    require_lammps()


def piece_of_solid() -> Atoms:
    """Open boundaries, so that the barycentre of the energy is what it seems; three cutoffs long."""
    atoms = heated(jittered((6, 3, 3), np.diag([13.0, 6.6, 6.6]), 8), 600)
    atoms.pbc = False
    return atoms


@pytest.mark.parametrize("ranks", [1, 3])
def test_heat_flux_moves_the_barycentre_of_the_energy(
    tmp_path: Path, native_models: dict[str, Path], ranks: int
) -> None:
    run = run_lammps(tmp_path, piece_of_solid(), native_models["float64"], TYPES, ranks, commands=f"{FLUX}\nrun 12")
    flux, convection, barycentre = (
        np.stack([run.thermo[f"{name}[{k}]"] for k in range(first, first + 3)], axis=1)
        for name, first in (("c_flux", 1), ("c_flux", 4), ("c_barycentre", 1))
    )
    moved = (barycentre[2:] - barycentre[:-2]) / (2 * TIMESTEP)
    conduction = (flux - convection)[1:-1]
    assert np.abs(conduction).min() > 1.0
    assert np.abs(flux[1:-1] - moved).max() < 1e-4 * np.abs(conduction).max()


def virials(folder: Path, atoms: Atoms, models: str, ranks: int, newton: str = "on") -> np.ndarray:
    settings = "compute c all centroid/stress/atom NULL virial"
    text = deck(atoms, models, TYPES, newton=newton, settings=settings)
    columns = " ".join(f"c_c[{k}]" for k in range(1, 10))
    text += f"write_dump all custom virials.dump {columns} modify sort id format float %.15g\n"
    folder.mkdir()
    write_data(folder / "system.data", atoms, TYPES)
    run = run_deck(folder, text, ranks)
    assert run.status == 0, run.output
    lines = (folder / "virials.dump").read_text().splitlines()
    return np.array([[float(word) for word in line.split()] for line in lines[9:]])


@pytest.mark.parametrize("structure", [crystal, narrow])
def test_ranks_agree_on_the_virial_of_every_atom(
    tmp_path: Path, native_models: dict[str, Path], structure: type[Atoms]
) -> None:
    model = str(native_models["float64"])
    one = virials(tmp_path / "1", structure(), model, 1)
    assert np.abs(one[:, 3:6] - one[:, 6:9]).max() > 1e-3 * np.abs(one).max()  # not symmetric atom by atom
    for ranks, newton in ((2, "off"), (4, "on")):
        several = virials(tmp_path / f"{ranks}", structure(), model, ranks, newton)
        assert np.abs(several - one).max() < 1e-9 * np.abs(one).max()


def test_a_committee_has_the_mean_flux(tmp_path: Path, native_models: dict[str, Path]) -> None:
    first = str(native_models["float64"])
    second = str(write_native_model(tmp_path / "second.pt", seed=6))
    mean = virials(tmp_path / "both", crystal(), f"{first} {second}", 2)
    members = [virials(tmp_path / f"{k}", crystal(), model, 2) for k, model in enumerate((first, second))]
    assert np.abs(members[0] - members[1]).max() > 0.01 * np.abs(mean).max()
    assert np.abs(mean - (members[0] + members[1]) / 2).max() < 1e-9 * np.abs(mean).max()


def test_torchscript_says_that_it_cannot(tmp_path: Path, native_models: dict[str, Path]) -> None:
    settings = "compute c all centroid/stress/atom NULL virial"
    text = deck(
        crystal(), native_models["float64"], TYPES, style="frames backend torchscript", settings=settings
    ).replace("thermo 1", "thermo 1\ndump c all custom 1 c.dump c_c[1]")
    write_data(tmp_path / "system.data", crystal(), TYPES)
    run = run_deck(tmp_path, text)
    assert run.status != 0
    assert "which backend torchscript does not tell of a model with 3 layers" in run.output
