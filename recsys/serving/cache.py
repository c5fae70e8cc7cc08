"""What was just answered: for a few seconds the same behaviours get the same list again."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Hashable
from typing import NamedTuple

from cachetools import TTLCache

from recsys.config import ServingSettings
from recsys.features.history import Histories


class Lists(NamedTuple):
    """One user's recommendations in parallel, best first."""

    items: list[str]
    scores: list[float]
    sources: list[str]
    reasons: list[str]


class AnswerCache:
    """Lists by what they depend on; any number of threads may ask. With `serving.cache_s` 0 it keeps nothing.

    A list is found by its behaviours themselves, not by their user, so the next behaviour always changes the answer.
    """

    def __init__(self, settings: ServingSettings) -> None:
        self._kept: TTLCache[Hashable, Lists] = TTLCache(settings.cache_answers, settings.cache_s)
        self._on, self._lock = settings.cache_s > 0, threading.Lock()

    def key(self, h: Histories, *rest: Hashable) -> Hashable:
        """What the list of one user depends on: the behaviours of `h`, and `rest`."""
        if not self._on:
            return ()
        digest = hashlib.blake2b(digest_size=16)
        for column in (h.time, h.behaviour, h.item, h.price, h.quantity, h.value):
            digest.update(column.tobytes())
        digest.update("\0".join(h.items).encode())
        return digest.digest(), *rest

    def get(self, key: Hashable) -> Lists | None:
        """The list kept under the key, if it is young enough."""
        with self._lock:
            return self._kept.get(key) if self._on else None

    def put(self, key: Hashable, lists: Lists) -> None:
        """Keep a list, in place of the oldest where there are too many."""
        if self._on:
            with self._lock:
                self._kept[key] = lists
