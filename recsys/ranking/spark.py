"""Examples on executors: events -> labelled pairs -> pairs with item features -> rows of tables.EXAMPLES.

Two passes over users, both sorted by user within partitions and read as Arrow batches: the first finds requests and
draws negatives, the second sees each user's history beside the pairs. Memory: a batch and one user's rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from recsys.config import Settings
from recsys.days import micros
from recsys.encoder.spark import encoder_of_task
from recsys.errors import ConfigError, NoDataError
from recsys.features.definitions import ITEM_FEATURES
from recsys.ranking.examples import HOUR
from recsys.ranking.passes import Batches, Chosen, featured, labelled, read_noise, whole_users
from recsys.tables import EXAMPLES, RECENT_FIELDS

Pass = Callable[[Batches], Iterator[pa.RecordBatch]]
PAIRS = (
    "user_id string, request_id string, item_id string, at timestamp, label float, target string, draw_chance double"
)
WIDE = 100  # times ranker.pool: items of the pool that no hour is asked of
FEATURED = (
    "request_id string, user_id string, item_id string, at timestamp, label float, behaviour string, "
    "draw_chance double, features array<float>"
)


def build_examples(
    events: DataFrame,
    item_features: DataFrame,
    encoder_path: str,
    settings: Settings,
    first: datetime,
    last: datetime,
    categories: DataFrame | None = None,
) -> DataFrame:
    """Rows of tables.EXAMPLES for requests in [first, last), two moments with their zones.

    `events` are of tables.EVENTS and reach back before `first`, for histories; rows from `last` on are not read.
    `item_features` has a row for each item and hour (definitions.ITEM_FEATURES_FULL); a pair takes that of the last
    full hour, and an item without a row has the features' defaults. `encoder_path` is a folder that executors can read.
    `categories` (item_id unique, category) gives `pair_category_share` its values. About ranker.max_requests
    targets are used, drawn by seed. Only the pools (ranker.pool items an hour) and one count come to the driver.

    Raises ConfigError: an empty range, or no target behaviour in the settings. NoDataError: no target behaviour in it.
    """
    if not settings.targets():
        raise ConfigError("settings: no behaviour has `target: true`; the ranker needs one to learn.")
    if first >= last:
        raise ConfigError(f"examples of [{first}, {last}): the range is empty.")
    start, end = F.lit(first), F.lit(last)
    past = events.where((F.col("event_time") < end) & F.col("behaviour").isin(*settings.behaviours))
    recent = past.where((F.col("event_time") >= start) & F.col("item_id").isNotNull())
    targets = recent.where(F.col("behaviour").isin(*settings.targets()) & F.col("user_id").isNotNull())
    wanted = targets.select("user_id")
    engaged = past.where(F.col("behaviour").isin(*settings.engaged()))
    history = engaged.join(wanted, "user_id", "left_semi")
    shown = recent.where(~F.col("behaviour").isin(*settings.engaged())).join(wanted, "user_id", "left_semi")
    active = past.where((F.col("event_time") >= start - F.expr("INTERVAL 1 DAY")) & F.col("item_id").isNotNull())
    pools = _pool(active, settings, "hour"), _pool(recent, settings, None)
    chosen = _chosen(targets, settings, first, last)
    pairs = _labelled(history.unionByName(shown), settings, _pairing(pools, encoder_path, settings, chosen))
    pairs = pairs.where(F.col("at") >= start)
    row = F.array(*(F.col(f.name).cast("float") for f in ITEM_FEATURES)).alias("item_row")
    known = item_features.select("item_id", "hour", row)
    pairs = pairs.withColumn("hour", F.date_trunc("hour", "at")).join(known, ["item_id", "hour"], "left")
    rows = _together(history, pairs, categories).repartition("user_id")
    ordered = rows.sortWithinPartitions("user_id", "kind", "event_time", "event_id", "item_id")
    examples = ordered.mapInArrow(_featuring(encoder_path, settings), FEATURED)
    return examples.withColumn("day", F.to_date("at")).select(*EXAMPLES.names)


def _chosen(targets: DataFrame, settings: Settings, first: datetime, last: datetime) -> Chosen:
    """All targets of [first, last), or so few of them that about max_requests remain, spread over the whole time."""
    row = targets.agg(F.count(F.lit(1)).alias("events")).first()
    if row is None or not row["events"]:
        wanted = " or ".join(settings.targets())
        raise NoDataError(f"no {wanted} in [{first}, {last}) to learn from: stream events of that time first.")
    return Chosen(first=micros(first), share=min(1.0, settings.ranker.max_requests / int(row["events"])))


def _labelled(events: DataFrame, settings: Settings, pairing: Pass) -> DataFrame:
    columns = ("user_id", "event_time", "event_id", "behaviour", "item_id", "request_id")
    draw = F.xxhash64(F.lit(settings.seed), "event_id").alias("draw")
    rows = events.select(*columns, draw).repartition("user_id")
    ordered = rows.sortWithinPartitions("user_id", "event_time", "event_id")
    return ordered.mapInArrow(pairing, PAIRS)


def _pool(recent: DataFrame, settings: Settings, span: str | None) -> pa.Table:
    """The most engaged items of each hour, or of all time in `recent`: hour (its end, microseconds), item_id, events.

    At most ranker.pool rows an hour, and WIDE times as many of all time.
    """
    engaged = recent.where(F.col("behaviour").isin(*settings.engaged()))
    ended = F.unix_micros(F.date_trunc("hour", "event_time")) + HOUR if span else F.lit(0).cast("bigint")
    hour = ended.alias("hour")
    counts = engaged.groupBy(hour, "item_id").agg(F.count(F.lit(1)).alias("events"))
    most = settings.ranker.pool * (1 if span else WIDE)
    rank = F.row_number().over(Window.partitionBy("hour").orderBy(F.desc("events"), "item_id"))
    return counts.withColumn("rank", rank).where(F.col("rank") <= most).drop("rank").toArrow()


def _pairing(pools: tuple[pa.Table, pa.Table], encoder_path: str, settings: Settings, chosen: Chosen) -> Pass:
    def pairing(batches: Batches) -> Iterator[pa.RecordBatch]:
        noise, items = read_noise(*pools, settings.ranker)
        encoder = encoder_of_task(encoder_path)
        for table in whole_users(batches):
            yield from labelled(table, noise, items, encoder, settings, chosen).to_batches()

    return pairing


def _together(history: DataFrame, pairs: DataFrame, categories: DataFrame | None) -> DataFrame:
    """Histories (kind 0) and pairs (kind 1) in one frame, for one shuffle."""
    own = history.select("user_id", F.lit(0).alias("kind"), *RECENT_FIELDS)
    asked = pairs.select(
        "user_id",
        F.lit(1).alias("kind"),
        F.col("at").alias("event_time"),
        F.col("request_id").alias("event_id"),
        F.col("target").alias("behaviour"),
        "item_id",
        "label",
        "draw_chance",
        "item_row",
    )
    rows = own.unionByName(asked, allowMissingColumns=True)
    if categories is None:
        return rows.withColumn("category", F.lit(None).cast("string"))
    return rows.join(categories.select("item_id", "category"), "item_id", "left")


def _featuring(encoder_path: str, settings: Settings) -> Pass:
    def featuring(batches: Batches) -> Iterator[pa.RecordBatch]:
        encoder = encoder_of_task(encoder_path)
        for table in whole_users(batches):
            yield from featured(table, encoder, settings).to_batches()

    return featuring
