"""A random log of 40 users over three days; every figure is worked out again in plain Python."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from recsys.config import EvaluateSettings, FeatureSettings, Settings, TopNSettings
from recsys.errors import NoDataError
from recsys.monitor.spark import (
    EVER,
    FROZEN,
    ROLLING,
    WEEK,
    evaluate_frozen,
    evaluate_streaming,
    popularity_lists,
)
from recsys.tables import EVENTS
from recsys.topn.spark import ModelPaths
from tests.topn.models import save_models, snapshot

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAY = date(2026, 3, 2)
START = datetime(2026, 3, 2, tzinfo=timezone.utc)
END = START + timedelta(days=1)
SETTINGS = Settings(
    features=FeatureSettings(k=64),
    topn=TopNSettings(n=4, candidates=30, popular=10),
    evaluate=EvaluateSettings(heavy=8, resamples=100, step_minutes=30),
)
Row = dict[str, Any]


def log() -> list[Row]:
    random = np.random.default_rng(0)
    rows: list[Row] = []
    for number in range(600):
        user = int(random.integers(40))
        minute = int(random.integers(-2 * 1440, 1440)) if user % 4 else int(random.integers(0, 1440))
        kind = ("click", "view", "impression")[int(random.integers(3))]
        item = f"i{min(int(random.exponential(8)), 29):02}"
        event = {"event_id": f"e{number:03}", "user_id": f"u{user:02}", "behaviour": kind, "item_id": item}
        rows.append({**event, "event_time": START + timedelta(minutes=minute), "quantity": 1})
    anonymous = {"event_id": "x", "behaviour": "click", "item_id": "i05", "event_time": START, "quantity": 1}
    return [*rows, anonymous]


ROWS = log()
CLICKS = [row for row in ROWS if row["behaviour"] == "click" and row.get("user_id")]


def history(user: str, before: datetime) -> set[str]:
    engaged = (r for r in ROWS if r.get("user_id") == user and r["behaviour"] != "impression")
    return {r["item_id"] for r in engaged if r["event_time"] < before}


def popular(moment: datetime, window: timedelta) -> list[str]:
    counts = Counter(r["item_id"] for r in CLICKS if moment - window <= r["event_time"] < moment)
    return sorted(counts, key=lambda item: (-counts[item], item))


def offered(ranking: list[str], seen: set[str]) -> list[str]:
    in_stock = [item for item in ranking if int(item[1:]) % 7 != 6]
    return [item for item in in_stock if item not in seen][:20]


@pytest.fixture(scope="module")
def events(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([tuple(row.get(n) for n in EVENTS.names) for row in ROWS], EVENTS.ddl).cache()


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> ModelPaths:
    catalogue = snapshot(28, int(START.timestamp()) * 1_000_000)  # i28 and i29 are not in it
    return save_models(tmp_path_factory.mktemp("models"), catalogue, SETTINGS)


def table(frame: DataFrame) -> dict[tuple[str, str, str], Row]:
    return {(r["model"], r["slice"], r["metric"]): r.asDict() for r in frame.collect()}


def test_frozen_mode_equals_plain_python(spark: SparkSession, events: DataFrame, paths: ModelPaths) -> None:
    truth: dict[str, set[str]] = {}
    for row in CLICKS:
        if START <= row["event_time"] < END:
            truth.setdefault(row["user_id"], set()).add(row["item_id"])
    truth = {user: left for user, items in truth.items() if (left := items - history(user, START))}
    known = spark.createDataFrame([(u, sorted(t)) for u, t in truth.items()], "user_id string, items array<string>")
    found = table(evaluate_frozen(events, DAY, paths, SETTINGS, {"truth": known}))
    for name, window in ((FROZEN, timedelta(hours=24)), (WEEK, timedelta(days=7)), (EVER, timedelta(days=9999))):
        ranking = popular(START, window)
        recalls = [len(t & set(offered(ranking, history(u, START)))) / len(t) for u, t in truth.items()]
        row = found[name, "all", "recall@20"]
        assert row["value"] == pytest.approx(np.mean(recalls))
        assert row["users"] == row["requests"] == len(truth)
    reachable = [len([i for i in t if int(i[1:]) % 7 != 6]) / len(t) for t in truth.values()]
    assert found["truth", "all", "recall@20"]["value"] == pytest.approx(np.mean(reachable))
    cold = sum(not history(user, START) for user in truth)
    assert found["recommender", "cold users", "ndcg@10"]["users"] == cold > 0
    parts = [found["recommender", part, "ndcg@10"]["users"] for part in ("cold users", "light users", "heavy users")]
    assert sum(parts) == len(truth)
    assert found["recommender", "all", "ndcg@10"]["versus"] == FROZEN
    assert 0 < found["recommender", "all", "coverage@10"]["value"] <= 1


def test_streaming_mode_knows_what_lies_strictly_before(events: DataFrame, paths: ModelPaths) -> None:
    found = table(evaluate_streaming(events, DAY, [(START, paths), (START + timedelta(hours=12), paths)], SETTINGS))
    hits: list[bool] = []
    for row in CLICKS:
        if START <= row["event_time"] < END and row["item_id"] not in history(row["user_id"], row["event_time"]):
            since = row["event_time"] - START
            moment = START + since - since % timedelta(minutes=30)
            seen = history(row["user_id"], row["event_time"])
            hits.append(row["item_id"] in offered(popular(moment, timedelta(hours=24)), seen)[:10])
    row = found[ROLLING, "all", "hit_rate@10"]
    assert row["requests"] == len(hits)
    assert row["value"] == pytest.approx(np.mean(hits))
    assert found["recommender", "all", "hit_rate@10"]["ratio"] > 0


def test_rolling_lists_are_those_of_their_moment(events: DataFrame) -> None:
    moments = [START + timedelta(minutes=30 * n) for n in range(48)]
    pool = popularity_lists(events, moments, timedelta(hours=24), SETTINGS)
    for moment, row in zip(moments, pool.lists, strict=True):
        assert [pool.ids[code] for code in row if code >= 0] == popular(moment, timedelta(hours=24))


def test_a_day_without_test_users_gives_no_rows(events: DataFrame, paths: ModelPaths) -> None:
    assert table(evaluate_frozen(events, DAY + timedelta(days=9), paths, SETTINGS)) == {}


def test_a_snapshot_that_is_too_new_is_refused(events: DataFrame, paths: ModelPaths) -> None:
    with pytest.raises(NoDataError, match="the first item snapshot is of 2026-03-02T01:00"):
        evaluate_streaming(events, DAY, [(START + timedelta(hours=1), paths)], SETTINGS)
