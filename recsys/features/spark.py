"""Features in Spark: the users' state as a native aggregation; the NumPy functions run on executors by `mapInArrow`.

Shape letters: R rows of an Arrow batch, H hours, I items of a slice, T tiles, P = I x H points.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.config import FeatureSettings, Settings
from recsys.days import micros
from recsys.errors import NoDataError
from recsys.features.definitions import ITEM_FEATURES, ITEM_FEATURES_FULL, user_features_of
from recsys.features.history import F64, I64, Points, at_end, from_arrow
from recsys.features.item import Crowd, ItemSnapshot, Tiles, from_table
from recsys.features.item import item_features as compute_item_features
from recsys.features.listed import PRICES, described, priced
from recsys.features.user import user_features
from recsys.features.windows import Bool, first_after
from recsys.tables import RECENT_FIELDS

POINTS = 100_000  # (item, hour) pairs computed at once, which bounds a worker's memory
UTC_US = pa.timestamp("us", tz="UTC")
Batches = Iterator[pa.RecordBatch]


def profile_state(events: DataFrame, settings: Settings) -> DataFrame:
    """One row a user: user_id, as_of, recent, counts, spend_minor, first_time, truncated as in tables.USER_PROFILES.

    A native aggregation without user code, for batch and for streaming in update mode. Each row is a function of the
    set of the user's events, so neither their order nor their batches change it. Anonymous events are left out.
    """
    fields = ", ".join(RECENT_FIELDS)
    engaged = ", ".join(f"'{name}'" for name in settings.engaged()) or "NULL"
    newest = f"max_by(struct({fields}), struct(event_time, event_id), {settings.features.k})"  # descending; NULL: none
    names = list(settings.behaviours)
    grouped = events.where("user_id IS NOT NULL").groupBy("user_id")
    state = grouped.agg(
        F.max("event_time").alias("as_of"),
        F.expr(f"{newest} FILTER (WHERE behaviour IN ({engaged}))").alias("newest"),
        F.min("event_time").alias("first_time"),
        F.expr("sum(price_minor * coalesce(quantity, 1)) FILTER (WHERE behaviour = 'purchase')").alias("spend"),
        *(F.count_if(F.col("behaviour") == name).alias(f"count_{code}") for code, name in enumerate(names)),
    )
    kept = [F.col(f"count_{code}") for code, name in enumerate(names) if name in settings.engaged()]
    recent = F.coalesce(F.reverse("newest"), F.array())
    return state.select(
        "user_id",
        "as_of",
        recent.alias("recent"),
        F.map_from_arrays(
            F.array(*map(F.lit, names)), F.array(*(F.col(f"count_{code}") for code in range(len(names))))
        ).alias("counts"),
        F.coalesce("spend", F.lit(0)).alias("spend_minor"),
        "first_time",
        (sum(kept, F.lit(0)) > F.size(recent)).alias("truncated"),
    )


def with_user_features(state: DataFrame, settings: Settings, constants: Mapping[str, int] | None = None) -> DataFrame:
    """The state with a column for each feature of users, true at the row's `as_of`; NaN becomes NULL.

    `constants` become columns too. Were they literals of the plan, Spark would generate and compile the code of all
    these columns anew for each batch.
    """
    more = dict(constants or {})
    added = (f"`{f.name}` {f.type}" for f in user_features_of(settings.features))
    schema = ", ".join([state.schema.toDDL(), *added, *(f"`{name}` bigint" for name in more)])
    return state.mapInArrow(partial(_add_user_features, tuple(settings.behaviours), settings.features, more), schema)


def user_profiles(events: DataFrame, settings: Settings) -> DataFrame:
    """The rows of definitions.profiles_table, without epoch and batch: `profile_state`, then `with_user_features`."""
    return with_user_features(profile_state(events, settings), settings)


def _add_user_features(
    behaviours: tuple[str, ...], settings: FeatureSettings, constants: Mapping[str, int], batches: Batches
) -> Batches:
    features = user_features_of(settings)
    for batch in batches:
        history = from_arrow(batch.column("recent"), behaviours)
        values = user_features(history, at_end(history, _micros(batch.column("as_of"))), behaviours, settings)
        arrays = [pa.array(values[f.name], from_pandas=True) for f in features]
        arrays += [pa.repeat(pa.scalar(value, pa.int64()), batch.num_rows) for value in constants.values()]
        names = [*batch.schema.names, *(f.name for f in features), *constants]
        yield pa.RecordBatch.from_arrays([*batch.columns, *arrays], names=names)


def item_features(
    history: DataFrame, items: DataFrame, hours: DataFrame, settings: Settings, whole_catalogue: bool = False
) -> DataFrame:
    """The rows of ITEM_FEATURES_FULL for each item and each of `hours` (column `hour`, whole hours).

    `history` is `events` or `item_tiles` (partial rows are summed), `items` the catalogue. A pair gets a row if the
    item has an event in the 7 days before the hour or, with `whole_catalogue`, is in the catalogue at the hour. A
    worker holds its items' hourly counts from 7 days before the first hour to the last, and POINTS results.
    """
    hourly = _hourly(history)
    asked = F.broadcast(hours.agg(F.array_sort(F.collect_set("hour")).alias("hours")))
    inside = F.col("hour") >= F.array_min("hours") - F.expr("INTERVAL 7 DAYS")
    cell = F.struct("hour", "behaviour", "events", "revenue_minor")
    engaged = hourly.where(F.col("behaviour").isin(*settings.engaged())).groupBy("hour").agg(F.sum("events").alias("n"))
    everyone = F.broadcast(engaged.agg(F.array_sort(F.collect_list(F.struct("hour", "n"))).alias("everyone")))
    tiles = (
        hourly.crossJoin(asked)
        .where(F.col("hour") < F.array_max("hours"))
        .groupBy("item_id")
        .agg(F.min("hour").alias("first"), F.array_sort(F.collect_list(F.when(inside, cell))).alias("tiles"))
    )
    spans = (
        priced(items)
        .groupBy("item_id")
        .agg(F.array_sort(F.collect_list(F.struct("valid_from", "valid_to", *PRICES))).alias("spans"))
    )
    joined = tiles.join(spans, "item_id", "full_outer").crossJoin(asked).crossJoin(everyone)
    task = partial(_item_rows, tuple(settings.behaviours), settings.engaged(), whole_catalogue)
    return joined.mapInArrow(task, ITEM_FEATURES_FULL.ddl)


def _hourly(history: DataFrame) -> DataFrame:
    if "tile" in history.columns:
        cells = history.select("item_id", "behaviour", F.col("tile").alias("time"), "events", "revenue_minor")
    else:
        revenue = (F.col("price_minor") * F.coalesce("quantity", F.lit(1))).alias("revenue_minor")
        cells = history.select(
            "item_id", "behaviour", F.col("event_time").alias("time"), F.lit(1).alias("events"), revenue
        )
    return (
        cells.where("item_id IS NOT NULL")
        .groupBy("item_id", "behaviour", F.date_trunc("hour", "time").alias("hour"))
        .agg(F.sum("events").alias("events"), F.coalesce(F.sum("revenue_minor"), F.lit(0)).alias("revenue_minor"))
    )


def _item_rows(behaviours: tuple[str, ...], engaged: tuple[str, ...], whole: bool, batches: Batches) -> Batches:
    for batch in batches:
        if not batch.num_rows or batch.column("hours")[0].as_py() is None:
            continue
        hours = _micros(batch.column("hours").slice(0, 1).flatten())
        every = batch.column("everyone").slice(0, 1).flatten()
        everyone = Crowd(tile=_micros(every.field("hour")), events=every.field("n").to_numpy(zero_copy_only=False))
        step = max(1, POINTS // max(1, len(hours)))
        for low in range(0, batch.num_rows, step):
            yield _item_slice(batch.slice(low, step), hours, everyone, behaviours, engaged, whole)


def _item_slice(
    batch: pa.RecordBatch,
    hours: I64,
    everyone: Crowd,
    behaviours: tuple[str, ...],
    engaged: tuple[str, ...],
    whole: bool,
) -> pa.RecordBatch:
    cells, offsets = _flat(batch.column("tiles"))
    codes = pc.index_in(cells.field("behaviour"), value_set=pa.array(behaviours)).fill_null(-1)
    tiles = Tiles(
        offsets=offsets,
        tile=_micros(cells.field("hour")),
        behaviour=codes.to_numpy(zero_copy_only=False).astype(np.int8),
        events=cells.field("events").to_numpy(zero_copy_only=False),
        revenue=cells.field("revenue_minor").to_numpy(zero_copy_only=False),
    )
    each = np.repeat(np.arange(batch.num_rows), len(hours))
    at = np.tile(hours, batch.num_rows)
    prices, listed = _listed(batch, each, at)
    first = batch.column("first").cast(pa.int64()).fill_null(np.iinfo(np.int64).max)
    points = Points(start=offsets[:-1][each], end=offsets[1:][each], at=at)
    values = compute_item_features(tiles, points, behaviours, engaged, prices, first.to_numpy()[each], everyone)
    keep = np.flatnonzero((values["item_event_count_7d"] > 0) | (listed & whole))
    moments = pa.array(at[keep], pa.int64()).cast(UTC_US)
    return pa.RecordBatch.from_arrays(
        [
            batch.column("item_id").take(pa.array(each[keep])),
            moments,
            moments.cast(pa.date32()),
            *(pa.array(values[f.name][keep], from_pandas=True) for f in ITEM_FEATURES),
        ],
        names=list(ITEM_FEATURES_FULL.names),
    )


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


def _flat(lists: pa.ListArray) -> tuple[pa.StructArray, I64]:
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    return lists.flatten(), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _micros(times: pa.Array) -> I64:
    return np.asarray(times.cast(UTC_US).cast(pa.int64()), dtype=np.int64)


def snapshot(features: DataFrame, items: DataFrame, at: datetime) -> ItemSnapshot:
    """The catalogue at `at` (a whole hour, with its zone) and its features of that hour, from `item_features`.

    Collected through Arrow: one row for each item of the catalogue. Every process that ranks holds the same snapshot
    in memory, so a catalogue that the driver could not hold could not be served either. An item without a row in
    `features` gets each feature's default. NoDataError: the catalogue holds no item at that time.
    """
    rows = described(items.select("item_id").distinct().withColumn("hour", F.lit(at)), items, features).select(
        "item_id",
        "price_minor",
        "category",
        "title",
        F.coalesce("in_stock", F.lit(True)).alias("in_stock"),
        *(f.name for f in ITEM_FEATURES),
    )
    table = rows.toArrow()
    if not table.num_rows:
        raise NoDataError(
            f"`items` holds no item that is valid at {at.isoformat()}; run jobs/catalogue.py for that day."
        )
    return from_table(table, micros(at))
