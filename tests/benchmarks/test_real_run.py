"""Figures of a real run from what the chain wrote."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.real_run import figures, stream_seconds
from recsys.errors import RecsysError

ROW: dict[str, Any] = {"slice": "all", "users": 53, "difference_low": None, "difference_high": None}


def row(model: str, metric: str, value: float, **more: object) -> dict[str, Any]:
    return {**ROW, "model": model, "metric": metric, "value": value, **more}


def rows(peer: str) -> list[dict[str, Any]]:
    found = [row("recommender", "ndcg@10", 0.3, difference_low=0.05, difference_high=0.15)]
    found += [row(peer, "ndcg@10", 0.2), row("recommender", "recall@20", 0.5), row(peer, "recall@20", 0.0)]
    found += [row("recommender", "coverage@10", 0.4), row(peer, "coverage@10", 0.1)]
    return [*found, row("recommender", "ndcg@10", 0.9, slice="cold users", users=7)]


SUMMARY = {
    "batches": [
        {"query": "user_profiles", "rows_in": 9, "accepted": 9, "duplicate": 0, "rejected": 0},
        {"query": "events", "rows_in": 100, "accepted": 90, "duplicate": 7, "rejected": 3},
    ],
    "metrics": {"frozen": rows("popularity"), "streaming": rows("rolling popularity")},
}


def test_counts_and_speed_are_those_of_the_events_query() -> None:
    found = {f.metric: f for f in figures(SUMMARY, 4.0, 60.0)}
    assert [found[name].value for name in ("in", "accepted", "duplicate", "rejected")] == [100, 90, 7, 3]
    assert (found["events_per_s"].value, found["events_per_s"].seconds) == (25.0, 4.0)
    assert {f.rows for f in found.values()} == {100}


def test_quality_stands_beside_the_popularity_of_its_mode() -> None:
    found = [f for f in figures(SUMMARY, 4.0, 60.0) if "mode" in f.more]
    first, second = found[:4], found[4:]
    assert (
        [f.metric for f in first] == [f.metric for f in second] == ["test_users", "ndcg@10", "recall@20", "coverage@10"]
    )
    assert {f.peer for f in first[1:]} == {"popularity"}
    assert {f.peer for f in second[1:]} == {"rolling popularity"}
    assert (first[0].value, first[1].value, first[1].peer_value) == (53, 0.3, 0.2)
    assert first[1].ratio == pytest.approx(1.5)
    assert (first[1].more["low"], first[1].more["high"]) == (0.05, 0.15)
    assert first[2].ratio is None
    assert first[3].ratio == pytest.approx(4.0)
    assert first[3].more["low"] is None


@pytest.mark.parametrize("peer", ["oracle", "popularity of 7 days", "popularity of all days"])
def test_another_model_is_one_more_peer_without_an_interval(peer: str) -> None:
    known = [*rows("popularity"), row(peer, "ndcg@10", 0.6)]
    found = figures({**SUMMARY, "metrics": {"frozen": known, "streaming": []}}, 4.0, 60.0)
    (line,) = (f for f in found if f.peer == peer)
    assert (line.metric, line.value, line.peer_value) == ("ndcg@10", 0.3, 0.6)
    assert line.ratio == pytest.approx(0.5)
    assert line.more == {"mode": "frozen", "users": 53}


def test_a_mode_without_requests_has_no_lines() -> None:
    empty = {**SUMMARY, "metrics": {"frozen": rows("popularity"), "streaming": []}}
    assert {f.more["mode"] for f in figures(empty, 4.0, 60.0) if "mode" in f.more} == {"frozen"}


def test_the_first_stream_job_counts() -> None:
    lines = [{"event": "batch done", "job": "stream"}, {"event": "done", "job": "catalogue", "seconds": 1.0}]
    lines += [{"event": "done", "job": "stream", "seconds": s} for s in (8.5, 2.0)]
    assert stream_seconds([json.dumps(line) for line in lines]) == 8.5
    with pytest.raises(RecsysError, match="no stream job that ended"):
        stream_seconds([])
