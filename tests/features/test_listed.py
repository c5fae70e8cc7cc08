"""What the catalogue says of an item at an hour. Expected values are worked by hand."""

from __future__ import annotations

from datetime import datetime, timezone
from math import log
from typing import TYPE_CHECKING, Any

import pytest

from recsys.config import FeatureSettings
from recsys.features.definitions import ITEM_FEATURES, item_features_table
from recsys.tables import ITEMS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def utc(day: int, hour: int = 0, month: int = 3) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=timezone.utc)


SPANS: list[tuple[str, int | None, datetime, datetime | None, float | None]] = [  # the last: ratio
    ("a", 399, utc(1, month=1), utc(5, month=1), 0.0),
    ("a", 199, utc(5, month=1), utc(4), log(200 / 400)),
    ("a", 99, utc(4), utc(6), log(100 / 200)),  # 399 ended more than 30 days before
    ("a", 199, utc(6), utc(7), 0.0),
    ("a", 299, utc(7), None, 0.0),
    ("b", None, utc(1), utc(8), None),
    ("b", 50, utc(8), None, 0.0),
    ("left", 10, utc(1), utc(2), 0.0),
]


@pytest.fixture(scope="module")
def items(spark: SparkSession) -> DataFrame:
    rows = [
        {"item_id": item, "price_minor": price, "in_stock": True, "valid_from": low, "valid_to": high}
        for item, price, low, high, _ in SPANS
    ]
    return spark.createDataFrame([tuple(row.get(name) for name in ITEMS.names) for row in rows], ITEMS.ddl).cache()


def test_prices_beside_the_highest_of_thirty_days(items: DataFrame) -> None:
    from recsys.features.listed import priced

    found = {
        (row["item_id"], row["valid_from"]): (row["item_price_minor"], row["item_price_ratio_30d"])
        for row in priced(items).collect()
    }
    assert len(found) == len(SPANS)
    for item, price, since, _, wanted in SPANS:
        told, ratio = found[item, since.replace(tzinfo=None)]
        assert told == price
        assert ratio == (None if wanted is None else pytest.approx(wanted))


def test_an_hour_has_the_span_that_holds_then_and_defaults_where_nothing_happened(
    spark: SparkSession, items: DataFrame
) -> None:
    from recsys.features.listed import described

    hours = [utc(1), utc(2), utc(4), utc(5, 23), utc(6), utc(9)]
    asked = [(item, hour, n) for item in ("a", "b", "left", "unheard") for n, hour in enumerate(hours)]
    rows = spark.createDataFrame(asked, "item_id string, hour timestamp, n int")
    counted: dict[str, Any] = {"item_id": "a", "hour": utc(6), "day": utc(6).date(), "item_engaged_count_1h": 3}
    counted |= {"item_price_minor": -1.0, "item_price_ratio_30d": -1.0}  # of another catalogue
    columns = item_features_table(FeatureSettings())
    table = [tuple(counted.get(name) for name in columns.names)]
    found = described(rows, items, spark.createDataFrame(table, columns.ddl), ITEM_FEATURES).collect()
    prices = {(row["item_id"], row["n"]): row["item_price_minor"] for row in found}
    assert prices == {
        ("a", 0): 199, ("a", 1): 199, ("a", 2): 99, ("a", 3): 99, ("a", 4): 199, ("a", 5): 299,
        ("b", 0): None, ("b", 1): None, ("b", 2): None, ("b", 3): None, ("b", 4): None, ("b", 5): 50,
        ("left", 0): 10,
    }  # fmt: skip
    for row in found:
        busy = (row["item_id"], row["n"]) == ("a", 4)
        assert row["item_engaged_count_1h"] == (3 if busy else 0)
        for feature in ITEM_FEATURES:
            if feature.default is not None and feature.name != "item_engaged_count_1h":
                assert row[feature.name] == feature.default
