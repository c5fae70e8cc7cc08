"""Item snapshots: the catalogue with its features at a full hour, as files that every process can read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.config import Settings
from recsys.features.definitions import item_features_of
from recsys.features.feature import Feature
from recsys.features.item_feature import lifelong, reach
from recsys.features.spark import item_features, snapshot
from recsys.io import View
from recsys.tables import EVENTS, ITEMS


def history(events: DataFrame, first: datetime, last: datetime, features: Sequence[Feature]) -> DataFrame:
    """What the features of hours in [first, last] rest on: their reach of events, and each older item's first event.

    With a feature of the item's whole life: all events before `last`.
    """
    columns = ["item_id", "event_time", "behaviour", "price_minor", "quantity", "user_id"]
    past = events.where((F.col("event_date") <= F.lit(last.date())) & (F.col("event_time") < F.lit(last)))
    if lifelong(features):
        return past.select(*columns)
    low: date = (first - timedelta(microseconds=reach(features)) - timedelta(days=1)).date()
    born = past.where(F.col("event_date") < F.lit(low)).groupBy("item_id").agg(F.min("event_time").alias("event_time"))
    nobody = F.lit(None).cast("string")
    older = born.withColumns({"behaviour": F.lit(""), "price_minor": F.lit(0), "quantity": F.lit(0), "user_id": nobody})
    return past.where(F.col("event_date") >= F.lit(low)).select(*columns).unionByName(older.select(*columns))


def write_snapshots(
    view: View, hours: Sequence[datetime], settings: Settings, folder: str
) -> list[tuple[datetime, str]]:
    """A snapshot file for each of the ascending full hours (UTC); returns (hour, path) in order.

    Each knows what lies strictly before its hour.
    """
    frame = view.warehouse.spark.createDataFrame([(hour,) for hour in hours], "hour timestamp")
    items = view.read(ITEMS)
    past = history(view.read(EVENTS), hours[0], hours[-1], item_features_of(settings.features))
    features = item_features(past, items, frame, settings).persist(StorageLevel.MEMORY_AND_DISK)
    written = []
    try:
        for hour in hours:
            path = Path(folder) / f"{hour:%Y-%m-%dT%H}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            snapshot(features, items, hour, settings.features).save(path)
            written.append((hour, str(path)))
    finally:
        features.unpersist()
    return written
