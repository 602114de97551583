"""From times and bytes on this machine to steps of large systems on nodes that nobody has measured."""

from __future__ import annotations

from math import hypot
from typing import Any

DENSITY = 0.0999  # atoms of water per Å³
# A node of a present cluster with one network port of 200 Gb/s; what a user of such a machine can check and replace.
ASSUMED: dict[str, float] = {
    "cores": 64,
    "bandwidth": 25e9,  # bytes per second and node
    "latency": 2e-6,  # s per message
    "neighbours": 26,  # nodes that share a face, an edge or a corner
}
SIZES = {10**6: (1, 4, 16, 64, 256), 10**9: (256, 1024, 4096, 16384)}  # atoms: nodes
BYTES_PER_ATOM, BYTES_PER_EDGE, EDGES_PER_ATOM = 26e3, 92, 54  # benchmarks/NOTES.md, at 64 channels and 2 layers
STEP = 0.5e-6  # ns


def estimates(rows: list[dict[str, Any]], shell: float, channels: int, layers: int) -> dict[str, Any]:
    """Time of a step for SIZES. Empty unless two ranks were timed, with shared memory and with messages.

    Args:
        rows: of scaling.json.
        shell: Å from a node's part of the box within which it needs atoms of others: cutoff and skin.
    """
    two = [row for row in rows if row["kind"] == "weak" and row["ranks"] == 2 and "ms" in row]
    shared = {row["atoms"]: row for row in two if not row["messages"]}
    pairs = [(shared[row["atoms"]], row) for row in two if row["messages"] and row["atoms"] in shared]
    if not pairs:
        return {}
    # Of most atoms; both ranks are busy, and a rank has half of them.
    cost = 2 * shared[max(shared)]["us_per_atom"] * 1e-6
    # What messages cost on top is packing, copying and unpacking. It is within the spread of the times: taken is the
    # difference and the spread, of the size that bounds it best.
    per_byte = min(
        1e-3 * (max(0.0, row["ms"] - beside["ms"]) + hypot(row["ms_spread"], beside["ms_spread"])) / row["bytes"]
        for beside, row in pairs
    )
    found = []
    for atoms, counts in SIZES.items():
        for nodes in counts:
            own = atoms / nodes
            edge = (own / DENSITY) ** (1 / 3)
            ghosts = DENSITY * ((edge + 2 * shell) ** 3 - edge**3) if nodes > 1 else 0.0
            size = ghosts * 9 * channels * 4 * 2 * layers
            computing = cost * own / ASSUMED["cores"]
            messages = 2 * layers * ASSUMED["neighbours"] * ASSUMED["latency"] if nodes > 1 else 0.0
            network = size / ASSUMED["bandwidth"] + messages + size * per_byte / ASSUMED["cores"]
            found.append({
                "atoms": atoms,
                "nodes": nodes,
                "atoms_per_core": own / ASSUMED["cores"],
                "mb_per_node": size / 1e6,
                "ms_computing": 1e3 * computing,
                "ms_network": 1e3 * network,
                "efficiency": computing / (computing + network),
                "steps_per_second": 1 / (computing + network),
                "ns_per_day": 86400 * STEP / (computing + network),
                "gb_per_node": (own + ghosts) * (BYTES_PER_ATOM + BYTES_PER_EDGE * EDGES_PER_ATOM) / 1e9,
            })  # fmt: skip
    return {
        "us_per_atom": 1e6 * cost,
        "ns_per_message_byte": 1e9 * per_byte,
        "bytes_per_atom": BYTES_PER_ATOM + BYTES_PER_EDGE * EDGES_PER_ATOM,
        "rows": found,
    }
