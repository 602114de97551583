"""The [model] tables of both backbones, small enough for a test."""

from __future__ import annotations

from typing import Any

CARTESIAN: dict[str, Any] = {"cutoff": 4.0, "settings": {"channels": 16, "layers": 1, "radial_functions": 6}}
EQUIFORMER: dict[str, Any] = {
    "backbone": "equiformer",
    "cutoff": 4.0,
    "settings": {
        "node_irreps": "4x0e+3x1e+2x2e",
        "head_irreps": "2x0e+1x1e",
        "mlp_irreps": "4x0e+2x1e",
        "feature_scalars": 4,
        "feature_vectors": 2,
        "heads": 2,
        "layers": 1,
        "radial_width": 8,
    },
}
