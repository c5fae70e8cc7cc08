from __future__ import annotations

import time
from dataclasses import replace

from recsys.serving.metrics import Metrics
from recsys.serving.recommender import Recommender
from tests.registry.conftest import SNAPSHOT_AT
from tests.serving.conftest import CLICK
from tests.serving.profiles import profile


def values(metrics: Metrics, recommender: Recommender) -> dict[str, float]:
    lines = metrics.text(recommender).decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def test_answers_are_counted_by_what_became_of_them(recommender: Recommender) -> None:
    metrics, answer = Metrics(), recommender.recommend([CLICK], at=SNAPSHOT_AT)
    metrics.count(200, 0.005, answer)
    metrics.count(200, 0.2, replace(answer, trimmed=True, degraded=True, cached=True))
    metrics.count(400, 0.001, None)
    told = values(metrics, recommender)
    assert told['recsys_requests_total{status="200"}'] == 2
    assert told['recsys_requests_total{status="400"}'] == 1
    assert [told[f"recsys_{what}_total"] for what in ("trimmed", "degraded", "cached")] == [1, 1, 1]
    assert told["recsys_answer_seconds_count"] == 3
    assert told['recsys_answer_seconds_bucket{le="0.006"}'] == 2


def test_ages_are_those_of_the_snapshot_and_the_store(recommender: Recommender) -> None:
    assert recommender.store is not None
    recommender.store.put([profile("somebody", 0, 0, as_of=SNAPSHOT_AT + 100_000_000)])
    told = values(Metrics(), recommender)
    age = time.time() - SNAPSHOT_AT / 1e6
    assert abs(told["recsys_snapshot_age_seconds"] - age) < 60
    assert abs(told["recsys_store_event_age_seconds"] - age + 100) < 60
    assert 0 <= told["recsys_store_put_age_seconds"] < 60
    assert told["recsys_alias_unreachable"] == 0
