"""The encoder of another domain that a training begins with, from a folder or from the registry."""

from __future__ import annotations

import re

from recsys.config import Settings
from recsys.encoder.trained import TrainedEncoder
from recsys.errors import BundleError, ConfigError
from recsys.paths import local_folder
from recsys.registry import client, promote, tracking
from recsys.registry.kept import registry_folder

REGISTERED = re.compile(r"models:/(?P<model>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))")


def origin(settings: Settings) -> TrainedEncoder | None:
    """The encoder behind `encoder.start`; None where that is empty.

    It is a folder (path or file: URI) that `TrainedEncoder.save` wrote, or models:/NAME/VERSION or models:/NAME@ALIAS,
    whose bundle is verified. Raises ConfigError: neither of these. BundleError: there is none, or it is not sound.
    RegistryError: the registry does not answer.
    """
    uri = settings.encoder.start
    if not uri:
        return None
    if (found := REGISTERED.fullmatch(uri)) is not None:
        return _registered(settings, found["model"], found["version"], found["alias"])
    if uri.startswith("models:") or ("://" in uri and not uri.startswith("file:")):
        raise ConfigError(
            f"encoder.start is {uri!r}: give a folder, a file: URI, models:/NAME/VERSION or models:/NAME@ALIAS."
        )
    return TrainedEncoder.load(local_folder(uri))


def _registered(settings: Settings, model: str, version: str | None, alias: str | None) -> TrainedEncoder:
    tracking.connect(settings)
    names = settings.registry.model_copy(update={"model": model, "alias": alias or settings.registry.alias})
    if version is None:
        present = client.champion(names)
        if present is None:
            raise BundleError(f"encoder.start: model {model!r} has no {alias!r} in the registry.")
        version = str(present.version)
    return promote.fetch(names, version, registry_folder(settings) / "start").encoder
