"""The bundle that answers now: loaded from the registry, verified, warmed and timed before its first request."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from recsys.config import ServingSettings, Settings, TopNSettings
from recsys.days import SECOND
from recsys.errors import NoDataError, RequestError
from recsys.features.history import I64, MISSING, Histories
from recsys.paths import local_folder
from recsys.ranking.trained import TrainedRanker
from recsys.registry import champion as champions
from recsys.registry import client, tracking
from recsys.registry.bundle import Bundle
from recsys.serving.pace import Pace, fitted
from recsys.topn.recommend import TopN, recommend

KEPT = "serving"  # folder under `artifacts` of the server's own copies
ROUNDS = 7  # measured answers of each length; their median counts


@dataclass(frozen=True, kw_only=True, eq=False)
class Live:
    """A version of the registered model, ready to answer."""

    version: str
    bundle: Bundle
    pace: Pace
    known: frozenset[str] = field(repr=False)  # behaviour names that histories keep

    def recommend(self, h: Histories, at: int, asked: TopNSettings, ranked: bool) -> TopN:
        """One user's list; not `ranked`: the nearest items, and popular ones without a history."""
        return _recommend(self.bundle, h, at, self.bundle.ranker if ranked else None, asked)

    def full(self, n: int) -> TopNSettings:
        """Settings of an answer of `n` items that nothing trims: those of `Bundle.recommend`."""
        topn = self.bundle.manifest.topn
        return _trimmed(topn, n, max(topn.candidates, n + topn.popular))

    def within(self, waited: float, full: TopNSettings) -> TopNSettings:
        """The same with the candidates that fit into the latency budget of a request that waited so long (seconds)."""
        allowed = self.pace.allowed(waited, full.candidates)
        return full if allowed == full.candidates else _trimmed(self.bundle.manifest.topn, full.n, allowed)


def alias_version(settings: Settings) -> str:
    """The version that the alias points at. NoDataError: no such model or alias. RegistryError: no answer."""
    tracking.connect(settings)
    present = client.champion(settings.registry)
    if present is None:
        names = settings.registry
        raise NoDataError(f"model {names.model!r} has no {names.alias!r} yet: run jobs/train_ranker.py first.")
    return str(present.version)


def fetched(settings: Settings) -> champions.Current:
    """`champions.current` with the server's own copies; raises as that."""
    return champions.current(settings, local_folder(settings.artifacts) / KEPT)


def load_live(settings: Settings) -> tuple[Live, str]:
    """Fetch, verify, index and time what the alias points at; where it cannot be had, the last one that could, and why.

    Raises NoDataError: there is no champion. BundleError, RegistryError: nor can an earlier one be loaded.
    """
    found = fetched(settings)
    return live_of(found.bundle, found.version, settings.serving), found.behind or ""


def live_of(bundle: Bundle, version: str, settings: ServingSettings) -> Live:
    """A bundle in memory, with its index built, a few answers given, and these timed for the latency budget."""
    topn, least = bundle.manifest.topn, min(settings.least_candidates, bundle.manifest.topn.candidates)
    history, at = _busy_user(bundle), bundle.snapshot.at

    def seconds(candidates: int) -> float:
        asked = _trimmed(topn, topn.n, candidates)
        return _median(lambda: _recommend(bundle, history, at, bundle.ranker, asked))

    seconds(topn.candidates)  # what is worked out once, and PyTorch's first calls
    pace = fitted(
        settings.budget_ms / 1e3,
        settings.least_candidates,
        (least, seconds(least)),
        (topn.candidates, seconds(topn.candidates)),
    )
    return Live(version=version, bundle=bundle, pace=pace, known=bundle.engaged)


def unknown_items(bundle: Bundle, h: Histories, refuse: bool, notes: list[str]) -> None:
    """Note the items of one history that the catalogue lacks. RequestError, with `refuse`: it lacks all of them."""
    unknown = [item for item, row in zip(h.items, bundle.index.rows(h.items), strict=True) if row < 0]
    if not unknown:
        return
    if refuse and len(unknown) == len(h.items):
        raise RequestError(
            f"None of the {len(unknown)} items is in the catalogue of bundle {bundle.id}: {unknown[0]!r} is not, "
            f"{bundle.snapshot.items[0]!r} is. Send the source's item ids, or `recent`: [] for a new user."
        )
    notes.append(f"{len(unknown)} of {len(h.items)} items are not in the bundle's catalogue, such as {unknown[0]!r}.")


def _recommend(bundle: Bundle, h: Histories, at: int, ranker: TrainedRanker | None, topn: TopNSettings) -> TopN:
    names, features = bundle.manifest.names, bundle.manifest.features
    return recommend(h, at, bundle.encoder, ranker, bundle.snapshot, names, features, topn, bundle.index)


@lru_cache(maxsize=4096)
def _trimmed(topn: TopNSettings, n: int, candidates: int) -> TopNSettings:
    """`n` items of so many candidates, with the usual share of popular ones; never fewer than `n` from neighbours."""
    popular = min(topn.popular, topn.popular * candidates // max(topn.candidates, 1))
    return topn.model_copy(update={"n": n, "popular": popular, "candidates": max(candidates, n + popular)})


def _busy_user(bundle: Bundle) -> Histories:
    """A history as long as any, of popular items, one behaviour a minute up to the snapshot."""
    length, index = bundle.manifest.features.k, bundle.index
    rows = np.resize(index.popular if len(index.popular) else np.zeros(1, dtype=np.int64), length)
    unique, item = np.unique(rows, return_inverse=True)
    ones: I64 = np.ones(length, dtype=np.int64)
    return Histories(
        offsets=np.asarray([0, length], dtype=np.int64),
        time=bundle.snapshot.at - np.arange(length, 0, -1, dtype=np.int64) * 60 * SECOND,
        behaviour=np.full(length, bundle.manifest.names.index(min(bundle.engaged)), dtype=np.int8),
        item=item.astype(np.int32),
        price=ones * MISSING,
        quantity=ones,
        value=np.full(length, np.nan),
        items=tuple(bundle.snapshot.items[row] for row in unique),
    )


def _median(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return sorted(times)[ROUNDS // 2]
