"""Every row of the table: which engine, which settings."""

from __future__ import annotations

from deepmd import Deepmd
from engine import Engine, Model
from mace import Mace
from nequip import Nequip
from ours import Ours

ENGINES: dict[str, Engine] = {"frames": Ours(), "nequip": Nequip(), "mace": Mace(), "deepmd": Deepmd()}

_ALLEGRO = {
    "_target_": "allegro.model.AllegroModel",
    "compile_mode": "compile",
    "l_max": 2,
    "parity": True,
    "num_layers": 2,
    "num_scalar_features": 64,
    "num_tensor_features": 16,
    "radial_chemical_embed": {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed", "num_bessels": 8},
}


def _nequip(l_max: int) -> dict[str, object]:
    return {
        "_target_": "nequip.model.NequIPGNNModel",
        "compile_mode": "compile",  # training through torch.compile, several times faster than eager
        "num_layers": 4,
        "l_max": l_max,
        "parity": False,  # faster, and as accurate by NequIP's documentation
        "num_features": 32,
    }


# Peers are trained with their documented default (mean squared errors) and with absolute errors, which ours uses.
_BOTH = ("l1", "mse")

MODELS = (
    Model("frames_cartesian_small", "frames", {"channels": 32, "layers": 1}),
    Model("frames_cartesian_medium", "frames", {"channels": 64, "layers": 2}),
    Model("nequip_l1_32x4", "nequip", {"learning_rate": 0.01, "model": _nequip(1)}, _BOTH),
    Model("nequip_l2_32x4", "nequip", {"learning_rate": 0.01, "model": _nequip(2)}, _BOTH),
    Model("allegro_l2_2layers", "nequip", {"learning_rate": 0.001, "model": _ALLEGRO}, _BOTH),
    Model("mace_64x0e_64x1o", "mace", {"hidden_irreps": "64x0e + 64x1o", "max_ell": 3, "correlation": 3}, _BOTH),
    Model("deepmd_se_e2_a", "deepmd", {"descriptor": [25, 50, 100], "axis": 16, "fitting": [240, 240, 240]}),
)
EQUIVARIANT_PEERS = ("nequip", "mace")  # engines, ours and DeePMD's invariant descriptor left out
