"""matplotlib without a screen, and files that can or cannot be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from frames.errors import FramesError


def pyplot() -> Any:
    """matplotlib.pyplot, drawing into files."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def save(figure: Any, path: Path) -> Path:
    """Writes a figure and forgets it. Raises FramesError if the file cannot be written."""
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:  # ValueError: a suffix that matplotlib does not know
        raise FramesError(f"{path}: the plot cannot be written ({error})") from None
    finally:
        pyplot().close(figure)
    return path
