"""Imports of OpenMM, of its PyTorch plug-in and of the compiled force, with a message where they are absent or
do not fit together."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import re
from importlib import import_module, metadata
from typing import Any

from frames.errors import FramesError
from frames.inference import import_torch

# The wheel of openmmtorch on PyPI is compiled against one binary interface of PyTorch; with another, a
# simulation fails at its first step. Builds from elsewhere (conda-forge) are pinned to their PyTorch by their
# package manager.
TORCH_OF_WHEEL = {"1.5": ("2.8", "2.9")}
HOW_TO_INSTALL = "pip install openmm==8.6.* openmmtorch==1.5 torch==2.9.1"


def import_openmm(how_to_install: str = HOW_TO_INSTALL) -> Any:
    """The openmm module. Raises FramesError if it cannot be imported."""
    try:
        import openmm
        import openmm.app
    except ImportError as error:
        raise FramesError(f"OpenMM cannot be imported ({error}); install it: {how_to_install}") from None
    return openmm


def import_compiled_force() -> Any:
    """The module frames._openmm. Raises FramesError if it was not built, or for another version of OpenMM."""
    try:
        built: str | None = import_module("frames._openmm_version").OPENMM
    except ImportError:
        built = None
    openmm = import_openmm(f"pip install openmm=={built or '8.6'}.*")
    if built is None:
        raise FramesError(
            "this installation has no compiled OpenMM force: frames-md was built where OpenMM was not installed; "
            "install frames-md again in this environment"
        )
    check_openmm_fits(openmm.Platform.getOpenMMVersion(), built)
    try:
        return import_module("frames._openmm")
    except ImportError as error:
        raise FramesError(
            f"the compiled OpenMM force cannot be loaded ({error}); install frames-md again in this environment"
        ) from None


def check_openmm_fits(installed: str, built: str) -> None:
    """Raises FramesError if the compiled force was built for another minor version of OpenMM, whose classes have
    another layout: loading it would crash the process."""
    if installed.split(".")[:2] != built.split("."):
        raise FramesError(
            f"OpenMM {installed} is installed, but FramesForce was compiled for OpenMM {built}: "
            f"pip install openmm=={built}.*, or install frames-md again from source in this environment"
        )


def import_openmmtorch() -> Any:
    """The openmmtorch module. Raises FramesError if it, OpenMM or PyTorch is absent, or their versions do not
    fit."""
    import_openmm()
    versions = {name: installed_version(name) for name in ("openmmtorch", "torch")}
    for name, version in versions.items():
        if version is None:
            raise FramesError(f"a TorchForce needs {name}, which is not installed: {HOW_TO_INSTALL}")
    check_torch_fits(str(versions["openmmtorch"]), str(versions["torch"]), from_wheel=_is_wheel())
    import_torch("a TorchForce")  # first: it loads the libraries that openmmtorch is linked to
    root = logging.getLogger()
    root.addFilter(_not_about_simtk)
    try:
        import openmmtorch
    except ImportError as error:
        raise FramesError(
            f"openmmtorch {versions['openmmtorch']} cannot be imported with torch {versions['torch']} "
            f"({error}); install versions that fit: {HOW_TO_INSTALL}"
        ) from None
    finally:
        root.removeFilter(_not_about_simtk)
    _load_plugin()
    _complete_opencl()
    return openmmtorch


def _load_plugin() -> None:
    """Loads the plug-in of TorchForce if OpenMM could not.

    OpenMM loads its plug-ins when it is imported. This one needs libraries of PyTorch: it fails where a script
    imports openmm before torch, and every Context then says that no platform supports the force.
    """
    openmm = import_openmm()
    for failure in openmm.Platform.getPluginLoadFailures():
        found = re.match(r"Error loading library (\S*libOpenMMTorch(?:Reference|CPU|CUDA|OpenCL)\.so): ", failure)
        if found:
            with contextlib.suppress(openmm.OpenMMException):  # a platform that this machine does not have
                openmm.Platform.loadPluginLibrary(found[1])


def _complete_opencl() -> None:
    """Supplies a function that openmmtorch 1.5 calls on the OpenCL platform and OpenMM 8.6 no longer has; without it
    the process ends there. See cpp/openmm/openmmtorch_symbol.cpp."""
    with contextlib.suppress(FramesError):  # no compiled force in this installation, or for another OpenMM
        ctypes.CDLL(import_compiled_force().__file__, mode=ctypes.RTLD_GLOBAL)


def check_torch_fits(openmmtorch: str, torch: str, *, from_wheel: bool) -> None:
    """Raises FramesError if the wheel of this version of openmmtorch was made for other versions of
    PyTorch."""
    wanted = TORCH_OF_WHEEL.get(openmmtorch)
    minor = ".".join(torch.split(".")[:2])
    if from_wheel and wanted and minor not in wanted:
        raise FramesError(
            f"torch {torch} is installed, but openmmtorch {openmmtorch} was compiled for torch "
            f"{' and '.join(wanted)}: {HOW_TO_INSTALL}"
        )


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, None if there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _is_wheel() -> bool:
    """Whether openmmtorch came from PyPI: its wheel carries the plug-in itself."""
    files = metadata.files("openmmtorch") or []
    return any(file.name.startswith("libOpenMMTorch.") or file.name == "OpenMMTorch.dll" for file in files)


def _not_about_simtk(record: logging.LogRecord) -> bool:
    """Drops the notice that openmmtorch 1.5 itself provokes by importing OpenMM under its old name."""
    return "simtk.openmm" not in record.getMessage()
