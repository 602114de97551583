"""What a FramesForce keeps when it is copied or written to XML, and what it refuses to read."""

from __future__ import annotations

import copy
import hashlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("frames._openmm")

import openmm
from openmm_systems import ANGSTROM, ethanol, system_of, topology_of

from frames.openmm import FramesForce

TRAINED = Path(__file__).resolve().parents[2] / "models" / "ethanol" / "ethanol.pt"

# As version 1 writes it: later versions must read it.
VERSION_1 = """<?xml version="1.0" ?>
<Force backend="native" forceGroup="3" name="vacuum" particles="9" periodic="0" precision="double" scaleDefault="1"
 scaleDerivative="1" scaleParameter="lambda" skin=".03" type="FramesForce" version="1">
	<Model path="{path}" sha256="{sha256}" />
	<Atoms>
		<Atom index="0" number="6" />
		<Atom index="8" number="1" />
	</Atoms>
	<Bonds>
		<Bond p1="0" p2="8" />
	</Bonds>
</Force>
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "ethanol.pt"
    path.write_bytes(TRAINED.read_bytes())
    return path


def every_setting(model: Path, embed: bool) -> FramesForce:
    force = FramesForce(
        model,
        [*ethanol().numbers, None],
        atoms=[8, 1, 2, 0],
        periodic=True,
        backend="native",
        precision="double",
        scale_parameter="lambda_model",
        scale_default=0.25,
        bonds=[(0, 1), (1, 2)],
        skin=0.03,
        embed=embed,
    )
    force.addEnergyParameterDerivative("lambda_model")
    force.setForceGroup(7)
    force.setName("ligand")
    return force


def energy(force: Any) -> float:
    system = system_of(9, None)
    system.addForce(force)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(ethanol().positions / ANGSTROM)
    return float(context.getState(energy=True).getPotentialEnergy()._value)


@pytest.mark.parametrize("embed", [True, False])
def test_xml_and_copies_keep_every_setting(model: Path, embed: bool) -> None:
    force = every_setting(model, embed)
    assert force.settings.embedded == embed and force.settings.scale_derivative
    assert force.settings.scale_default == 0.25
    assert force.settings.sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    xml = openmm.XmlSerializer.serialize(force)
    copies = [
        FramesForce.cast(openmm.XmlSerializer.deserialize(xml)),
        FramesForce.cast(openmm.XmlSerializer.clone(force)),
        copy.deepcopy(force),
        copy.copy(copy.deepcopy(force)),
    ]
    for other in copies:
        assert type(other) is FramesForce
        assert other.settings == force.settings
        assert (other.getForceGroup(), other.getName()) == (7, "ligand")
        assert other.usesPeriodicBoundaryConditions()
        assert openmm.XmlSerializer.serialize(other) == xml
    assert (len(xml) > 1_000_000) == embed


@pytest.mark.parametrize("embed", [True, False])
def test_system_of_a_file_gives_the_same_energy(model: Path, embed: bool) -> None:
    force = FramesForce(model, topology_of(ethanol()), embed=embed)
    system = system_of(9, None)
    system.addForce(copy.deepcopy(force))
    xml = openmm.XmlSerializer.serialize(system)
    wanted = energy(copy.deepcopy(force))
    if embed:
        model.unlink()
    for read in (openmm.XmlSerializer.deserialize(xml), copy.deepcopy(system)):
        found = read.getForce(0)
        assert FramesForce.isFramesForce(found)
        assert energy(copy.deepcopy(found)) == wanted


def test_embedded_model_runs_in_another_process(model: Path, tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        "import sys, openmm\n"
        "from frames.openmm import FramesForce\n"
        "system = openmm.XmlSerializer.deserialize(open(sys.argv[1]).read())\n"
        "context = openmm.Context(system, openmm.VerletIntegrator(0.001), "
        "openmm.Platform.getPlatformByName('Reference'))\n"
        f"context.setPositions({(ethanol().positions / ANGSTROM).tolist()!r})\n"
        "print(repr(context.getState(energy=True).getPotentialEnergy()._value))\n"
    )
    force = FramesForce(model, topology_of(ethanol()))
    system = system_of(9, None)
    system.addForce(copy.deepcopy(force))
    (tmp_path / "system.xml").write_text(openmm.XmlSerializer.serialize(system))
    model.unlink()
    done = subprocess.run(
        [sys.executable, script, tmp_path / "system.xml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == energy(force)


@pytest.mark.parametrize("name", ["modèle Å.pt", 'a&b<c>"d".pt'])
@pytest.mark.parametrize("embed", [True, False])
def test_names_of_files_are_free(model: Path, name: str, embed: bool) -> None:
    renamed = model.rename(model.with_name(name))
    force = FramesForce(renamed, topology_of(ethanol()), embed=embed)
    again = FramesForce.cast(openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(force)))
    assert again.settings.model == str(renamed)
    assert energy(again) == energy(force)


def test_file_of_the_first_version_is_read(model: Path) -> None:
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    force = FramesForce.cast(openmm.XmlSerializer.deserialize(VERSION_1.format(path=model, sha256=digest)))
    settings = force.settings
    assert (settings.model, settings.sha256, settings.embedded) == (str(model), digest, False)
    assert (settings.particles, settings.atoms, settings.atomic_numbers) == (9, [0, 8], [6, 1])
    assert (settings.bonds, settings.periodic, settings.skin) == ([(0, 8)], False, 0.03)
    assert settings.topology_box == []
    assert (settings.backend, settings.precision) == ("native", "double")
    assert (settings.scale_parameter, settings.scale_default, settings.scale_derivative) == ("lambda", 1.0, True)
    assert (force.getForceGroup(), force.getName()) == (3, "vacuum")


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        ('version="2"', 'version="3"', "the XML is of version 3, this frames-md reads version 2; install a newer"),
        ('version="2"', "", "version"),
        ('base64="UEsD', 'base64="UEsE', "the model does not match its checksum; it was altered or damaged"),
        ('base64="UEsD', 'base64="UE*D', "not valid base64; the XML was cut or altered"),
        ('base64="UEsD', 'base64="UEs', "not valid base64; the XML was cut or altered"),
        ('index="8"', 'index="9999"', "atom 9999 is none of the 9 particles"),
        ('index="8"', 'index="-1"', "atom -1 is none of the 9 particles"),
        ('index="8"', 'index="1"', "atom 1 is listed more than once"),
        ('p1="0"', 'p1="77"', "bond 77-1: expected two of the 9 particles"),
        ('scaleParameter="s"', 'scaleParameter=""', "a derivative needs a scale parameter"),
        ("<Atoms>.*</Atoms>", "<Atoms />", "the model describes no atoms"),
        (' skin="[^"]*"', ' skin="-1"', "skin = -1.000000 nm: expected a length, 0 or more"),
    ],
)
def test_refuses_xml(model: Path, pattern: str, replacement: str, message: str) -> None:
    force = FramesForce(model, topology_of(ethanol()), bonds=[(0, 1)], scale_parameter="s")
    force.addEnergyParameterDerivative("s")
    xml, changes = re.subn(pattern, replacement, openmm.XmlSerializer.serialize(force), count=1, flags=re.DOTALL)
    assert changes == 1
    with pytest.raises(openmm.OpenMMException, match=message):
        openmm.XmlSerializer.deserialize(xml)


def moved(model: Path) -> None:
    model.rename(model.with_suffix(".old"))


def altered(model: Path) -> None:
    model.write_bytes(model.read_bytes() + b"\0")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (moved, "ethanol.pt: no such model file.*refers to it by its path: put it back, or make .* with embed=True"),
        (altered, "ethanol.pt: is not the model file that the force was made with .its SHA-256 begins with"),
    ],
)
def test_refuses_a_file_that_is_not_what_it_was(model: Path, spoil: Any, message: str) -> None:
    force = FramesForce(model, topology_of(ethanol()), embed=False)
    spoil(model)
    with pytest.raises(openmm.OpenMMException, match=message):
        energy(force)
