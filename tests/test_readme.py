"""Runs the README: every file it shows is written, every command of "Your first model" is run, in one folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from frames.config import Config

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)```", re.DOTALL)


def blocks() -> list[tuple[str | None, str, str]]:
    return [(m["file"], m["language"], m["text"]) for m in BLOCK.finditer(README)]


@pytest.mark.torchforce
@pytest.mark.slow
def test_the_commands_of_the_readme(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    ran = 0
    for file, language, text in blocks():
        if file:
            (tmp_path / file).write_text(text)
        elif language == "bash":
            for line in text.splitlines():
                done = subprocess.run(
                    line,
                    shell=True,
                    cwd=tmp_path,
                    env=environment,
                    capture_output=True,
                    text=True,
                    stdin=subprocess.DEVNULL,
                )
                assert done.returncode == 0, f"$ {line}\n{done.stdout}\n{done.stderr}"
                ran += 1
    assert ran == 10
    logs = (tmp_path / "log.lammps").read_text()
    assert "Loop time" in logs and "ERROR" not in logs
    assert len((tmp_path / "openmm.csv").read_text().splitlines()) == 6
    plain = "import torch, openmmtorch; openmmtorch.TorchForce('ethanol_openmm.pt')"
    subprocess.run([sys.executable, "-c", plain], cwd=tmp_path, check=True)


def test_configurations_in_the_readme_are_valid() -> None:
    shown = [text for _, language, text in blocks() if language == "toml"]
    assert len(shown) == 2
    for text in shown:
        Config.model_validate(tomllib.loads(text))


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_files_named_in_the_pages_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / target).exists(), f"{page} points to {target}"


def test_make_targets_named_in_the_pages_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z-]+)", README + (ROOT / "CONTRIBUTING.md").read_text())):
        if target not in ("and",):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"no make target {target}"
