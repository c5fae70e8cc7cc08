"""What the server counts, in the format of Prometheus."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from recsys.days import SECOND
from recsys.serving.answer import Answer
from recsys.serving.recommender import Recommender

BUCKETS = (0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 1.0)  # s


class Metrics:
    """Counters of one server. Names begin with `recsys_`."""

    def __init__(self) -> None:
        own = self._registry = CollectorRegistry()
        self.requests = Counter("recsys_requests", "Answers to /recommend by HTTP status", ["status"], registry=own)
        self.seconds = Histogram(
            "recsys_answer_seconds", "From a request's head to its answer", buckets=BUCKETS, registry=own
        )
        self.trimmed = Counter("recsys_trimmed", "Answers with fewer candidates for the latency budget", registry=own)
        self.degraded = Counter("recsys_degraded", "Answers from a snapshot beyond the age limit", registry=own)
        self.cached = Counter("recsys_cached", "Answers whose list was worked out before", registry=own)
        self._bundle = Gauge("recsys_bundle", "1 for the bundle that answers", ["bundle", "version"], registry=own)
        self._age = Gauge("recsys_snapshot_age_seconds", "From the item snapshot until now", registry=own)
        self._fault = Gauge("recsys_alias_unreachable", "1: the alias could not be followed", registry=own)
        self._put = Gauge("recsys_store_put_age_seconds", "Since the newest put into the online store", registry=own)
        self._event = Gauge("recsys_store_event_age_seconds", "Since the store's newest event", registry=own)

    def count(self, status: int, seconds: float, answer: Answer | None) -> None:
        """An answer left."""
        self.requests.labels(str(status)).inc()
        self.seconds.observe(seconds)
        if answer is not None:
            self.trimmed.inc(answer.trimmed)
            self.degraded.inc(answer.degraded)
            self.cached.inc(answer.cached)

    def text(self, recommender: Recommender) -> bytes:
        """All of them as text. StoreError: the online store does not answer."""
        live, now = recommender.live, time.time()
        self._bundle.clear()
        self._bundle.labels(live.bundle.id, live.version).set(1)
        self._age.set(now - live.bundle.snapshot.at / SECOND)
        self._fault.set(bool(recommender.reload_fault))
        state = recommender.store.state() if recommender.store else None
        self._put.set(now - state.put_at / SECOND if state else float("nan"))  # no store, or an empty one: no age
        self._event.set(now - state.as_of / SECOND if state else float("nan"))
        return generate_latest(self._registry)
