"""Old versions leave the registry; the champion, those it can go back to, and whatever has an alias stay."""

from __future__ import annotations

import mlflow

from recsys.config import Settings
from recsys.registry.alias import PREVIOUS, settle
from recsys.registry.client import asking
from recsys.registry.kept import alone, registry_folder

MODEL_ID = "models:/"


def prune(settings: Settings, keep: int) -> list[str]:
    """Delete versions other than the newest `keep`, the champion and the `keep` before it, and those with an alias.

    Returns their numbers, oldest first. Their files go with the next `mlflow gc`. Raises RefusedError: another process
    moves the alias; RegistryError: no answer.
    """
    names = settings.registry
    with alone(registry_folder(settings)):
        present = settle(names)
        with asking():
            client = mlflow.MlflowClient()
            found = {int(one.version): one for one in client.search_model_versions(f"name = '{names.model}'")}
            if not found:
                return []
            stay = set(sorted(found)[-keep:]) | {
                int(version) for version in client.get_registered_model(names.model).aliases.values()
            }
            one = None if present is None else found.get(int(present.version))
            for _ in range(keep + 1):  # the champion, and so many steps back
                if one is None:
                    break
                stay.add(int(one.version))
                one = found.get(int(one.tags.get(PREVIOUS) or 0))
            gone = sorted(set(found) - stay)
            for number in gone:
                client.delete_model_version(names.model, str(number))
                if found[number].source.startswith(MODEL_ID):
                    client.delete_logged_model(found[number].source.removeprefix(MODEL_ID))
    return [str(number) for number in gone]
