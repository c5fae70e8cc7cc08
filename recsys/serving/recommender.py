"""`Recommender`: the registry's champion inside a service's own process. The HTTP server is a shell around it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import numpy as np
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from recsys.config import Settings
from recsys.days import SECOND
from recsys.errors import BundleError, RecsysError, RequestError, StoreError
from recsys.features.history import Histories
from recsys.log import event
from recsys.pseudonyms import key_file, pseudonymiser
from recsys.registry.request import checked
from recsys.serving.answer import Answer, lists
from recsys.serving.ask import Ask, from_fields
from recsys.serving.cache import AnswerCache
from recsys.serving.live import Live, alias_version, fetched, live_of, load_live, unknown_items
from recsys.serving.store import OnlineStore, unpack
from recsys.serving.stores import is_there, open_store

log = logging.getLogger(__name__)


class Recommender:
    """Answers requests with the champion, and takes over the next one when the registry's alias moves.

    A request is answered by the bundle that was there when it began, whole. Any number of threads may ask. Use it as a
    context manager, or call `close`.

        with Recommender(settings) as recommender:
            answer = recommender.recommend(user_id="u17", n=5)
    """

    def __init__(self, settings: Settings, store: OnlineStore | None = None, live: Live | None = None) -> None:
        """Load the champion and follow its alias, or answer with `live` (see `live_of`) for good.

        `store` is used, and closed, in place of the one that the settings name, which is opened if it is there. Raises
        NoDataError: no champion yet. BundleError: it is not sound. StoreError, ConfigError: as `open_store`.
        """
        self.settings = settings
        self.live, self.reload_fault = (live, "") if live else load_live(settings)
        self.store = store or (open_store(settings) if is_there(settings) else None)
        self._cache = AnswerCache(settings.serving)
        self._pseudonym = self._pseudonyms() if self.store else str
        self._stop = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="recsys-alias", daemon=True)
        if live is None:
            self._follower.start()

    def recommend(
        self,
        recent: Sequence[dict[str, Any]] | None = None,
        *,
        user_id: str | None = None,
        n: int | None = None,
        at: int | str | None = None,
        context: dict[str, str] | None = None,
    ) -> Answer:
        """The best items for a user, who is told by `recent` behaviours or looked up by `user_id`.

        `recent`: mappings with `behaviour` and `event_time` (ISO 8601, or microseconds since 1970 UTC), optional
        `item_id`, `price_minor`, `quantity`, `value`. `at` is the moment of the answer (default: now). Raises
        RequestError: what cannot be answered. StoreError: no store, or it does not answer.
        """
        fields = {"recent": recent, "user_id": user_id, "n": n, "at": at, "context": context}
        return self.answer(from_fields(fields), time.perf_counter())

    def answer(self, ask: Ask, arrived: float) -> Answer:
        """Answer a request that arrived at `arrived` (time.perf_counter), so that waiting counts into the budget."""
        live, began = self.live, time.perf_counter()
        notes: list[str] = []
        h, at, n = self._history(live, ask, notes)
        age = (at - live.bundle.snapshot.at) / SECOND
        degraded = age > self.settings.serving.max_age_h * 3600
        full = live.full(n)
        asked = full if degraded else live.within(began - arrived, full)
        key = self._cache.key(h, live.version, n, asked.candidates, degraded, ask.at)
        kept = self._cache.get(key)
        found = kept or lists(live.bundle, live.recommend(h, at, asked, ranked=not degraded))
        if not kept:
            self._cache.put(key, found)
            if not degraded:
                live.pace.learn(asked.candidates, time.perf_counter() - began)
        limit = self.settings.serving.max_age_h if degraded else None
        notes += _said(ask, age, limit, asked.candidates, full.candidates)
        return Answer(
            **found._asdict(),
            bundle=live.bundle.id,
            snapshot_age=age,
            candidates=asked.candidates,
            behaviours=len(h.time),
            trimmed=asked.candidates < full.candidates,
            degraded=degraded,
            cached=kept is not None,
            notes=notes,
        )

    def refresh(self) -> bool:
        """Load what the alias points at if that is another version; whether it was. Raises as the constructor."""
        if alias_version(self.settings) == self.live.version:
            return False
        found = fetched(self.settings)
        if found.behind:
            raise BundleError(found.behind)
        before, self.live = self.live, live_of(found.bundle, found.version, self.settings.serving)
        event(log, "took over", version=self.live.version, bundle=self.live.bundle.id, before=before.version)
        return True

    def close(self) -> None:
        """Stop following the alias and close the store."""
        self._stop.set()
        if self._follower.is_alive():
            self._follower.join()
        if self.store is not None:
            self.store.close()

    def __enter__(self) -> Recommender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _follow(self) -> None:
        while not self._stop.wait(self.settings.serving.poll_s):
            try:
                self.refresh()
                self.reload_fault = ""
            except (RecsysError, MlflowException, SQLAlchemyError, OSError) as error:
                self.reload_fault = str(error).strip().partition("\n")[0]
                event(log, "the alias cannot be followed", logging.WARNING, fault=self.reload_fault)

    def _history(self, live: Live, ask: Ask, notes: list[str]) -> tuple[Histories, int, int]:
        """The user's behaviours, the moment of the answer and the number of items."""
        manifest, now = live.bundle.manifest, time.time_ns() // 1000
        k, n = manifest.features.k, ask.n or manifest.topn.n
        if ask.user_id is None:
            try:
                asked = checked([ask], manifest.names, live.known, k, n, now)
            except RequestError as error:
                raise RequestError(str(error).removeprefix("Row 0: ")) from None
            unknown_items(live.bundle, asked.histories, self.settings.serving.refuse_unknown, notes)
            return asked.histories, int(asked.at[0]), n
        h = self._stored(ask.user_id, manifest.names, k, notes)
        return h, ask.at or max(now, int(h.time.max(initial=0))), n

    def _stored(self, user_id: str, names: tuple[str, ...], k: int, notes: list[str]) -> Histories:
        if self.store is None:
            raise StoreError("There is no online store to look user ids up in: send `recent`, or run jobs/online.py.")
        profile = self.store.get(self._pseudonym(user_id))
        if profile is None:
            notes.append("The user is not in the online store: answered as a new one.")
            return nobody()
        return unpack(profile.recent, names, k)

    def _pseudonyms(self) -> Callable[[str], str]:
        if not self.settings.serving.raw_ids:
            return str
        return pseudonymiser(key_file(self.settings.pseudonym_key_file))


def _said(ask: Ask, age: float, limit_h: float | None, candidates: int, full: int) -> list[str]:
    said = []
    if limit_h is not None:
        said.append(
            f"The item snapshot is {age / 3600:.1f} h old, the limit is {limit_h:g} h: nearest items, not ranked."
        )
    if candidates < full:
        said.append(f"{candidates} of {full} candidates were ranked, for the latency budget.")
    if ask.context:
        said.append("This bundle's ranker reads no context: it was left out.")
    return said


def nobody() -> Histories:
    """One user without behaviours."""
    none = np.zeros(0, dtype=np.int64)
    return Histories(
        offsets=np.zeros(2, dtype=np.int64),
        time=none,
        behaviour=none.astype(np.int8),
        item=none.astype(np.int32),
        price=none,
        quantity=none,
        value=np.zeros(0),
        items=(),
    )
