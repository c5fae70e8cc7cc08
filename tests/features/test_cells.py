"""Sketches of an item's users: their error, and that neither order nor cut of the events changes them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from random import Random
from typing import TYPE_CHECKING

import pytest

from recsys.config import FeatureSettings, ItemFeature, Settings
from recsys.features.definitions import item_features_of
from tests.features.item_oracle import DEVIATION

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

HOUR = datetime(2026, 3, 2, 12, tzinfo=timezone.utc)
DAY = ItemFeature(operation="distinct_users", window="1d")
VIEWS = ItemFeature(operation="distinct_users", behaviour="view", window="2h")
SETTINGS = Settings(features=FeatureSettings(item=(DAY, VIEWS)))
FEATURES = item_features_of(SETTINGS.features)
NAMES = ("item_engaged_distinct_users_1d", "item_view_distinct_users_2h")
USERS = {"one": 1, "few": 90, "some": 420, "many": 6000}  # item -> its users; each comes about twice


def rows(spark: SparkSession, seed: int) -> DataFrame:
    """Events of the day before HOUR in an order of their own; the impressions and those without user never count."""
    random = Random(3)
    made: list[tuple[str, datetime, str, str | None]] = []
    for item, users in USERS.items():
        for number in range(2 * users):
            user, ago = f"{item}{number % users}", timedelta(minutes=random.randrange(1, 24 * 60))
            made.append((item, HOUR - ago, random.choice(["view", "click"]), user))
        made += [(item, HOUR - timedelta(minutes=n + 1), "view", None) for n in range(5)]
        made.append((item, HOUR - timedelta(minutes=9), "impression", "nobody"))
    Random(seed).shuffle(made)
    schema = "item_id string, event_time timestamp, behaviour string, user_id string"
    return spark.createDataFrame(made, schema).selectExpr("*", "10 AS price_minor", "1 AS quantity")


def counted(spark: SparkSession, history: DataFrame) -> dict[str, tuple[int | None, ...]]:
    from pyspark.sql import functions as F

    from recsys.features.cells import cells, distinct_users

    asked = spark.createDataFrame([([HOUR],)], "hours array<timestamp>")
    ends = {"begin": F.lit(HOUR), "end": F.lit(HOUR)}
    found = distinct_users(cells(history, FEATURES).withColumns(ends), asked, FEATURES, SETTINGS)
    return {row["item_id"]: (row[NAMES[0]], row[NAMES[1]]) for row in found.collect()}


def tiles(parts: list[DataFrame], users: bool = True) -> DataFrame:
    from functools import reduce

    from pyspark.sql import DataFrame

    from recsys.events.ingest import item_tiles
    from recsys.io import Commit

    made = [item_tiles(part, 5, Commit(query="q", epoch=0, batch=n), users) for n, part in enumerate(parts)]
    return reduce(DataFrame.unionByName, made)


@pytest.fixture(scope="module")
def told(spark: SparkSession) -> dict[str, tuple[int | None, ...]]:
    return counted(spark, rows(spark, 1).coalesce(1))


def test_estimates_err_by_no_more_than_their_bound(
    spark: SparkSession, told: dict[str, tuple[int | None, ...]]
) -> None:
    two_hours = f"event_time >= TIMESTAMP '{HOUR - timedelta(hours=2):%Y-%m-%d %H:%M:%S} UTC'"
    exact = _exact(rows(spark, 1), two_hours)
    assert {item: values[0] for item, values in exact.items()} == USERS
    for item, wanted in exact.items():
        for found, true in zip(told[item], wanted, strict=True):
            assert found is not None
            assert abs(found - true) <= (0 if true <= 100 else 4 * DEVIATION * true), (item, found, true)


def _exact(events: DataFrame, two_hours: str) -> dict[str, tuple[int, int]]:
    from pyspark.sql import functions as F

    day = F.expr("count(DISTINCT user_id) FILTER (WHERE behaviour <> 'impression')").alias("day")
    views = F.expr(f"count(DISTINCT user_id) FILTER (WHERE behaviour = 'view' AND {two_hours})").alias("views")
    return {row["item_id"]: (row["day"], row["views"]) for row in events.groupBy("item_id").agg(day, views).collect()}


def test_neither_order_nor_batches_nor_tiles_change_an_estimate(
    spark: SparkSession, told: dict[str, tuple[int | None, ...]]
) -> None:
    other = rows(spark, 2)
    parts = [other.where(f"abs(hash(user_id, event_time)) % 3 = {n}").repartition(2) for n in range(3)]
    assert counted(spark, tiles([*parts[1:], parts[0].unionByName(other.where("user_id IS NULL"))])) == told


def test_tiles_that_were_written_without_sketches_leave_the_number_unknown(spark: SparkSession) -> None:
    few = rows(spark, 1).where("item_id = 'few'")
    late = few.where(f"event_time >= TIMESTAMP '{HOUR - timedelta(hours=2):%Y-%m-%d %H:%M:%S} UTC'")
    early = few.exceptAll(late)
    mixed = tiles([early], users=False).unionByName(tiles([late]), allowMissingColumns=True)
    ((day, views),) = counted(spark, mixed).values()
    assert day is None
    assert views is not None
    assert views > 0
