"""Environments of the peers with OpenMM and OpenMM-ML added: thin layers on those of `benchmarks/peers`.

A layer is a virtual environment that finds the packages of the one below through a .pth file, so that PyTorch and the
peer are neither installed again nor changed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))

from environments import ensure  # noqa: E402
from errors import PeerError, last_lines  # noqa: E402

FOLDER = HERE / ".envs"
PACKAGES = ["openmm==8.6.1", "openmmml==1.8"]


def with_openmm(name: str) -> Path:
    """The interpreter of the peer's environment with OpenMM; makes both where they are missing. Raises PeerError."""
    base = ensure(name)
    python = FOLDER / name / "bin" / "python"
    stamp = FOLDER / name / "packages.txt"
    wanted = "\n".join([str(base), *PACKAGES])
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    print(f"   adding {', '.join(PACKAGES)} to the environment of {name}", flush=True)
    _run([base, "-m", "venv", "--clear", FOLDER / name])
    packages = "import sysconfig; print(sysconfig.get_path('purelib'))"
    layer, below = (Path(_run([interpreter, "-c", packages]).strip()) for interpreter in (python, base))
    (layer / "below.pth").write_text(f"{below}\n")
    _run([python, "-m", "pip", "install", "--quiet", *PACKAGES])
    stamp.write_text(wanted)
    return python


def _run(command: list[object]) -> str:
    words = [str(part) for part in command]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise PeerError(f"{' '.join(words[:4])} failed: {last_lines(done.stdout)}")
    return done.stdout
