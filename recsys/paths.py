"""Folders that driver and executors share."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlparse

from recsys.errors import ConfigError


def is_local(uri: str, default: str) -> bool:
    """Whether a URI, or a path on the file system of scheme `default`, names local files."""
    return (urlparse(uri).scheme or default) == "file"


def local_folder(uri: str) -> Path:
    """The absolute folder that a path or a file: URI names. ConfigError: another URI.

    Models in the making are files: they lie on a file system that all machines of the cluster share.
    """
    parts = urlparse(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path)).resolve()
    if "://" in uri:
        raise ConfigError(
            f"artifacts is {uri!r}: set it to a folder on a file system that driver and executors share. Without "
            "MLFLOW_TRACKING_URI, MLflow's SQLite file lies there too."
        )
    return Path(uri).resolve()
