"""Examples on executors: events -> labelled pairs -> pairs with item features -> rows of tables.EXAMPLES.

Two passes over users, both sorted by user within partitions and read as Arrow batches: the first finds requests and
draws negatives, the second sees each user's history beside the pairs. Memory: a batch and one user's rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from recsys.config import RankerSettings, Settings
from recsys.days import micros
from recsys.encoder.spark import encoder_of_task
from recsys.errors import ConfigError, NoDataError
from recsys.features.definitions import item_features_of
from recsys.features.listed import described
from recsys.ranking.draws import HOUR
from recsys.ranking.passes import LAG, Batches, Chosen, featured, labelled, read_noise, whole_users
from recsys.ranking.recent import COLUMNS
from recsys.tables import EXAMPLES, RECENT_FIELDS

Pass = Callable[[Batches], Iterator[pa.RecordBatch]]
PAIRS = (
    "user_id string, request_id string, item_id string, at timestamp, ahead boolean, label float, target string, "
    "outcomes array<string>, draw_chance double, position int"
)
WIDE = 100  # times ranker.pool: items of the pool that no hour is asked of
FEATURED = (
    "request_id string, user_id string, item_id string, at timestamp, label float, behaviour string, "
    "outcomes array<string>, draw_chance double, position int, features array<float>"
)
ATTENDED = {column.name: column.type for column in EXAMPLES.columns if column.name in COLUMNS}


def build_examples(
    events: DataFrame,
    item_features: DataFrame,
    items: DataFrame,
    encoder_path: str,
    settings: Settings,
    first: datetime,
    last: datetime,
    until: datetime | None = None,
    share: float = 1.0,
) -> DataFrame:
    """Rows of tables.EXAMPLES for requests in [first, last), and labels before `until` (empty: `last`); all with zones.

    `events` are of tables.EVENTS and reach back before `first`, for histories; rows from `until` on are not read.
    `item_features` has a row for each item and hour (definitions.item_features_table); a pair takes that of the last
    full hour. `items` are of tables.ITEMS: a pair whose item the catalogue did not hold at that hour, or not in stock,
    is left out, as no list could have shown it, and `pair_category_share` has its category from there. `encoder_path`
    is a folder that executors can read. About a `share` of the targets are used, drawn by seed. Only the pools
    (ranker.pool items an hour) come to the driver.

    Raises ConfigError: an empty range, or no target behaviour in the settings.
    """
    _require_targets(settings)
    if first >= last:
        raise ConfigError(f"examples of [{first}, {last}): the range is empty.")
    start, end = F.lit(first), F.lit(last)
    horizon = min(until or last, last + max(LAG, timedelta(hours=settings.ranker.label_hours)))
    past = events.where((F.col("event_time") < F.lit(horizon)) & F.col("behaviour").isin(*settings.behaviours))
    recent = past.where((F.col("event_time") >= start) & F.col("item_id").isNotNull())
    wanted = targets(recent, settings).select("user_id")
    engaged = past.where(F.col("behaviour").isin(*settings.engaged()))
    history = engaged.join(wanted, "user_id", "left_semi")
    shown = recent.where(~F.col("behaviour").isin(*settings.engaged())).join(wanted, "user_id", "left_semi")
    active = past.where((F.col("event_time") >= start - F.expr("INTERVAL 1 DAY")) & F.col("item_id").isNotNull())
    pools = _pool(active, settings, "hour"), _pool(recent, settings, None)
    chosen = Chosen(first=micros(first), last=micros(last), until=micros(horizon), share=share)
    pairs = _labelled(history.unionByName(shown), settings, _pairing(pools, encoder_path, settings, chosen))
    pairs = _described(pairs.where((F.col("at") >= start) & (F.col("at") < end)), items, item_features, settings)
    category = items.groupBy("item_id").agg(F.max_by("category", "valid_from").alias("category"))
    rows = _together(history, pairs, settings.ranker).join(category, "item_id", "left")
    rows = rows.repartition(partitions(rows.sparkSession), "user_id")
    ordered = rows.sortWithinPartitions("user_id", "kind", "event_time", "event_id", "item_id")
    attended = ", ".join(f"{name} {kind}" for name, kind in ATTENDED.items())
    schema = f"{FEATURED}, {attended}" if settings.ranker.attention else FEATURED
    examples = ordered.mapInArrow(_featuring(encoder_path, settings), schema).withColumn("day", F.to_date("at"))
    lacking = {name: F.lit(None).cast(kind) for name, kind in ATTENDED.items() if name not in examples.columns}
    return examples.withColumns(lacking).select(*EXAMPLES.names)


def request_share(events: DataFrame, settings: Settings, first: datetime, last: datetime) -> float:
    """The share of the targets in [first, last), two moments with their zones, at which ranker.max_requests remain.

    Raises ConfigError: no target behaviour in the settings. NoDataError: none in that time.
    """
    _require_targets(settings)
    inside = (F.col("event_time") >= F.lit(first)) & (F.col("event_time") < F.lit(last)) & F.col("item_id").isNotNull()
    row = targets(events.where(inside), settings).agg(F.count(F.lit(1)).alias("events")).first()
    if row is None or not row["events"]:
        wanted = " or ".join(settings.targets())
        raise NoDataError(f"no {wanted} in [{first}, {last}) to learn from: stream events of that time first.")
    return min(1.0, settings.ranker.max_requests / int(row["events"]))


def _require_targets(settings: Settings) -> None:
    if not settings.targets():
        raise ConfigError("settings: no behaviour has `target: true`; the ranker needs one to learn.")


def targets(events: DataFrame, settings: Settings) -> DataFrame:
    """Target behaviours; anonymous ones count for no user and are left out."""
    return events.where(F.col("behaviour").isin(*settings.targets()) & F.col("user_id").isNotNull())


def partitions(spark: SparkSession) -> int:
    """Spark's number of shuffle partitions. Named, it is kept to, and each task sees the same users in every run.

    A matrix product rounds by its shape, so a row's last bits depend on who else is in the batch.
    """
    return int(spark.conf.get("spark.sql.shuffle.partitions") or 1)


def known(ranker: RankerSettings) -> Column:
    """When an event of tables.EVENTS could first be known, as examples see it: `known`, at event_time at the earliest.

    Where the source says nothing, known_at is the moment of ingestion. For rows that were loaded long after they
    happened that moment says when the load was, not when a server would have known: these count as known at once.
    """
    told, time = F.col("known_at"), F.col("event_time")
    limit = F.make_dt_interval(secs=F.lit(ranker.load_hours * 3600))
    loaded = (told == F.col("ingest_time")) & (told > time + limit)
    late = F.when(told.isNotNull() & ~F.coalesce(loaded, F.lit(False)), F.greatest(told, time))
    return (F.coalesce(late, time) if ranker.known_time else time).alias("known")


def _described(pairs: DataFrame, items: DataFrame, item_features: DataFrame, settings: Settings) -> DataFrame:
    """The pairs whose item could be had at the last full hour, with its features of then."""
    declared = item_features_of(settings.features)
    row = F.array(*(F.col(f.name).cast("float") for f in declared)).alias("item_row")
    hourly = described(pairs.withColumn("hour", F.date_trunc("hour", "at")), items, item_features, declared)
    return hourly.where(F.coalesce("in_stock", F.lit(True))).select(*pairs.columns, row)


def _labelled(events: DataFrame, settings: Settings, pairing: Pass) -> DataFrame:
    told = ("user_id", "event_time", "event_id", "behaviour", "item_id", "request_id", "position")
    draw = F.xxhash64(F.lit(settings.seed), "event_id").alias("draw")
    rows = events.select(*told, known(settings.ranker), draw).repartition(partitions(events.sparkSession), "user_id")
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
    found = counts.withColumn("rank", rank).where(F.col("rank") <= most).drop("rank").toArrow()
    return found.sort_by([("hour", "ascending"), ("item_id", "ascending")])  # draws depend on the order of codes


def _pairing(pools: tuple[pa.Table, pa.Table], encoder_path: str, settings: Settings, chosen: Chosen) -> Pass:
    def pairing(batches: Batches) -> Iterator[pa.RecordBatch]:
        noise, items = read_noise(*pools, settings.ranker)
        encoder = encoder_of_task(encoder_path)
        for table in whole_users(batches):
            yield from labelled(table, noise, items, encoder, settings, chosen).to_batches()

    return pairing


def _together(history: DataFrame, pairs: DataFrame, ranker: RankerSettings) -> DataFrame:
    """Histories (kind 0) and pairs (kind 1) in one frame, for one shuffle."""
    own = history.select("user_id", F.lit(0).alias("kind"), *RECENT_FIELDS, known(ranker))
    asked = pairs.select(
        "user_id",
        F.lit(1).alias("kind"),
        F.col("at").alias("event_time"),
        F.col("request_id").alias("event_id"),
        F.col("target").alias("behaviour"),
        "item_id",
        "ahead",
        "label",
        "outcomes",
        "draw_chance",
        "position",
        "item_row",
    )
    return own.unionByName(asked, allowMissingColumns=True)


def _featuring(encoder_path: str, settings: Settings) -> Pass:
    def featuring(batches: Batches) -> Iterator[pa.RecordBatch]:
        encoder = encoder_of_task(encoder_path)
        for table in whole_users(batches):
            yield from featured(table, encoder, settings).to_batches()

    return featuring
