"""Verified copies of registered models on this machine: one folder a version, whole or absent, and ours alone to write.

A copy is taken into a new private folder, checked there, and only then put where others look for it. It is checked
again whenever it is loaded.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys.config import RegistrySettings, Settings
from recsys.errors import BundleError, RefusedError
from recsys.paths import local_folder
from recsys.registry import local
from recsys.registry.manifest import NAME, verify
from recsys.registry.packaged import MLMODEL, bundle_folder, describe_anew

LOCK, WAIT_S, POLL_S = "lock", 60.0, 0.02


def registry_folder(settings: Settings) -> Path:
    """Where downloaded versions lie, one folder each, and the lock of whoever moves the alias."""
    return local_folder(settings.artifacts) / "registry"


def check(model: Path) -> tuple[Path, str]:
    """The bundle's folder and id, of a model or a bare bundle that lies where nobody else writes.

    Raises BundleError: what `bundle_folder` or `manifest.verify` refuses.
    """
    bare = (model / NAME).exists() and not (model / MLMODEL).exists()
    folder = model if bare else bundle_folder(model)
    _, bundle = verify(folder)
    return folder, bundle


def fetch_model(settings: RegistrySettings, version: str, bundle: str, work: Path) -> Path:
    """Folder of the version's verified model under `work`, fresh from the registry. `bundle` is the registered id.

    Raises BundleError: it cannot be downloaded, is not sound, or is another bundle than the registered one.
    """

    def fill(folder: Path) -> None:
        local.download(settings, version, folder)

    try:
        return take(fill, work / version, bundle)
    except BundleError as error:
        raise BundleError(f"Version {version} of {settings.model!r} is refused: {error}") from error


def take(fill: Callable[[Path], None], place: Path, bundle: str | None = None) -> Path:
    """Let `fill` copy a model into a private folder, verify it there, then put it at `place`, which is returned.

    If `place` holds a sound copy of the same bundle already, that one stays: others may be reading it. Raises
    BundleError: what `check` refuses, or a bundle with another id than `bundle`.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    private = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        fill(private)
        folder, found = check(private)
        if bundle is not None and found != bundle:
            raise BundleError(f"it holds bundle {found}, registered was {bundle or 'none'}.")
        if folder != private:
            describe_anew(private)
        private.chmod(0o755)  # executors may read it as another user
        with alone(place.parent):
            if not sound(place, found):
                shutil.rmtree(place, ignore_errors=True)
                private.rename(place)
        return place
    finally:
        shutil.rmtree(private, ignore_errors=True)


def sound(place: Path, bundle: str) -> bool:
    """Whether `place` holds a model that is whole and is that bundle."""
    try:
        return check(place)[1] == bundle
    except (BundleError, OSError):
        return False


@contextmanager
def alone(folder: Path, wait_s: float = WAIT_S) -> Iterator[None]:
    """Keep out other processes that hold the folder's lock. RefusedError: one holds it for longer than `wait_s`.

    The lock ends with its process, however that ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_s
    with (folder / LOCK).open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RefusedError(f"Another process holds {str(folder / LOCK)!r}; try again later.") from None
                time.sleep(POLL_S)
        yield
