"""Trains every model once for the same time, and remembers the result under a key of everything that matters."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from engine import Budget, Engine, Model
from environments import OURS, REQUIREMENTS
from errors import PeerError
from systems import CACHE, CUTOFF, forces_of, training_frames

import frames

DONE = "done.json"


@dataclass(frozen=True)
class Trained:
    """A model that is ready to run. Errors are mean absolute errors of force components in meV/Å."""

    folder: Path
    loss: str
    validation: float
    test: float


def trained(engine: Engine, model: Model, losses: str, budget: Budget, threads: int) -> Trained:
    """The better on validation of the losses asked for ("best" means all of the model's). Raises PeerError."""
    if not model.losses:
        raise PeerError(f"{model.name}: no loss to train with")
    chosen = [x for x in model.losses if losses in ("best", x)] or list(model.losses[:1])
    found, reasons = [], []
    for loss in chosen:
        try:
            found.append(_train_once(engine, model, loss, budget, threads))
        except PeerError as error:
            reasons.append(f"{loss}: {error}")
            print(f"   {model.name}, loss {loss}: {error}", flush=True)
    if not found:
        raise PeerError("training failed: " + "; ".join(reasons))
    return min(found, key=lambda t: t.validation)


def _sources() -> str:
    """Hash of everything of this package that decides how a training goes."""
    digest = hashlib.sha256()
    package = Path(frames.__file__).parent
    for folder in ("nn", "training"):
        for path in sorted((package / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _train_once(engine: Engine, model: Model, loss: str, budget: Budget, threads: int) -> Trained:
    key = {
        "model": asdict(model),
        "loss": loss,
        "minutes": budget.minutes,
        "threads": threads,
        "cutoff": CUTOFF,
        "requirements": REQUIREMENTS.get(engine.environment, []),
    }
    if budget.clock != "wall":
        key["clock"] = budget.clock
    if engine.environment == OURS:
        key["sources"] = _sources()  # no version tells one state of this repository from the next
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:10]
    folder = CACHE / f"{model.name}-{loss}-{budget.minutes:g}min-{digest}"
    done = folder / DONE
    if not done.is_file():
        shutil.rmtree(folder, ignore_errors=True)  # of a training that was interrupted
        folder.mkdir(parents=True)
        print(f"   {model.name}, loss {loss}: training for {budget.minutes:g} minutes", flush=True)
        start = time.monotonic()
        engine.train(model, loss, budget, threads, folder)
        errors = {}
        for role in ("validation", "test"):
            path = getattr(training_frames(), role)
            difference = engine.forces(model, folder, path) - forces_of(path)
            errors[role] = 1e3 * float(np.abs(difference).mean())
        if not np.isfinite(list(errors.values())).all():
            raise PeerError(f"forces that are not finite after {budget.minutes:g} minutes of training")
        done.write_text(json.dumps({**errors, "seconds": time.monotonic() - start}, indent=1))
    errors = json.loads(done.read_text())
    print(f"   {model.name}, loss {loss}: force MAE {errors['test']:.1f} meV/Å (test)", flush=True)
    return Trained(folder, loss, errors["validation"], errors["test"])
