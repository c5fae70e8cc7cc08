"""An item's history as cells of time that all its windows are made of, and what is read off them in Spark itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.config import Settings
from recsys.days import microseconds
from recsys.features.feature import Feature
from recsys.features.item_feature import DISTINCT, cell, shares_of
from recsys.settings.item import ENGAGED, EVENT, HOUR
from recsys.tables import SKETCH_LG_K, USERS_SKETCH

SUMS = ("events", "pieces", "revenue_minor")
USERS = USERS_SKETCH.name
BEFORE = "TIMESTAMP '0001-01-01 00:00:00'"  # the cell of all that lies before the windows


def cells(history: DataFrame, features: Sequence[Feature]) -> DataFrame:
    """`events`, or the partial rows of `item_tiles`, summed by item_id, behaviour and `cell`, the cell's first moment.

    With a feature of distinct users also their sketch; NULL where a tile was written without.
    """
    sketched = any(f.operation == DISTINCT for f in features)
    if "tile" in history.columns:
        known = F.col(USERS) if USERS in history.columns else F.lit(None).cast("binary")
        rows = history.select("item_id", "behaviour", F.col("tile").alias("time"), *SUMS, known.alias(USERS))
        sketch = F.when(F.bool_and(F.col(USERS).isNotNull()), F.hll_union_agg(USERS))
    else:
        pieces = F.coalesce("quantity", F.lit(1))
        counted = zip((F.lit(1), pieces, F.col("price_minor") * pieces), SUMS, strict=True)
        values = [value.alias(name) for value, name in counted]
        values += [F.col("user_id").alias(USERS)] if sketched else []
        rows = history.select("item_id", "behaviour", F.col("event_time").alias("time"), *values)
        sketch = F.hll_sketch_agg(USERS, SKETCH_LG_K)
    users = [sketch.alias(USERS)] if sketched else []
    return (
        rows.where("item_id IS NOT NULL")
        .groupBy("item_id", "behaviour", _begin(F.col("time"), cell(features)).alias("cell"))
        .agg(*(F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in SUMS), *users)
    )


def in_total(history: DataFrame, features: Sequence[Feature]) -> DataFrame:
    """The events of all items together: their number by behaviour and `cell`."""
    begin = _begin(F.col("event_time"), cell(features)).alias("cell")
    rows = history.where("item_id IS NOT NULL").groupBy("behaviour", begin)
    return rows.agg(F.count(F.lit(1)).alias("events"))


def _begin(time: Column, width: int) -> Column:
    if width == HOUR:
        return F.date_trunc("hour", time)
    return F.timestamp_micros(F.unix_micros(time) - F.pmod(F.unix_micros(time), F.lit(width)))


def inside(hour: Column, width: int) -> Column:
    """Whether a cell lies in the `width` microseconds before an hour, or later."""
    return F.col("cell") >= hour - F.expr(f"INTERVAL {width // 1_000_000} SECONDS")


def kinds(of: str, settings: Settings) -> Column:
    """Whether a row's behaviour is of a kind: `engaged`, `event` (all), or one behaviour."""
    if of == EVENT:
        return F.lit(True)
    return F.col("behaviour").isin(*settings.engaged()) if of == ENGAGED else F.col("behaviour") == of


def older(width: int, settings: Settings) -> Column:
    """Aggregate over an item's cells: what lies before all windows of `begin`, as one cell of each behaviour."""
    past = ~inside(F.col("begin"), width)
    others = ~F.col("behaviour").isin(*settings.behaviours)
    named = [(name, F.col("behaviour") == name) for name in settings.behaviours]

    def total(name: str, condition: Column) -> Column:
        return F.coalesce(F.sum(F.when(past & condition, F.col(name))), F.lit(0)).alias(name)

    return F.array(
        *(
            F.struct(F.expr(BEFORE).alias("cell"), F.lit(name).alias("behaviour"), *(total(s, condition) for s in SUMS))
            for name, condition in [*named, ("", others)]
        )
    )


def everyone(rows: DataFrame, hours: DataFrame, features: Sequence[Feature], settings: Settings) -> DataFrame:
    """One row: for each of `hours` (ascending) the count over all items that each share is of, by the share's name."""
    shares = shares_of(features)
    wanted = reduce(Column.__or__, (kinds(f.of, settings) for f in shares))
    small = rows.where(wanted).groupBy("cell", "behaviour").agg(F.sum("events").alias("events"))
    before = hours.distinct().join(F.broadcast(small), F.col("cell") < F.col("hour"), "left")
    counts = (
        F.coalesce(
            F.sum(F.when(inside(F.col("hour"), microseconds(f.window)) & kinds(f.of, settings), F.col("events"))),
            F.lit(0),
        ).alias(f.name)
        for f in shares
    )
    each = before.groupBy("hour").agg(*counts)
    return each.agg(F.array_sort(F.collect_list(F.struct("hour", *(f.name for f in shares)))).alias("everyone"))


def distinct_users(rows: DataFrame, asked: DataFrame, features: Sequence[Feature], settings: Settings) -> DataFrame:
    """Of each (item_id, hour) with an event in reach: the features of distinct users. `asked` has one row: `hours`.

    Of these a row of `rows` counts for those between its `begin` and its `end`.

    NULL: some tile in the window was written without a sketch. A sketch that is merged with itself forgets the order
    in which its users came, so equal sets of users give equal numbers, however they were cut into batches and tiles.
    """
    wanted = [f for f in features if f.operation == DISTINCT]
    width = max(microseconds(f.window) for f in wanted)

    def near(hour: Column) -> Column:
        return (hour > F.col("cell")) & inside(hour, width) & hour.between(F.col("begin"), F.col("end"))

    here = F.explode(F.filter("hours", near)).alias("hour")
    points = rows.crossJoin(asked).select("item_id", "behaviour", "cell", USERS, here)
    return points.groupBy("item_id", "hour").agg(*(_users(f, settings).alias(f.name) for f in wanted))


def _users(f: Feature, settings: Settings) -> Column:
    here = inside(F.col("hour"), microseconds(f.window)) & kinds(f.of, settings)
    union = F.hll_union_agg(F.when(here, F.col(USERS)))
    known = F.coalesce(F.bool_and(F.when(here, F.col(USERS).isNotNull())), F.lit(True))
    return F.when(known, F.hll_sketch_estimate(F.hll_union(union, union)))
