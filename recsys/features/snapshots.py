"""Item snapshots: the catalogue with its features at a full hour, as files that every process can read."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pyarrow.dataset as ds
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.config import Settings
from recsys.days import micros
from recsys.errors import NoDataError
from recsys.features.definitions import item_features_of
from recsys.features.feature import Feature
from recsys.features.item import from_table
from recsys.features.item_feature import lifelong, reach
from recsys.features.spark import item_features, snapshots
from recsys.io import View
from recsys.tables import EVENTS, ITEMS

NAME = "snapshot"  # column of the hour's name in the rows that become files


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

    Each knows what lies strictly before its hour. Executors write the rows of all hours at once, below `folder`; the
    driver makes one file after the other: whoever ranks holds one in memory, so a catalogue that the driver could not
    hold could not be served either. Raises NoDataError: the catalogue holds no item at an hour.
    """
    frame = view.warehouse.spark.createDataFrame([(hour,) for hour in hours], "hour timestamp")
    items, declared = view.read(ITEMS), item_features_of(settings.features)
    past = history(view.read(EVENTS), hours[0], hours[-1], declared)
    rows = snapshots(item_features(past, items, frame, settings), items, frame, settings.features)
    draft = Path(folder).absolute() / f".rows-{uuid4().hex}"
    draft.parent.mkdir(parents=True, exist_ok=True)
    named = rows.withColumn(NAME, F.date_format("hour", "yyyy-MM-dd'T'HH")).drop("hour").repartition(NAME)
    try:
        named.write.partitionBy(NAME).parquet(draft.as_uri())
        return [(hour, _write(hour, draft, Path(folder), declared)) for hour in hours]
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write(hour: datetime, rows: Path, folder: Path, declared: tuple[Feature, ...]) -> str:
    name = f"{hour:%Y-%m-%dT%H}"
    found = rows / f"{NAME}={name}"
    if not found.is_dir():
        raise NoDataError(
            f"`items` holds no item that is valid at {hour.isoformat()}; run jobs/catalogue.py for that day."
        )
    path = folder / f"{name}.parquet"
    from_table(ds.dataset(found, format="parquet").to_table(), micros(hour), declared).save(path)
    return str(path)
