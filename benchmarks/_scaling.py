"""A batch of 5,000 events at 100 thousand users and at 2 million, each with 50 behaviours before.

One query runs all the time, so that no start is in the figures; batches are timed by the query's own progress.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from benchmarks._pipeline import EAGER, Pipeline, pipeline, stop, wait_for_rows
from benchmarks._record import Figure, Run
from recsys.config import StreamSettings
from recsys.errors import RecsysError

SMALL, TIMES = 100_000, 20  # users, and how many times as many there are at the end
EACH = 50  # behaviours of a user before the measured batches
BATCH = 5_000  # events of a measured batch
WARM, MEASURED = 3, 7  # batches
START = "2025-01-01 00:00:00"
STEP_US = 10_000  # between two events: all behaviours of all users lie within the month before the last batch
LONGEST_S = 600.0


def scaling(run: Run, spark: SparkSession, folder: Path, mapping: str, *, small: int, cap_s: float) -> None:
    """`scaling_20x`: a batch after the population has grown until 20 times as many users or `cap_s` seconds."""
    own = pipeline(spark, folder, mapping, limits=StreamSettings(max_events_files=1))
    feed = Feed(own, own.profiles(EAGER), run.seed)
    try:
        feed.population(0, small)
        measured(feed, small, WARM)
        before = measured(feed, small, MEASURED)
        users, began = small, time.monotonic()
        while users < TIMES * small and time.monotonic() - began < cap_s:
            feed.population(users, users + small)
            users += small
        measured(feed, users, WARM)
        after = measured(feed, users, MEASURED)
    finally:
        stop(feed.query)
    add(run, small, users, before, after)


@dataclass
class Feed:
    """Synthetic events, appended to `events` under a running query."""

    own: Pipeline
    query: StreamingQuery
    seed: int
    done: set[int] = field(default_factory=set)  # batches of the query that were waited for
    sent: int = 0

    def population(self, first: int, last: int) -> None:
        """EACH behaviours of each of the users [first, last)."""
        ids = self.own.warehouse.spark.range(first * EACH, last * EACH, 1, 2)
        self._send(events(ids, F.floor(F.col("id") / EACH), self.sent), (last - first) * EACH)

    def batch(self, users: int) -> float:
        """Seconds of a batch of random users among `users`."""
        ids = self.own.warehouse.spark.range(0, BATCH, 1, 1)
        return self._send(events(ids, F.floor(F.rand(self.seed + self.sent) * users), self.sent), BATCH)

    def _send(self, made: DataFrame, size: int) -> float:
        self.own.add_events(made)
        self.sent += size
        found = wait_for_rows(self.query, size, self.done, LONGEST_S)
        if (rows := sum(rows for rows, _ in found.values())) != size:
            raise RecsysError(f"{size} events were sent and {rows} read: these are not the batches to time.")
        self.done |= found.keys()
        return sum(seconds for _, seconds in found.values())


def events(ids: DataFrame, user: Column, offset: int, step_us: int = STEP_US) -> DataFrame:
    """One clean row of `events` for each id; ids and times grow with `offset`, so no two rows are equal."""
    number = F.col("id") + F.lit(offset)
    at = F.timestamp_micros(F.unix_micros(F.lit(START).cast("timestamp")) + number * step_us)
    kinds = F.array(*map(F.lit, ("view", "view", "click", "cart", "purchase")))
    empty = F.lit(None).cast("string")
    return ids.select(
        F.md5(number.cast("string").cast("binary")).alias("event_id"),
        at.alias("event_time"),
        F.element_at(kinds, (number % 5 + 1).cast("int")).alias("behaviour"),
        F.concat(F.lit("i"), F.pmod(F.xxhash64(number), F.lit(5000))).alias("item_id"),
        F.pmod(number, F.lit(9000)).alias("price_minor"),
        F.lit(1).alias("quantity"),
        F.lit(None).alias("value"),
        F.md5(F.concat(F.lit("user "), user.cast("string")).cast("binary")).alias("user_id"),
        *(empty.alias(name) for name in ("session_id", "query", "request_id", "position")),
        F.lit(None).cast("map<string,string>").alias("context"),
        F.array().cast("array<string>").alias("imputed"),
        at.alias("known_at"),
        at.alias("ingest_time"),
        F.lit("benchmark").alias("origin"),
        F.to_date(F.lit(START)).alias("event_date"),  # one day, so that a commit is a file
    )


def measured(feed: Feed, users: int, times: int) -> list[float]:
    """Seconds of `times` batches, one after the other."""
    return [feed.batch(users) for _ in range(times)]


def add(run: Run, small: int, users: int, before: list[float], after: list[float]) -> None:
    """The median batch at the end over the median batch at the beginning."""
    ours, peer = statistics.median(after), statistics.median(before)
    reached = "" if users == TIMES * small else f"; the time ran out at {users / small:.0f} times as many"
    figure = Figure(
        metric="scaling_20x",
        value=ours,
        unit="s/batch",
        rows=BATCH,
        seconds=sum(after),
        peer=f"{small} users",
        peer_value=peer,
        ratio=ours / peer,
        more={"users": users, "note": f"profiles query, {EACH} behaviours a user before{reached}"},
    )
    run.add(figure)
