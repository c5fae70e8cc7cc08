"""The query `source -> events`, with `rejected_events` and `item_tiles`. Its cost depends on the batch alone."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from pyspark import StorageLevel
from pyspark.accumulators import Accumulator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.commit import uncompiled
from recsys.config import Settings
from recsys.errors import AccountingError
from recsys.events.identify import Tally, identified, row_tally, take
from recsys.events.mapping import Mapping
from recsys.events.parse import typed
from recsys.events.source import open_stream
from recsys.io import Accounting, Commit, Warehouse
from recsys.log import event
from recsys.settings.item import users_of_items
from recsys.tables import EVENTS, REJECTED_EVENTS, SKETCH_LG_K, USERS_SKETCH, tiles_table

QUERY = "events"
MANY_DAYS = 8
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Ingest:
    """What one micro-batch of the query needs."""

    warehouse: Warehouse
    epoch: int
    dedupe_days: int
    tile_minutes: int
    users: bool  # whether the tiles hold sketches of users
    began: datetime | None  # when this epoch's first batch ran; None: it has not
    earlier_rows: bool  # `events` holds rows that this epoch's state has never seen
    tally: Accumulator[Tally]
    pending: int | None  # the batch that an earlier run began

    def __call__(self, batch: DataFrame, number: int) -> None:
        """Write one micro-batch: events, rejected rows, tiles, and last its row in `batches`."""
        commit = Commit(query=QUERY, epoch=self.epoch, batch=number, replayed=number == self.pending)
        rows = batch.persist(StorageLevel.MEMORY_AND_DISK)
        try:
            self._write(rows, commit)
        finally:
            rows.unpersist()

    def _write(self, rows: DataFrame, commit: Commit) -> None:
        # This action fills the cache, so the dedupe state moves on even when a replayed batch is in the tables already.
        good = F.size("reasons") == 0
        day = F.when(good, F.to_date("event_time"))
        # One row a day of the batch.
        found = rows.groupBy(day.alias("day")).agg(F.count("*").alias("n"), F.max("ingest_time").alias("at")).collect()
        rows_in = take(self.tally, commit.batch)
        if not found:
            return
        started = found[0]["at"]
        rejected = sum(row["n"] for row in found if row["day"] is None)
        days = sorted(row["day"] for row in found if row["day"] is not None)
        fresh = self._unknown(rows.where(good), days, started).withColumn("event_date", F.to_date("event_time"))
        if len(days) > MANY_DAYS:  # history: else each task writes a file into each day
            fresh = fresh.repartition("event_date")
        tiles = item_tiles(fresh, self.tile_minutes, commit, self.users)
        if len(days) > MANY_DAYS:
            tiles = tiles.repartition("tile_date")
        written = {EVENTS: fresh, tiles_table(self.users): tiles}
        if rejected:
            written[REJECTED_EVENTS] = rows.where(~good)
        versions = self.warehouse.write_all(written, commit)
        # Rows of one batch.
        accepted = fresh.count() if self._has_earlier(started) else sum(row["n"] for row in found) - rejected
        counts = balanced(rows_in, accepted, rejected, commit)
        self.warehouse.finish(commit, versions, started, counts)
        event(log, "batch committed", query=QUERY, batch=commit.batch, **vars(counts))

    def _has_earlier(self, now: datetime) -> bool:
        """Whether `events` may hold rows that the dedupe state does not know."""
        aged = self.began is not None and self.began < now - timedelta(days=self.dedupe_days)
        return self.earlier_rows or aged

    def _unknown(self, rows: DataFrame, days: list[object], now: datetime) -> DataFrame:
        """Rows whose event is not in `events`, looked up only where the state cannot answer."""
        if not days or not self._has_earlier(now):
            return rows
        horizon = now - timedelta(days=self.dedupe_days)
        forgotten = max(horizon, self.began or now)
        events = self.warehouse.spark.read.format("delta").load(self.warehouse.path(EVENTS))
        known = events.where(F.col("event_date").isin(days) & (F.col("ingest_time") < F.lit(forgotten)))
        return rows.join(known.select("event_id"), on="event_id", how="left_anti")


def balanced(rows_in: int, accepted: int, rejected: int, commit: Commit) -> Accounting:
    """The batch's accounting. What was read and neither accepted nor rejected was a duplicate.

    AccountingError where more came out than went in.
    """
    duplicate = rows_in - accepted - rejected
    if duplicate < 0:
        raise AccountingError(
            f"batch {commit.batch} of {commit.query!r} read {rows_in} rows, accepted {accepted} and rejected "
            f"{rejected}: more than went in. Nothing was committed; report this with the log."
        )
    return Accounting(rows_in=rows_in, accepted=accepted, duplicate=duplicate, rejected=rejected)


def item_tiles(events: DataFrame, minutes: int, commit: Commit, users: bool = False) -> DataFrame:
    """Partial counts and sums by item, behaviour and tile [start, start + minutes); `users`: and sketches of users."""
    pieces = F.coalesce("quantity", F.lit(1))
    tile = F.window("event_time", f"{minutes} minutes").getField("start")
    items = events.where(F.col("item_id").isNotNull())
    sums = items.groupBy("item_id", "behaviour", tile.alias("tile")).agg(
        F.count("*").alias("events"),
        F.sum(pieces).alias("pieces"),
        F.coalesce(F.sum(F.col("price_minor") * pieces), F.lit(0)).alias("revenue_minor"),
        *([F.hll_sketch_agg("user_id", SKETCH_LG_K).alias(USERS_SKETCH.name)] if users else ()),
    )
    version = {n: uncompiled(F.lit(str(value)), "item_id").cast("bigint") for n, value in commit.columns.items()}
    return sums.withColumns({**version, "tile_date": F.to_date("tile")})


def deduplicated(rows: DataFrame, days: int) -> DataFrame:
    """One row for each event id within `days` after its first arrival.

    The watermark runs on arrival time, which no row can be late for: an old event is never dropped for its age.
    """
    return rows.withWatermark("ingest_time", f"{days} days").dropDuplicatesWithinWatermark(["event_id"])


def ingest_stream(
    warehouse: Warehouse,
    mapping: Mapping,
    settings: Settings,
    epoch: int,
    began: datetime | None,
    pending: int | None,
) -> tuple[DataFrame, Ingest]:
    """The query's plan and the function that writes its micro-batches."""
    tally = row_tally(warehouse.spark.sparkContext)
    raw = open_stream(warehouse.spark, mapping, settings.source, settings.stream.max_files)
    rows = identified(typed(raw, mapping, settings), mapping, settings.pseudonym_key_file, tally)
    write = Ingest(
        warehouse=warehouse,
        epoch=epoch,
        dedupe_days=settings.stream.dedupe_days,
        tile_minutes=settings.stream.tile_minutes,
        users=users_of_items(settings.features.item),
        began=began,
        earlier_rows=epoch > 0 and warehouse.exists(EVENTS),
        tally=tally,
        pending=pending,
    )
    return deduplicated(rows, settings.stream.dedupe_days), write
