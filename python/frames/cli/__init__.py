"""The command `frames`."""

from __future__ import annotations


def main() -> None:
    """Entry point of the console script."""
    from frames.cli.app import app
    from frames.cli.errors import run

    run(app)
