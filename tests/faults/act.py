"""What a round's process does: promotes a bundle or rolls back, and at a named phase dies or meets a fault.

Nothing in the package knows of phases: they are calls that are wrapped in this process alone.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.tracking._model_registry.client import ModelRegistryClient
from sqlalchemy import event
from sqlalchemy.engine import Engine

from recsys.config import RegistrySettings
from recsys.errors import BundleError, RefusedError, RegistryError
from recsys.registry import alias, client, local, moves
from recsys.registry import promote as promotion
from recsys.registry.compare import Paired
from recsys.registry.kept import registry_folder
from tests.faults.world import BATCH, World

WRITES = (
    "create_model_version",
    "set_model_version_tag",
    "set_registered_model_alias",
    "create_registered_model",
    "set_registered_model_tag",
)
BEGUN_S = 60.0  # for a partner to have begun
# Phase -> whose call it is, and whether the fault comes before it, after it, or within it as SQLite commits.
PHASES: dict[str, tuple[Any, str, str]] = {
    "registered": (client, "tag", "before"),
    "tagged": (promotion, "fetch", "before"),
    "copying": (local, "_copy_file", "after"),
    "verified": (promotion, "fetch", "after"),
    "answered": (promotion, "_answers", "after"),
    "compared": (promotion, "compare", "after"),
    "settled": (alias, "settle", "after"),
    "entering": (moves, "enter", "commit"),
    "entered": (moves, "enter", "after"),
    "marked": (moves, "point", "before"),
    "committing": (moves, "point", "commit"),
    "pointed": (moves, "point", "after"),
}
ROLLBACK_PHASES = ("entered", "marked", "committing", "pointed")


@dataclass(frozen=True, kw_only=True)
class Act:
    """One process of a round."""

    world: str
    name: str
    do: str  # promote or rollback
    bundle: str = ""
    gain: float = 0.1
    phase: str = ""
    fault: str = ""  # kill, down, missing, champion_missing or meet
    partner: str = ""
    meets: tuple[tuple[str, str, float], ...] = ()  # own phase, the partner's, how long to wait for it there (seconds)
    busy_s: float = 10.0
    without_order: bool = False

    def text(self) -> str:
        """As a command line's argument."""
        return json.dumps(asdict(self))


def perform(act: Act) -> int:
    """Do it in this process, which it changes; returns the exit code: 0 done, 3 refused, 4 no answer, 5 not sound."""
    world = World(Path(act.world))
    world.use(act.busy_s)
    _journal_writes(world, act)
    if act.without_order:
        moves.enter = _enter_anyway
    if act.phase:
        _wrap(*PHASES[act.phase], lambda: _fault(world, act))
    for phase, other, wait_s in act.meets:
        _wrap(*PHASES[phase], partial(_meet, world, act, phase, other, wait_s))
    work = registry_folder(world.settings)
    try:
        if act.do == "rollback":
            _wait_for_partner(world, act)
            alias.rollback(world.settings, work, why="a round", by=act.name)
        else:
            promotion.promote(Path(act.bundle), world.settings, BATCH, lambda *_: _measured(act.gain), work)
    except RefusedError:
        return 3
    except RegistryError as error:
        sys.stderr.write(f"{act.name}: {error}\n")
        return 4
    except BundleError:
        return 5
    world.note(act.name, "done")
    return 0


def _wait_for_partner(world: World, act: Act) -> None:
    """Until it has written to the registry."""
    until = time.monotonic() + BEGUN_S
    while act.partner and time.monotonic() < until and [act.partner, "end"] not in [w[1:3] for w in world.journal()]:
        time.sleep(0.01)


def _measured(gain: float) -> Paired:
    champion = np.linspace(0.1, 0.5, 40)
    return Paired(metric="ndcg@10", challenger=champion + gain, champion=champion, user=np.arange(40))


_enter = moves.enter


def _enter_anyway(settings: RegistrySettings, move: moves.Move) -> bool:
    """As if nobody had been quicker: under the next number that is free."""
    while not _enter(settings, move):
        move = replace(move, number=move.number + 1)
    return True


def _journal_writes(world: World, act: Act) -> None:
    for name in WRITES:
        real = getattr(ModelRegistryClient, name)

        def call(*args: Any, _real: Callable[..., Any] = real, _name: str = name, **kwargs: Any) -> Any:
            told = [] if _name.startswith("create") else [str(value) for value in args[2:] if value]
            world.note(act.name, "begin", _name, *(word.replace(" ", "_") for word in told[:3]))
            found = _real(*args, **kwargs)
            version = [str(found.version)] if _name == "create_model_version" else []
            world.note(act.name, "end", _name, *version, *(word.replace(" ", "_") for word in told[:3]))
            return found

        setattr(ModelRegistryClient, name, call)
    answers = promotion._answers

    def answered(model: Path, batch: Any) -> None:
        answers(model, batch)
        world.note(act.name, "answered", model.name)

    promotion._answers = answered


def _wrap(owner: Any, name: str, where: str, fault: Callable[[], None]) -> None:
    """Let the fault come at the first call."""
    real, came = getattr(owner, name), list[bool]()

    def once() -> None:
        if not came:
            came.append(True)
            fault()

    def call(*args: Any, **kwargs: Any) -> Any:
        if where == "before":
            once()
        if where == "commit":
            event.listen(Engine, "commit", lambda _: once())
        found = real(*args, **kwargs)
        if where == "after":
            once()
        return found

    setattr(owner, name, call)


def _meet(world: World, act: Act, phase: str, other: str, wait_s: float) -> None:
    """Wait for the partner to get to its phase. One that the lock keeps out will not come."""
    (world.folder / f"{act.name}.{phase}").touch()
    until = time.monotonic() + wait_s
    while time.monotonic() < until and not (world.folder / f"{act.partner}.{other}").exists():
        time.sleep(0.01)


def _fault(world: World, act: Act) -> None:
    world.note(act.name, "fault", act.phase)
    if act.fault != "kill":
        world.disturb()
    if act.fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if act.fault == "down":
        _lock_out(world)
    if act.fault == "missing":
        newest = max((world.folder / "artifacts" / "mlflow").rglob("MLmodel"), key=lambda path: path.stat().st_mtime_ns)
        next((newest.parent / "data").rglob("items.parquet")).unlink()
    if act.fault == "champion_missing":
        shutil.move(_files(world, world.alias()), world.folder / "away")


_held: list[Any] = []


def _lock_out(world: World) -> None:
    """From now on, nobody can read or write the registry, until this process ends."""
    opened = world.database()
    _held.append(opened)
    opened.__enter__().execute("BEGIN EXCLUSIVE")


def _files(world: World, version: str) -> Path:
    with world.database() as opened:
        query = "SELECT storage_location FROM model_versions WHERE version = ?"
        return Path(str(opened.execute(query, (version,)).fetchone()[0]).removeprefix("file://"))


if __name__ == "__main__":
    sys.exit(perform(Act(**json.loads(sys.argv[1]))))
