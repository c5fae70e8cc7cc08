"""A registered model's files, copied into a folder of our own before anything looks at them.

What is checked and what is loaded is the copy, so a change of the original after the check changes nothing.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from recsys.config import RegistrySettings
from recsys.errors import BundleError
from recsys.registry.client import files_of

MOST_FILES, MOST_DEPTH = 64, 4
BLOCK = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # never through a link, never waiting for a pipe


@dataclass
class _Left:
    """What may still be copied."""

    bytes: int
    files: int = MOST_FILES

    def take(self, what: str, size: int, files: int = 0) -> None:
        """BundleError: it is more than what is left."""
        self.bytes, self.files = self.bytes - size, self.files - files
        if self.bytes < 0 or self.files < 0:
            raise BundleError(f"At {what!r} the model is larger than {MOST_FILES} files or the limit in bytes.")


def download(settings: RegistrySettings, version: str, into: Path) -> None:
    """Copy a registered version's files into the empty folder `into`.

    Raises BundleError: a file or folder that cannot be read, has an odd name, is a link or no plain file, or more and
    larger files than a bundle may have (`registry.largest_mb`). MlflowException: the registry does not answer.
    """
    uri = files_of(settings, version)
    try:
        if _is_local(uri):
            copy(Path(unquote(urlparse(uri).path)), into, limit_of(settings))
            return
        store, left = get_artifact_repository(uri), _Left(limit_of(settings))
        for path, size in _listed(store, "", left):  # before a byte of it is downloaded
            left.take(path, size)
        store.download_artifacts("", str(into))
    except (OSError, MlflowException) as error:
        raise BundleError(f"Version {version} of {settings.model!r} cannot be downloaded: {error}") from error


def limit_of(settings: RegistrySettings) -> int:
    """The largest model in bytes."""
    return settings.largest_mb << 20


def _is_local(uri: str) -> bool:
    return urlparse(uri).scheme in ("", "file")


def copy(source: Path, into: Path, most_bytes: int) -> None:
    """Copy the files of `source` into the empty folder `into`. BundleError: as `download`; OSError: unreadable."""
    folder = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _copy_folder(folder, "", into, _Left(most_bytes))
    finally:
        os.close(folder)


def _copy_folder(folder: int, inside: str, into: Path, left: _Left) -> None:
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        path = f"{inside}{name}"
        _check_name(path)
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            raise BundleError(f"{path!r} is a link: a bundle holds only files and folders.")
        if not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
            raise BundleError(f"{path!r} is a special file: a bundle holds only files and folders.")
        opened = os.open(name, _READ, dir_fd=folder)
        try:
            if stat.S_ISDIR(os.fstat(opened).st_mode):
                (into / name).mkdir()
                _copy_folder(opened, f"{path}/", into / name, left)
            else:
                left.take(path, 0, files=1)
                _copy_file(opened, path, into / name, left)
        finally:
            os.close(opened)


def _copy_file(opened: int, path: str, to: Path, left: _Left) -> None:
    size = os.fstat(opened).st_size
    left.take(path, size)  # a sparse file of a terabyte is refused before a byte of it is read
    with to.open("xb") as target:
        while size and (block := os.read(opened, min(BLOCK, size))):
            size -= target.write(block)


def _listed(store: ArtifactRepository, inside: str, left: _Left) -> Iterator[tuple[str, int]]:
    """Every file below `inside` and its size, as the store tells."""
    for entry in store.list_artifacts(inside or None):
        path = entry.path.rstrip("/")
        _check_name(path)
        left.take(path, 0, files=1)
        if not entry.is_dir:
            yield path, int(entry.file_size or 0)
        elif path.rpartition("/")[0] == inside:  # and not the folder itself again
            yield from _listed(store, path, left)


def _check_name(path: str) -> None:
    parts = path.split("/")
    if not all(_NAME.fullmatch(part) for part in parts):
        raise BundleError(f"Path {path!r} is not allowed in a model: use letters, digits, '_', '-', '.'.")
    if len(parts) > MOST_DEPTH:
        raise BundleError(f"Path {path!r} lies deeper than {MOST_DEPTH} levels; no bundle has such a file.")
