"""Features of items in Spark: the NumPy functions run on executors by `mapInArrow`.

Shape letters: R rows of an Arrow batch, H hours, I items of a slice, T tiles, P = I x H points.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.config import FeatureSettings, Settings
from recsys.features import cells as cells_
from recsys.features.definitions import item_features_of, item_rows
from recsys.features.feature import Feature
from recsys.features.history import F64, I64, Points
from recsys.features.item_feature import DISTINCT, lifelong, reach, shares_of
from recsys.features.listed import PRICES, described, priced
from recsys.features.tiles import Tiles, present
from recsys.features.tiles import item_features as compute_item_features
from recsys.features.windows import Bool, first_after

POINTS = 100_000  # (item, hour) pairs computed at once, which bounds a worker's memory
UTC_US = pa.timestamp("us", tz="UTC")
Batches = Iterator[pa.RecordBatch]


def item_features(
    history: DataFrame,
    items: DataFrame,
    hours: DataFrame,
    settings: Settings,
    whole_catalogue: bool = False,
    features: tuple[Feature, ...] = (),
    only: DataFrame | None = None,
) -> DataFrame:
    """The rows of definitions.item_rows for each item and each of `hours` (column `hour`, whole hours).

    `history` is `events` or `item_tiles` (partial rows are summed), `items` the catalogue; `features` default to all of
    the settings. A pair gets a row if the item has an event in the longest window before the hour or, with
    `whole_catalogue`, is in the catalogue at the hour. With `only` (columns item_id, day), hours whose column `whole`
    is false are computed of its items alone, on its UTC days.
    A worker holds its items' cells from that window before the first hour to the last, and POINTS results.
    """
    features = features or item_features_of(settings.features)
    rows = cells_.cells(history, features)
    asked = F.broadcast(hours.agg(F.array_sort(F.collect_set("hour")).alias("hours")))
    near = F.when(cells_.inside(F.col("begin"), reach(features)), F.struct("cell", "behaviour", *cells_.SUMS))
    lists = [F.array_sort(F.collect_list(near))]
    lists = [cells_.older(reach(features), settings), *lists] if lifelong(features) else lists
    own = _bounded(rows, hours, only)
    tiles = own.groupBy("item_id").agg(
        F.date_trunc("hour", F.min("cell")).alias("first"), F.concat(*lists).alias("tiles")
    )
    joined = tiles.join(_spans(items), "item_id", "full_outer" if whole_catalogue else "left").crossJoin(asked)
    joined = joined if only is None else _narrowed(joined, hours, only)
    if shares_of(features):
        joined = joined.crossJoin(F.broadcast(cells_.everyone(rows, hours, features, settings)))
    task = partial(_item_rows, settings, features, whole_catalogue)
    computed = tuple(f for f in features if f.operation != DISTINCT)
    found = joined.mapInArrow(task, item_rows(computed).ddl)
    if computed == features:
        return found
    users = cells_.distinct_users(own, asked, features, settings).withColumn("counted", F.lit(True))
    lacking = [f.name for f in features if f not in computed]
    counts = {name: F.when(F.col("counted").isNull(), 0).otherwise(F.col(name)) for name in lacking}
    return found.join(users, ["item_id", "hour"], "left").withColumns(counts).select(*item_rows(features).names)


def _spans(items: DataFrame) -> DataFrame:
    span = F.struct("valid_from", "valid_to", *PRICES)
    return priced(items).groupBy("item_id").agg(F.array_sort(F.collect_list(span)).alias("spans"))


def _bounded(rows: DataFrame, hours: DataFrame, only: DataFrame | None) -> DataFrame:
    """Each cell that lies before an hour its item is computed at, with the first and last (or later) of these hours.

    Of most items a patch computes one day: without its own bounds, each would drag the cells of all days along.
    """
    whole = hours.where("whole") if only is not None else hours
    ends = F.broadcast(whole.agg(F.min("hour").alias("begin"), F.max("hour").alias("end")))
    bounded = rows.crossJoin(ends)
    if only is not None:
        days = only.groupBy("item_id").agg(F.min("day").alias("first_day"), F.max("day").alias("last_day"))
        begin = F.least("begin", F.col("first_day").cast("timestamp"))
        end = F.greatest("end", F.date_add("last_day", 1).cast("timestamp"))
        bounded = bounded.join(days, "item_id", "left").withColumns({"begin": begin, "end": end})
    return bounded.where(F.col("cell") < F.col("end"))


def _narrowed(joined: DataFrame, hours: DataFrame, only: DataFrame) -> DataFrame:
    """Each item with its own `hours`; items without any are left out."""
    whole = hours.agg(F.array_sort(F.collect_set(F.when(F.col("whole"), F.col("hour")))).alias("whole"))
    days = only.groupBy("item_id").agg(F.collect_set("day").alias("days"))
    own = joined.join(days, "item_id", "left").crossJoin(F.broadcast(whole))
    # Spark filters arrays slowly, and most items are not among `only`.
    wanted = F.filter("hours", lambda h: F.array_contains("whole", h) | F.array_contains("days", F.to_date(h)))
    mine = own.withColumn("hours", F.when(F.col("days").isNull(), F.col("whole")).otherwise(wanted))
    return mine.where((F.size("whole") > 0) | F.col("days").isNotNull()).drop("days", "whole")


def _item_rows(settings: Settings, features: tuple[Feature, ...], whole: bool, batches: Batches) -> Batches:
    for batch in batches:
        _, offsets = _flat(batch.column("hours"))
        step = max(1, POINTS // max(1, int(np.diff(offsets).max(initial=0))))
        for low in range(0, batch.num_rows, step):
            yield _item_slice(batch.slice(low, step), settings, features, whole)


def _item_slice(
    batch: pa.RecordBatch, settings: Settings, features: tuple[Feature, ...], whole: bool
) -> pa.RecordBatch:
    behaviours = tuple(settings.behaviours)
    cells, offsets = _flat(batch.column("tiles"))
    codes = pc.index_in(cells.field("behaviour"), value_set=pa.array(behaviours)).fill_null(-1)
    events, pieces, revenue = (cells.field(name).to_numpy(zero_copy_only=False) for name in cells_.SUMS)
    tiles = Tiles(
        offsets=offsets,
        tile=_micros(cells.field("cell")),
        behaviour=codes.to_numpy(zero_copy_only=False).astype(np.int8),
        events=events,
        pieces=pieces,
        revenue=revenue,
    )
    hours, asked = _flat(batch.column("hours"))
    each, at = np.repeat(np.arange(batch.num_rows), np.diff(asked)), _micros(hours)
    of_all = _of_all(batch, at, features)
    prices, listed = _listed(batch, each, at)
    first = batch.column("first").cast(pa.int64()).fill_null(np.iinfo(np.int64).max)
    points = Points(start=offsets[:-1][each], end=offsets[1:][each], at=at)
    values = compute_item_features(
        tiles, points, behaviours, settings.engaged(), prices, first.to_numpy()[each], of_all, features
    )
    there = present(tiles, points, None if lifelong(features) else reach(features))
    keep = np.flatnonzero(there | (listed & whole))
    moments = pa.array(at[keep], pa.int64()).cast(UTC_US)
    arrays = [pa.array(column[keep], from_pandas=True) for column in values.values()]
    return pa.RecordBatch.from_arrays(
        [batch.column("item_id").take(pa.array(each[keep])), moments, moments.cast(pa.date32()), *arrays],
        names=[*item_rows(()).names, *values],
    )


def _of_all(batch: pa.RecordBatch, at: I64, features: tuple[Feature, ...]) -> dict[str, I64]:
    """The counts over all items at the hours `at` [P], by the share's name. They are the same in each row."""
    shares = shares_of(features)
    if not shares or not len(at):
        return {f.name: np.zeros(len(at), dtype=np.int64) for f in shares}
    every = batch.column("everyone").slice(0, 1).flatten()
    place = np.searchsorted(_micros(every.field("hour")), at)
    return {f.name: every.field(f.name).to_numpy(zero_copy_only=False)[place] for f in shares}


def _listed(batch: pa.RecordBatch, each: I64, at: I64) -> tuple[dict[str, F64], Bool]:
    """PRICES at the hour ([P] each, NaN: unknown), and whether the catalogue holds the item then."""
    spans, offsets = _flat(batch.column("spans"))
    opened = _micros(spans.field("valid_from"))
    closed = spans.field("valid_to").cast(pa.int64()).fill_null(np.iinfo(np.int64).max).to_numpy(zero_copy_only=False)
    row = first_after(opened, offsets[:-1][each], offsets[1:][each], at) - 1
    inside = row >= offsets[:-1][each]
    if not len(opened):
        return {name: np.full(len(at), np.nan) for name in PRICES}, inside
    listed = inside & (closed[row] > at)
    prices = {name: spans.field(name).to_numpy(zero_copy_only=False)[row] for name in PRICES}
    return {name: np.where(listed, values, np.nan) for name, values in prices.items()}, listed


def _flat(lists: pa.ListArray) -> tuple[pa.Array, I64]:
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    return lists.flatten(), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _micros(times: pa.Array) -> I64:
    return np.asarray(times.cast(UTC_US).cast(pa.int64()), dtype=np.int64)


def snapshots(features: DataFrame, items: DataFrame, hours: DataFrame, settings: FeatureSettings) -> DataFrame:
    """The catalogue at each of `hours` (column `hour`, whole hours) and its `features` of then (item_features' rows).

    Columns: hour, and those that item.from_table reads. An item that is listed then but has no row in `features` gets
    each feature's default.
    """
    declared = item_features_of(settings)
    every = items.select("item_id").distinct().crossJoin(F.broadcast(hours))
    return described(every, items, features, declared).select(
        "hour",
        "item_id",
        "price_minor",
        "category",
        "title",
        F.coalesce("in_stock", F.lit(True)).alias("in_stock"),
        *(f.name for f in declared),
    )
