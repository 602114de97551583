"""What DeePMD-kit's own commands do not do. Arguments: `frames XYZ FOLDER` or `forces MODEL XYZ OUT`."""

from __future__ import annotations

import sys
from pathlib import Path

import ase.io
import numpy as np

ELEMENTS = ["H", "C", "O"]


def write_frames(source: str, target: str) -> None:
    """A system folder of DeePMD: one open molecule, so no box."""
    folder = Path(target)
    (folder / "set.000").mkdir(parents=True, exist_ok=True)
    frames = ase.io.read(source, ":")
    types = [ELEMENTS.index(s) for s in frames[0].symbols]
    (folder / "type.raw").write_text(" ".join(map(str, types)))
    (folder / "type_map.raw").write_text("\n".join(ELEMENTS))
    (folder / "nopbc").write_text("")
    flat = {
        "coord": [a.positions.ravel() for a in frames],
        "force": [a.get_forces().ravel() for a in frames],
        "energy": [[a.get_potential_energy()] for a in frames],
        "box": [100.0 * np.eye(3).ravel() for _ in frames],
    }
    for name, values in flat.items():
        np.save(folder / "set.000" / f"{name}.npy", np.array(values))


def write_forces(model: str, source: str, out: str) -> None:
    """Forces [S,N,3] in eV/Å, as .npy."""
    from deepmd.infer import DeepPot

    frames = ase.io.read(source, ":")
    types = [ELEMENTS.index(s) for s in frames[0].symbols]
    coordinates = np.array([a.positions.ravel() for a in frames])
    _, forces, *_ = DeepPot(model).eval(coordinates, None, types)
    np.save(out, forces.reshape(len(frames), -1, 3))


if __name__ == "__main__":
    {"frames": write_frames, "forces": write_forces}[sys.argv[1]](*sys.argv[2:])
