"""The bundle that the alias points at: for jobs, which want no other, and for servers, which must always have one."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from recsys.config import Settings
from recsys.errors import BundleError, NoDataError, RegistryError
from recsys.log import event
from recsys.registry import alias, client, promote, tracking
from recsys.registry import bundle as bundles
from recsys.registry.bundle import Bundle
from recsys.registry.kept import registry_folder
from recsys.registry.packaged import bundle_folder

NEWEST = "current.json"  # which of the kept versions was the newest champion that could be loaded
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Current:
    """A verified bundle to serve with."""

    bundle: Bundle
    version: str
    behind: str | None  # why it is not what the alias points at; None: it is


def champion(settings: Settings) -> Bundle | None:
    """The champion's bundle, verified; None where no version was ever promoted.

    It is kept under `artifacts`, so that executors read the same files and the next job downloads nothing. Raises
    BundleError: what the registry holds is not sound. RegistryError: it does not answer.
    """
    found = _champion(settings, registry_folder(settings))
    return None if found is None else found.bundle


def required_champion(settings: Settings) -> Bundle:
    """The champion's bundle. NoDataError where there is none."""
    return _required(settings, _champion(settings, registry_folder(settings))).bundle


def current(settings: Settings, kept: Path) -> Current:
    """What a server should answer with now: the champion, or the newest one that it could load before.

    `kept` is the server's own folder of verified copies. If the registry does not answer, or holds a champion that is
    incomplete or not sound, the bundle that was loaded last is checked and loaded again, `behind` and a line in the log
    say why. Raises NoDataError: there is no champion. BundleError, RegistryError: nor can an earlier one be loaded.
    """
    try:
        found = _required(settings, _champion(settings, kept))
    except (BundleError, RegistryError) as error:
        last = _last(kept)
        if last is None:
            raise
        version, bundle = last
        event(log, "the champion cannot be loaded", logging.WARNING, reason=str(error), used=version)
        return Current(bundle=bundle, version=version, behind=str(error))
    _remember(kept, found)
    return found


def _champion(settings: Settings, kept: Path) -> Current | None:
    tracking.connect(settings)
    present = client.champion(settings.registry)
    if present is None:
        return None
    version = str(present.version)
    bundle = _load(kept, version, present.tags.get(alias.BUNDLE, ""))
    if bundle is None:
        bundle = promote.fetch(settings.registry, version, kept)
    return Current(bundle=bundle, version=version, behind=None)


def _required(settings: Settings, found: Current | None) -> Current:
    if found is None:
        names = settings.registry
        raise NoDataError(
            f"model {names.model!r} has no {names.alias!r} yet: run jobs/train_encoder.py and jobs/train_ranker.py."
        )
    return found


def _load(kept: Path, version: str, bundle: str) -> Bundle | None:
    """What was downloaded of this version before, if it is whole and what the registry names."""
    try:
        found = bundles.load(bundle_folder(kept / version))
    except (BundleError, OSError):
        return None  # harmed, or by an earlier release: it is downloaded again
    return found if found.id == bundle else None


def _remember(kept: Path, found: Current) -> None:
    text = json.dumps({"version": found.version, "bundle": found.bundle.id})
    if (kept / NEWEST).exists() and (kept / NEWEST).read_text(encoding="utf-8") == text:
        return
    draft = kept / f".{NEWEST}.{os.getpid()}"
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(kept / NEWEST)


def _last(kept: Path) -> tuple[str, Bundle] | None:
    try:
        told = json.loads((kept / NEWEST).read_text(encoding="utf-8"))
        version, bundle = str(told["version"]), str(told["bundle"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    found = _load(kept, version, bundle)
    return None if found is None else (version, found)
