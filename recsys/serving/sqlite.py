"""The embedded online store: one SQLite file in write-ahead mode, read by any number of processes while one writes."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys.errors import StoreError
from recsys.serving.store import Profile, StoreState, advanced

FORMAT = 1  # PRAGMA user_version
WAIT_S = 30.0  # for another process that writes
MAPPED = 1 << 30  # bytes of the file that are read without a system call
_TABLES = """
CREATE TABLE IF NOT EXISTS profiles (user_id TEXT PRIMARY KEY, epoch INT, batch INT, as_of INT, recent BLOB);
CREATE TABLE IF NOT EXISTS state (one INTEGER PRIMARY KEY CHECK (one = 1), epoch INT, batch INT, as_of INT, put_at INT);
"""
_GET = "SELECT user_id, epoch, batch, as_of, recent FROM profiles WHERE user_id = ?"
_PUT = """
INSERT INTO profiles VALUES (?, ?, ?, ?, ?) ON CONFLICT (user_id) DO UPDATE
SET epoch = excluded.epoch, batch = excluded.batch, as_of = excluded.as_of, recent = excluded.recent
WHERE (excluded.epoch, excluded.batch) > (epoch, batch)
"""


class SqliteStore:
    """An online store in a file; see OnlineStore. What a put has written is on the disk when it returns."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Open the file. StoreError: it is absent (unless `create`), no store, or of another format."""
        if not create and not path.is_file():
            raise StoreError(f"There is no online store at {str(path)!r}: run jobs/online.py, which fills it.")
        self._path, self._lock = path, threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._said():
            self._connection = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
            self._prepare(create)

    def _prepare(self, create: bool) -> None:
        run = self._connection.execute
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=FULL")
        run(f"PRAGMA mmap_size={MAPPED}")
        if create and run("PRAGMA user_version").fetchone()[0] == 0:
            self._connection.executescript(f"{_TABLES} PRAGMA user_version={FORMAT};")
        found = run("PRAGMA user_version").fetchone()[0]
        if found != FORMAT:
            self._connection.close()
            raise StoreError(f"The online store {str(self._path)!r} has format {found}, this version reads {FORMAT}.")

    def get(self, user_id: str) -> Profile | None:
        """The user's newest profile; None: not in the store."""
        with self._lock, self._said():
            row = self._connection.execute(_GET, (user_id,)).fetchone()
        if row is None:
            return None
        identity, epoch, batch, as_of, recent = row
        return Profile(user_id=identity, epoch=epoch, batch=batch, as_of=as_of, recent=recent)

    def put(self, profiles: Iterable[Profile]) -> int:
        """Write what is newer, all of it or nothing; memory does not grow with the number of profiles."""
        with self._lock, self._said(), self._transaction():
            state, before = self._state(), self._connection.total_changes
            for p in profiles:
                self._connection.execute(_PUT, (p.user_id, p.epoch, p.batch, p.as_of, p.recent))
                state = advanced(state, p)
            written = self._connection.total_changes - before
            if state is not None:
                row = (1, state.epoch, state.batch, state.as_of, time.time_ns() // 1000)
                self._connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?, ?)", row)
        return written

    def state(self) -> StoreState | None:
        """How far the store has come; None: nothing was ever put."""
        with self._lock, self._said():
            return self._state()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _state(self) -> StoreState | None:
        row = self._connection.execute("SELECT epoch, batch, as_of, put_at FROM state").fetchone()
        return None if row is None else StoreState(epoch=row[0], batch=row[1], as_of=row[2], put_at=row[3])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"The online store {str(self._path)!r} does not answer: {error}.") from None
