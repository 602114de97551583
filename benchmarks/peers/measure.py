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
CLOSE = 1.3  # routes slower than the fastest by no more than this factor take part in the rounds


@dataclass
class Runner:
    """One route of a model on a system."""

    route: Route
    steps: int  # of a block
    first_look: float  # ms per step
    blocks: list[float] = field(default_factory=list)  # ms per step
    graph: list[float] = field(default_factory=list)  # ms per evaluation without neighbour list and integrator
    reason: str | None = None

    @property
    def median(self) -> float:
        """ms per step; infinite if it failed."""
        return float(np.median(self.blocks)) if self.blocks and not self.reason else float("inf")


@dataclass
class Timed:
    """One model on one system."""

    model: Model
    runners: list[Runner] = field(default_factory=list)  # those that take part in the rounds
    tried: dict[str, Any] = field(default_factory=dict)  # ms of every route in the first look, or why it failed
    reason: str | None = None

    def row(self, error: float | None) -> dict[str, Any]:
        """The entry of results.json: the route with the lowest median."""
        best = min(self.runners, key=lambda r: r.median, default=None)
        if best is None or best.median == float("inf"):
            reason = self.reason or next((r.reason for r in self.runners if r.reason), "no route ran")
            return {
                "ms_per_step": None,
                "ms_per_step_spread": None,
                "force_mae_mev_per_angstrom": error,
                "how": f"failed: {reason}",
                "routes_tried_ms": self.tried,
            }
        low, high = np.quantile(best.blocks, [0.25, 0.75])
        return {
            "ms_per_step": best.median,
            "ms_per_step_spread": float(high - low) / 2,
            "force_mae_mev_per_angstrom": error,
            "how": best.route.label,
            "ms_graph": float(np.median(best.graph)) if best.graph else None,
            "blocks": len(best.blocks),
            "steps_per_block": best.steps,
            "routes_ms": {r.route.label: r.median for r in self.runners if r.median < float("inf")},
            "routes_tried_ms": self.tried,
        }


def time_system(system: str, models: dict[str, tuple[Model, Trained]], rounds: int, threads: int) -> dict[str, Timed]:
    """All models on one system, in one run, interleaved. Models that fail carry the reason."""
    timed = {name: _choose(model, trained, system, threads) for name, (model, trained) in models.items()}
    with ExitStack() as stack:
        turns: list[tuple[Runner, Session]] = []
        for name, result in timed.items():
            model, trained = models[name]
            for runner in result.runners:
                try:
                    session = ENGINES[model.engine].open(model, trained.folder, runner.route, system)
                except PeerError as error:
                    runner.reason = str(error)
                    continue
                stack.callback(session.close)
                turns.append((runner, session))
        for turn in range(rounds):
            print(f"   {system}: round {turn + 1} of {rounds}", end="\r", flush=True)
            first = turn % max(1, len(turns))
            for runner, session in turns[first:] + turns[:first]:
                _take_turn(runner, session)
        print()
    return timed


def _take_turn(runner: Runner, session: Session) -> None:
    if runner.reason:
        return
    try:
        runner.blocks += session.blocks(runner.steps, BLOCKS_PER_ROUND)
        count = max(FEWEST, runner.steps // 2)
        seconds = session.graph(count)
        if seconds is not None:
            runner.graph.append(1e3 * seconds / count)
    except PeerError as error:
        runner.reason = str(error)


def _choose(model: Model, trained: Trained, system: str, threads: int) -> Timed:
    """Tries all routes for a moment and keeps the fastest, with those that are close to it."""
    result = Timed(model)
    engine = ENGINES[model.engine]
    found: list[Runner] = []
    for route in engine.routes(model, system, threads):
        try:
            steps, ms = _first_look(engine.open(model, trained.folder, route, system))
        except PeerError as error:
            result.tried[route.label] = f"failed: {error}"
            result.reason = str(error)
            print(f"   {system}, {model.name}, {route.label}: {error}", flush=True)
            continue
        result.tried[route.label] = ms
        print(f"   {system}, {model.name}, {route.label}: {ms:.3g} ms", flush=True)
        found.append(Runner(route, steps, ms))
    fastest = min((r.first_look for r in found), default=0.0)
    result.runners = [r for r in found if r.first_look <= CLOSE * fastest]
    return result


def _first_look(session: Session) -> tuple[int, float]:
    """Steps of a block of the right length, and the ms per step of the fastest of three."""
    try:
        once = 1e-3 * session.blocks(10, 2)[-1]
        steps = int(np.clip(BLOCK_SECONDS / max(once, 1e-7), FEWEST, MOST))
        return steps, min(session.blocks(steps, 3))
    finally:
        session.close()
