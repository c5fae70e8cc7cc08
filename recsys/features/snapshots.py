"""Item snapshots: the catalogue with its features at a full hour, as files that every process can read."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pyarrow.dataset as ds
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.config import Settings
from recsys.days import micros, microseconds
from recsys.errors import NoDataError
from recsys.features.definitions import item_features_of
from recsys.features.feature import Feature
from recsys.features.item import from_table
from recsys.features.item_feature import lifelong, reach
from recsys.features.spark import item_features, snapshots
from recsys.io import View
from recsys.tables import EVENTS, ITEMS

NAME = "snapshot"  # column of the hour's name in the rows that become files


def history(
    events: DataFrame,
    first: datetime,
    last: datetime,
    features: Sequence[Feature],
    whole: datetime | None = None,
    only: DataFrame | None = None,
) -> DataFrame:
    """What the features of hours in [first, last] rest on: their reach of events, and each older item's first event.

    With a feature of the item's whole life: all events before `last`. With `only` (columns item_id, day) and else,
    hours before `whole` are asked of its items alone, each from its first day on: other items' reach begins at `whole`.
    """
    columns = ["item_id", "event_time", "behaviour", "price_minor", "quantity", "user_id"]
    past = events.where((F.col("event_date") <= F.lit(last.date())) & (F.col("event_time") < F.lit(last)))
    if lifelong(features):
        return past.select(*columns)
    back = -(-reach(features) // microseconds("1d")) + 1
    lowest, low = (moment.date() - timedelta(days=back) for moment in (first, whole or first))
    own = F.lit(low)
    if only is not None:
        days = only.groupBy("item_id").agg(F.date_sub(F.min("day"), back).alias("low"))
        # Items that something came late for: far fewer than there are, and events need not be shuffled for them.
        past = past.join(F.broadcast(days), "item_id", "left")
        own = F.least(F.coalesce("low", own), own)
    near = past.where((F.col("event_date") >= F.lit(lowest)) & (F.col("event_date") >= own))
    far = past.where((F.col("event_date") < F.lit(low)) & (F.col("event_date") < own))
    born = far.groupBy("item_id").agg(F.min("event_time").alias("event_time"))
    nobody = F.lit(None).cast("string")
    older = born.withColumns({"behaviour": F.lit(""), "price_minor": F.lit(0), "quantity": F.lit(0), "user_id": nobody})
    return near.select(*columns).unionByName(older.select(*columns))


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
