"""The online store on a Redis server, for several serving machines. Needs the package `redis` (extra `redis`).

Each user is one string under `PREFIX:USER`: HEADER digits of epoch, batch and as_of, then the packed behaviours.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

import redis

from recsys.errors import ConfigError, StoreError
from recsys.serving.store import Profile, StoreState, advanced

if TYPE_CHECKING:
    from collections.abc import Iterator

DIGITS = 20
HEADER = 3 * DIGITS
VERSION = 2 * DIGITS
PREFIX, STATE = "recsys:profile:", "recsys:online"
CHUNK = 1000  # profiles of a round trip
READ_S, WRITE_S = 0.25, 60.0  # a server that takes longer is down: answers wait for the one, a follower for the other
# One command on the server, so that of two writers the newer wins whoever comes last.
_PUT = f"""
local found = redis.call('GETRANGE', KEYS[1], 0, {VERSION - 1})
if found ~= '' and found >= string.sub(ARGV[1], 1, {VERSION}) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""


class RedisStore:
    """An online store at a URL such as redis://host:6379/0; see OnlineStore. A put is whole by profile."""

    def __init__(self, url: str, timeout_s: float = READ_S) -> None:
        """Connect. ConfigError: no such kind of URL. StoreError: no server answers there."""
        try:
            self._client = redis.Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s)
        except ValueError as error:
            raise ConfigError(f"serving.store cannot be used: {error}.") from None
        self._put = self._client.register_script(_PUT)
        with self._said():
            self._client.ping()

    def get(self, user_id: str) -> Profile | None:
        """The user's newest profile; None: not in the store."""
        with self._said():
            found = self._client.get(PREFIX + user_id)
        if not isinstance(found, bytes):
            return None
        epoch, batch, as_of = _numbers(found)
        return Profile(user_id=user_id, epoch=epoch, batch=batch, as_of=as_of, recent=found[HEADER:])

    def put(self, profiles: Iterable[Profile]) -> int:
        """Write what is newer, CHUNK profiles a round trip."""
        written, state, rest = 0, self.state(), iter(profiles)
        while chunk := list(islice(rest, CHUNK)):
            with self._said(), self._client.pipeline(transaction=False) as pipe:
                for p in chunk:
                    header = f"{p.epoch:0{DIGITS}d}{p.batch:0{DIGITS}d}{p.as_of:0{DIGITS}d}".encode()
                    self._put(keys=[PREFIX + p.user_id], args=[header + p.recent], client=pipe)
                    state = advanced(state, p)
                written += sum(pipe.execute())
        if state is not None:
            row = (state.epoch, state.batch, state.as_of, time.time_ns() // 1000)
            with self._said():
                self._client.set(STATE, " ".join(map(str, row)))
        return written

    def state(self) -> StoreState | None:
        """How far the store has come; None: nothing was ever put."""
        with self._said():
            found = self._client.get(STATE)
        if not isinstance(found, bytes):
            return None
        epoch, batch, as_of, put_at = map(int, found.split())
        return StoreState(epoch=epoch, batch=batch, as_of=as_of, put_at=put_at)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            raise StoreError(f"The online store does not answer: {error}") from None


def _numbers(found: bytes) -> tuple[int, int, int]:
    header = found[:HEADER]
    if len(header) < HEADER or not header.isdigit():
        raise StoreError("A profile in the online store was not written by this package.")
    return int(header[:DIGITS]), int(header[DIGITS:VERSION]), int(header[VERSION:])
