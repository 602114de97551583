"""Times all models on one system: first every route for a moment, then the best of each model, turn by turn."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from catalogue import ENGINES
from engine import Model, Route, Session
from errors import PeerError
from training import Trained

BLOCK_SECONDS = 0.4  # aimed at; long enough for a clock, short enough for many turns
BLOCKS_PER_ROUND = 3
FEWEST, MOST = 3, 50_000  # steps of a block


@dataclass
class Timed:
    """One model on one system."""

    model: Model
    route: Route | None = None
    steps: int = 0
    tried: dict[str, Any] = field(default_factory=dict)  # ms of the routes in the first look, or the reason
    blocks: list[float] = field(default_factory=list)  # ms per step
    graph: list[float] = field(default_factory=list)  # ms per evaluation without neighbour list and integrator
    reason: str | None = None

    def row(self, error: float | None) -> dict[str, Any]:
        """The entry of results.json."""
        if not self.blocks:
            return {
                "ms_per_step": None,
                "ms_per_step_spread": None,
                "force_mae_mev_per_angstrom": error,
                "how": f"failed: {self.reason}",
                "routes_tried_ms": self.tried,
            }
        low, median, high = np.quantile(self.blocks, [0.25, 0.5, 0.75])
        return {
            "ms_per_step": float(median),
            "ms_per_step_spread": float(high - low) / 2,
            "force_mae_mev_per_angstrom": error,
            "how": self.route.label,
            "ms_graph": float(np.median(self.graph)) if self.graph else None,
            "blocks": len(self.blocks),
            "steps_per_block": self.steps,
            "routes_tried_ms": self.tried,
        }


def time_system(system: str, models: dict[str, tuple[Model, Trained]], rounds: int, threads: int) -> dict[str, Timed]:
    """All models on one system, in one run, interleaved. Models that fail carry the reason."""
    timed = {name: _choose(model, trained, system, threads) for name, (model, trained) in models.items()}
    with ExitStack() as stack:
        sessions: dict[str, Session] = {}
        for name, result in timed.items():
            if result.route is None:
                continue
            model, trained = models[name]
            try:
                sessions[name] = ENGINES[model.engine].open(model, trained.folder, result.route, system)
                stack.callback(sessions[name].close)
            except PeerError as error:
                result.reason = str(error)
        order = list(sessions)
        for turn in range(rounds):
            print(f"   {system}: round {turn + 1} of {rounds}", end="\r", flush=True)
            for name in order[turn % max(1, len(order)) :] + order[: turn % max(1, len(order))]:
                _take_turn(timed[name], sessions[name])
        print()
    return timed


def _take_turn(result: Timed, session: Session) -> None:
    if result.reason:
        return
    try:
        result.blocks += _milliseconds(session, result.steps, BLOCKS_PER_ROUND)
        count = max(FEWEST, result.steps // 2)
        seconds = session.graph(count)
        if seconds is not None:
            result.graph.append(1e3 * seconds / count)
    except PeerError as error:
        result.reason = str(error)
        result.blocks.clear()


def _choose(model: Model, trained: Trained, system: str, threads: int) -> Timed:
    """Tries all routes for a moment and keeps the fastest."""
    result = Timed(model)
    engine = ENGINES[model.engine]
    best = float("inf")
    for route in engine.routes(model, system, threads):
        try:
            steps, ms = _first_look(engine.open(model, trained.folder, route, system))
        except PeerError as error:
            result.tried[route.label] = f"failed: {error}"
            result.reason = result.reason or str(error)
            print(f"   {system}, {model.name}, {route.label}: {error}", flush=True)
            continue
        result.tried[route.label] = ms
        print(f"   {system}, {model.name}, {route.label}: {ms:.3g} ms", flush=True)
        if ms < best:
            best, result.route, result.steps = ms, route, steps
    if result.route:
        result.reason = None
    return result


def _first_look(session: Session) -> tuple[int, float]:
    """Steps of a block of the right length, and the ms per step of the fastest of three."""
    try:
        once = session.blocks(10, 2)[-1] / 10
        steps = int(np.clip(BLOCK_SECONDS / max(once, 1e-7), FEWEST, MOST))
        steps = max(10, steps // 10 * 10) if steps > 10 else steps
        return steps, min(_milliseconds(session, steps, 3))
    finally:
        session.close()


def _milliseconds(session: Session, steps: int, repeats: int) -> list[float]:
    return [1e3 * seconds / steps for seconds in session.blocks(steps, repeats)]
