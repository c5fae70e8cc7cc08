"""Which online store the settings name."""

from __future__ import annotations

from pathlib import Path

from recsys.config import Settings
from recsys.errors import ConfigError
from recsys.paths import local_folder
from recsys.serving.sqlite import SqliteStore
from recsys.serving.store import OnlineStore

FILE = "online.db"


def open_store(settings: Settings, *, create: bool = False) -> OnlineStore:
    """The store at `serving.store`: a file, or a Redis URL; without it the file FILE under `artifacts`.

    Raises ConfigError: another kind of URL, or the package that it needs is not installed. StoreError: a file that is
    absent (unless `create`) or no store, or no server answers.
    """
    where = settings.serving.store
    if where.startswith(("redis://", "rediss://", "unix://")):
        try:
            from recsys.serving.redis import READ_S, WRITE_S, RedisStore
        except ModuleNotFoundError:
            raise ConfigError(f"serving.store={where!r} needs a package: pip install 'recsys[redis]'.") from None
        return RedisStore(where, WRITE_S if create else READ_S)
    if "://" in where:
        raise ConfigError(f"serving.store={where!r} is neither a file nor redis://..., rediss://... or unix://...")
    return SqliteStore(Path(where) if where else local_folder(settings.artifacts) / FILE, create=create)


def is_there(settings: Settings) -> bool:
    """Whether a store was named, or one lies where it is by default."""
    return bool(settings.serving.store) or (local_folder(settings.artifacts) / FILE).is_file()
