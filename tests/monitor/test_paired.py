"""Champion and challenger on the log of tests.monitor.test_spark; each NDCG is worked out again in plain Python."""

from __future__ import annotations

from datetime import timedelta
from math import log2
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from recsys.features.history import from_arrow
from recsys.monitor.metrics import ndcg_at
from recsys.registry.compare import Paired
from recsys.tables import EVENTS
from recsys.topn.recommend import recommend
from recsys.topn.spark import ModelPaths, load_models
from tests.monitor.test_spark import CLICKS, DAY, END, ROWS, SETTINGS, START, history
from tests.topn.models import save_models, snapshot

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

MICROS = int(START.timestamp()) * 1_000_000


@pytest.fixture(scope="module")
def events(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([tuple(row.get(n) for n in EVENTS.names) for row in ROWS], EVENTS.ddl).cache()


@pytest.fixture(scope="module")
def rivals(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelPaths, ModelPaths]:
    """Two models that know 26 and 10 of the items, with one snapshot."""
    folder: Path = tmp_path_factory.mktemp("rivals")
    (folder / "two").mkdir()
    one = save_models(folder, snapshot(28, MICROS), SETTINGS)
    two = save_models(folder / "two", snapshot(12, MICROS), SETTINGS)
    return one, ModelPaths(encoder=two.encoder, ranker=two.ranker, snapshot=one.snapshot)


def truths() -> dict[str, set[str]]:
    """What each user of the day clicked that was new to them."""
    found: dict[str, set[str]] = {}
    for row in CLICKS:
        if START <= row["event_time"] < END:
            found.setdefault(row["user_id"], set()).add(row["item_id"])
    return {user: left for user, items in found.items() if (left := items - history(user, START))}


def ndcg(listed: list[str], wanted: set[str]) -> float:
    gained = sum(1 / log2(place + 2) for place, item in enumerate(listed[:10]) if item in wanted)
    return gained / sum(1 / log2(place + 2) for place in range(min(10, len(wanted))))


def answered(requests: pa.Table, paths: ModelPaths) -> dict[int, list[str]]:
    """Ten items for each user, made in this process in one go."""
    models = load_models(paths, SETTINGS.features, SETTINGS.topn)
    recent = from_arrow(requests["recent"].combine_chunks(), tuple(SETTINGS.behaviours))
    topn = SETTINGS.topn.model_copy(update={"n": 10})
    catalogue = models.index.snapshot
    names, features = tuple(SETTINGS.behaviours), SETTINGS.features
    found = recommend(recent, MICROS, models.encoder, models.ranker, catalogue, names, features, topn, ahead=True)
    lists = found.to_arrow(catalogue.items).to_pylist()
    return {
        user: [one["item_id"] for one in row] for user, row in zip(requests["user"].to_pylist(), lists, strict=True)
    }


def test_values_are_those_of_lists_made_here(events: DataFrame, rivals: tuple[ModelPaths, ModelPaths]) -> None:
    from recsys.monitor.paired import paired_ndcg
    from recsys.monitor.spark import frozen_requests

    found: Paired = paired_ndcg(events, DAY, *rivals, SETTINGS)
    requests = frozen_requests(events, DAY, SETTINGS).select("user", "user_id", "recent").toArrow()
    wanted = truths()
    hashed = dict(zip(requests["user"].to_pylist(), requests["user_id"].to_pylist(), strict=True))
    assert {hashed[user] for user in found.user.tolist()} == wanted.keys()
    assert found.metric == "ndcg@10"
    for values, paths in ((found.challenger, rivals[0]), (found.champion, rivals[1])):
        lists = answered(requests, paths)
        expected = [ndcg(lists[user], wanted[hashed[user]]) for user in found.user.tolist()]
        assert values.tolist() == pytest.approx(expected)
        hit = np.asarray([[i in wanted[hashed[u]] for i in lists[u]] for u in found.user.tolist()], dtype=np.bool_)
        relevant = np.asarray([len(wanted[hashed[user]]) for user in found.user.tolist()], dtype=np.int64)
        np.testing.assert_allclose(values, ndcg_at(hit, relevant, 10))
        assert 0 < values.mean() < 1
    assert not np.allclose(found.challenger, found.champion)


def test_equal_models_have_equal_values_and_a_day_without_users_none(
    events: DataFrame, rivals: tuple[ModelPaths, ModelPaths]
) -> None:
    from recsys.monitor.paired import paired_ndcg

    found = paired_ndcg(events, DAY, rivals[0], rivals[0], SETTINGS)
    np.testing.assert_array_equal(found.challenger, found.champion)
    assert len(found.user) == len(truths())
    empty = paired_ndcg(events, DAY + timedelta(days=9), *rivals, SETTINGS)
    assert [len(values) for values in (empty.user, empty.challenger, empty.champion)] == [0, 0, 0]
