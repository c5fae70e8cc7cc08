"""The bundle that the alias points at, as every job of a night sees it: downloaded once, verified, kept on disk."""

from __future__ import annotations

from pathlib import Path

from recsys.config import Settings
from recsys.errors import BundleError, NoDataError
from recsys.paths import local_folder
from recsys.registry import bundle as bundles
from recsys.registry import promote, tracking
from recsys.registry.bundle import Bundle


def champion(settings: Settings) -> Bundle | None:
    """The champion's bundle, verified; None where no version was ever promoted.

    It is kept under `artifacts`, so that executors read the same files and the next job downloads nothing. Raises
    BundleError: what the registry holds, or what is kept of it, is not sound.
    """
    tracking.connect(settings)
    present = promote.champion(settings.registry)
    if present is None:
        return None
    version = str(present.version)
    kept = _kept(settings, version, present.tags.get("bundle", ""))
    return kept if kept is not None else promote.fetch(settings.registry, version, registry_folder(settings))


def required_champion(settings: Settings) -> Bundle:
    """The champion's bundle. NoDataError where there is none."""
    found = champion(settings)
    if found is None:
        names = settings.registry
        raise NoDataError(
            f"model {names.model!r} has no {names.alias!r} yet: run jobs/train_encoder.py and jobs/train_ranker.py."
        )
    return found


def registry_folder(settings: Settings) -> Path:
    """Where downloaded versions lie, one folder each."""
    return local_folder(settings.artifacts) / "registry"


def _kept(settings: Settings, version: str, bundle: str) -> Bundle | None:
    """What an earlier job downloaded of this version, if it is whole and what the registry names."""
    folders = list((registry_folder(settings) / version / "data").glob("*"))
    if len(folders) != 1:
        return None
    try:
        found = bundles.load(folders[0])
    except BundleError:
        return None  # cut off in the middle of a download: it is downloaded again
    return found if found.id == bundle else None
