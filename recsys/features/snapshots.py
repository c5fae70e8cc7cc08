"""Item snapshots: the catalogue with its features at a full hour, as files that every process can read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.config import Settings
from recsys.features.spark import item_features, snapshot
from recsys.io import View
from recsys.tables import EVENTS, ITEMS

REACH = timedelta(days=7)


def history(events: DataFrame, first: datetime, last: datetime) -> DataFrame:
    """What the item features of hours in [first, last] rest on: REACH of events, and each older item's first event."""
    columns = ("item_id", "event_time", "behaviour", "price_minor", "quantity")
    low: date = (first - REACH - timedelta(days=1)).date()
    past = events.where((F.col("event_date") <= F.lit(last.date())) & (F.col("event_time") < F.lit(last)))
    born = past.where(F.col("event_date") < F.lit(low)).groupBy("item_id").agg(F.min("event_time").alias("event_time"))
    older = born.withColumns({"behaviour": F.lit(""), "price_minor": F.lit(0), "quantity": F.lit(0)})
    return past.where(F.col("event_date") >= F.lit(low)).select(*columns).unionByName(older.select(*columns))


def write_snapshots(
    view: View, hours: Sequence[datetime], settings: Settings, folder: str
) -> list[tuple[datetime, str]]:
    """A snapshot file for each of the ascending full hours (UTC); returns (hour, path) in order.

    Each knows what lies strictly before its hour.
    """
    frame = view.warehouse.spark.createDataFrame([(hour,) for hour in hours], "hour timestamp")
    items = view.read(ITEMS)
    past = history(view.read(EVENTS), hours[0], hours[-1])
    features = item_features(past, items, frame, settings).persist(StorageLevel.MEMORY_AND_DISK)
    written = []
    try:
        for hour in hours:
            path = Path(folder) / f"{hour:%Y-%m-%dT%H}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            snapshot(features, items, hour).save(path)
            written.append((hour, str(path)))
    finally:
        features.unpersist()
    return written
