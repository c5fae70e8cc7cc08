"""Old versions leave the registry; the champion, those it can go back to, and whatever has an alias stay."""

from __future__ import annotations

import mlflow
from mlflow.entities.model_registry import ModelVersion

from recsys.config import RegistrySettings, Settings
from recsys.registry.alias import PREVIOUS
from recsys.registry.client import asking
from recsys.registry.moves import Move, make, settle

MOST = 500  # deleted by one move: their numbers must fit into a tag


def prune(settings: Settings, keep: int) -> list[str]:
    """Delete versions other than the newest `keep`, the champion and the `keep` before it, and those with an alias.

    Returns their numbers, oldest first. Their files go with the next `mlflow gc`. It is entered as a move of the alias
    is, so that nobody goes back to a version which is being deleted. Raises RegistryError: no answer.
    """
    names, deleted = settings.registry, list[str]()
    while True:
        last, present = settle(names)
        gone = _superfluous(names, present, keep)[:MOST]
        if not gone:
            return deleted
        if make(names, Move(number=last + 1, gone=tuple(gone))):
            deleted += gone


def _superfluous(names: RegistrySettings, present: ModelVersion | None, keep: int) -> list[str]:
    with asking():
        client = mlflow.MlflowClient()
        found = {int(one.version): one for one in client.search_model_versions(f"name = '{names.model}'")}
        if not found:
            return []
        aliases = client.get_registered_model(names.model).aliases
    stay = set(sorted(found)[-keep:]) | {int(version) for version in aliases.values()}
    one = None if present is None else found.get(int(present.version))
    for _ in range(keep + 1):  # the champion, and so many steps back
        if one is None:
            break
        stay.add(int(one.version))
        one = found.get(int(one.tags.get(PREVIOUS) or 0))
    return [str(number) for number in sorted(set(found) - stay)]
