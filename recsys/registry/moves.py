"""Moves of the alias in one order, which all promoters see, whatever machine they run on.

MLflow has no call that moves an alias only from where it was. But it refuses a registered model of a name that is
taken, and its store sees to that. So a move is entered first, as an empty registered model `MODEL-ALIAS-move-NUMBER`
whose tags say what is to be done, with the number after the last. Of those who saw the same last move one succeeds; the
others look again. An entered move counts. Whoever comes next first does what its process, dead or slow, has not done
yet: every step may be done twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import mlflow
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST, ErrorCode

from recsys.config import RegistrySettings
from recsys.errors import RegistryError
from recsys.registry.client import asking, champion, tag

OUTCOME = "decision.outcome"
TAKEN, ABSENT = ErrorCode.Name(RESOURCE_ALREADY_EXISTS), ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)
CLASH, TRIES = ErrorCode.Name(BAD_REQUEST), 5
ENTRY, TO, GONE, DONE, TOLD = "entry", "to", "gone", "done", "told"
PAGE = 100
DELETED = 10  # at most by one move
MOST_CHARACTERS = 5000  # of a registered model's tag in MLflow's tables
# A number must not be free again while somebody may still try to enter it, who looked before it was taken.
KEPT_MS = 24 * 3600 * 1000
MODEL_ID = "models:/"


@dataclass(frozen=True, kw_only=True)
class Move:
    """What is to be done, in this order: tags but outcomes, the alias, outcomes, versions deleted."""

    number: int
    to: str = ""  # version that the alias shall point at; empty: it stays
    told: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # version -> its new tags
    gone: tuple[str, ...] = ()
    done: bool = False
    entered: int = 0  # milliseconds since 1970 UTC, by the registry's clock


def settle(settings: RegistrySettings) -> tuple[int, ModelVersion | None]:
    """Finish what was entered; the last move's number (0: none), and then the champion. RegistryError: no answer."""
    while (last := newest(settings)) is not None and not last.done:
        finish(settings, last)
    return (0 if last is None else last.number), champion(settings)


def make(settings: RegistrySettings, move: Move) -> bool:
    """Enter the move and do it; False, and nothing is done: another has its number.

    Its number is the one after `settle`'s, and nothing that it rests on was read before `settle`. Raises RegistryError:
    no answer; then it may have been entered, and the next one does what is left.
    """
    if not enter(settings, move):
        return False
    finish(settings, move)
    return True


def newest(settings: RegistrySettings) -> Move | None:
    """The last move that was entered. RegistryError: no answer."""
    # LIKE may find another's name first.
    return max(_entered(settings, 1) or _entered(settings), key=_number, default=None)


def enter(settings: RegistrySettings, move: Move) -> bool:
    """Take the move's number; False: it is taken. RegistryError: no answer."""
    name, own = f"{_prefix(settings)}{move.number:09d}", uuid.uuid4().hex
    tags = {ENTRY: own, TO: move.to, GONE: " ".join(move.gone)}
    tags |= {f"{TOLD}.{version}.{key}": value for version, told in move.told.items() for key, value in told.items()}
    about = f"A move of the alias {settings.alias} of {settings.model}, kept for a day (recsys.registry)."
    with asking():
        client = mlflow.MlflowClient()
        try:
            client.create_registered_model(name, {k: v[:MOST_CHARACTERS] for k, v in tags.items()}, about)
        except MlflowException as error:
            if error.error_code != TAKEN:
                raise
            # MLflow's client asks again where an answer was lost: then it is taken by ourselves.
            return bool(client.get_registered_model(name).tags.get(ENTRY) == own)
    return True


def finish(settings: RegistrySettings, move: Move) -> None:
    """Do what an entered move says, unless a later one was entered, before which this one was done."""
    if _overtaken(settings, move):
        return
    _tell(settings, move, lambda key: key != OUTCOME)
    if move.to:
        _if_present(partial(point, settings, move.to))
        if _overtaken(settings, move):
            _put_back(settings)
            return
    _tell(settings, move, lambda key: key == OUTCOME)
    for version in move.gone:
        _if_present(partial(_delete, settings, version))
    _end(settings, move)


def point(settings: RegistrySettings, version: str) -> None:
    """Let the alias point at the version. RegistryError: no answer."""
    with asking():
        mlflow.MlflowClient().set_registered_model_alias(settings.model, settings.alias, version)


def _tell(settings: RegistrySettings, move: Move, which: Callable[[str], bool]) -> None:
    for version, told in move.told.items():
        _if_present(partial(tag, settings, version, {key: told[key] for key in told if which(key)}))


def _put_back(settings: RegistrySettings) -> None:
    """Point where the last move says, until it is the last: our slow pointing may have come after that of a later."""
    number = -1
    while (last := max((m for m in _entered(settings) if m.to), key=_number)).number != number:
        number = last.number
        _if_present(partial(point, settings, last.to))


def _overtaken(settings: RegistrySettings, move: Move) -> bool:
    last = newest(settings)
    return last is not None and last.number > move.number


def _entered(settings: RegistrySettings, most: int = PAGE, order: str = "DESC") -> list[Move]:
    """The last moves, so many at most; ASC: the first."""
    prefix = _prefix(settings)
    with asking():
        found = mlflow.MlflowClient().search_registered_models(
            f"name LIKE '{prefix}%'", max_results=most, order_by=[f"name {order}"]
        )
    # `_` in a name stands for any character in LIKE.
    return [_read(one, prefix) for one in found if one.name.startswith(prefix)]


def _read(found: RegisteredModel, prefix: str) -> Move:
    told: dict[str, dict[str, str]] = {}
    for key, value in found.tags.items():
        if key.startswith(f"{TOLD}."):
            _, version, name = key.split(".", 2)
            told.setdefault(version, {})[name] = value
    return Move(
        number=int(found.name.removeprefix(prefix)),
        to=found.tags.get(TO, ""),
        told=told,
        gone=tuple(found.tags.get(GONE, "").split()),
        done=DONE in found.tags,
        entered=int(found.creation_timestamp),
    )


def _number(move: Move) -> int:
    return move.number


def _prefix(settings: RegistrySettings) -> str:
    return f"{settings.model}-{settings.alias}-move-"


def _if_present(step: Callable[[], object]) -> None:
    """Do the step, unless what it is about is not in the registry (any more): nobody could ever do it."""
    for left in reversed(range(TRIES)):
        try:
            with asking():
                step()
        except RegistryError as error:
            code = error.__cause__.error_code if isinstance(error.__cause__, MlflowException) else ""
            # Of two who write the same new tag at once, MLflow's tables refuse one.
            if code == CLASH and left:
                continue
            if code != ABSENT:
                raise
        return


def _delete(settings: RegistrySettings, version: str) -> None:
    """The version and its logged model; the version last, so that who does it again finds both."""
    client = mlflow.MlflowClient()
    source = str(client.get_model_version(settings.model, version).source)
    if source.startswith(MODEL_ID):
        _if_present(partial(client.delete_logged_model, source.removeprefix(MODEL_ID)))
    client.delete_model_version(settings.model, version)


def _end(settings: RegistrySettings, move: Move) -> None:
    """Mark the move as done, and delete moves whose number nobody can be about to enter any more."""
    client, prefix = mlflow.MlflowClient(), _prefix(settings)
    _if_present(partial(client.set_registered_model_tag, f"{prefix}{move.number:09d}", DONE, "yes"))
    last = newest(settings)
    now = 0 if last is None else last.entered
    for one in _entered(settings, DELETED, "ASC"):
        if one.number < move.number and now - one.entered > KEPT_MS:
            _if_present(partial(client.delete_registered_model, f"{prefix}{one.number:09d}"))
