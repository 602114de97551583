"""What the command line does with an error that the user can cause: one line, exit status 1."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import typer

from frames.errors import FramesError


def run(app: typer.Typer) -> None:
    """Runs a typer application. A FramesError becomes `frames: error: …` on standard error and exit status 1."""
    try:
        app()
    except FramesError as error:
        print(f"frames: error: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # the reader of a pipe has gone, as in `frames … | head`
        sys.stderr.close()
        sys.exit(1)


def need_torch(command: str) -> None:
    """Raises FramesError if what a command needs beside the basic installation is absent."""
    for module in ("torch", "e3nn", "matplotlib"):
        if find_spec(module) is None:
            raise FramesError(f"frames {command} needs {module}: pip install 'frames-md[train]'")
