"""The follower of `user_profiles`: seconds from a commit of the table until the online store answers with it.

A writer commits a micro-batch of profiles every few seconds, as the stream does; a reader asks the store all the time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from benchmarks._record import Figure, Run, main, once
from recsys import queries
from recsys.config import Settings
from recsys.errors import RecsysError
from recsys.io import Commit, Warehouse
from recsys.serving.spark import QUERY, Put, profiles_stream
from recsys.serving.sqlite import SqliteStore
from recsys.serving.store import OnlineStore
from recsys.session import open_session
from recsys.tables import RECENT_TYPE, USER_PROFILES

USERS, BEHAVIOURS = 2_000, 60  # of a micro-batch; of a user
EVERY_S = 3.0  # between two commits
WARM = 3  # commits that are not counted
TRIGGER = "500 milliseconds"
PATIENCE_S = 60.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """The benchmark's own options."""
    parser.add_argument("--commits", type=int, default=60, help="commits that are measured")
    parser.add_argument("--fill", type=int, default=200_000, help="profiles that are there before")


def measure(run: Run, asked: argparse.Namespace) -> None:
    """Fill a store, then follow a table that grows."""
    commits, fill = (5, 5_000) if asked.quick else (asked.commits, asked.fill)
    with tempfile.TemporaryDirectory() as name:
        settings = Settings(warehouse=f"{name}/warehouse", checkpoints=f"{name}/checkpoints")
        settings = settings.model_copy(update={"spark": {"spark.master": "local[2]"}})
        spark = open_session(settings, "benchmark online")
        warehouse = Warehouse(spark, settings.warehouse)
        commit_profiles(warehouse, 0, fill)
        with closing(SqliteStore(Path(name) / "online.db", create=True)) as store:
            seconds = once(lambda: queries.wait([follow(warehouse, settings, store, queries.AVAILABLE_NOW)]))
            note = f"profiles of {BEHAVIOURS} behaviours into an empty store, start of the query included"
            figure(run, "fill", fill / seconds, "profiles/s", fill, seconds, note)
            query = follow(warehouse, settings, store, TRIGGER)
            with closing(SqliteStore(Path(name) / "online.db")) as reader:
                began = time.perf_counter()
                lags = [lag(warehouse, reader, number) for number in range(1, commits + WARM + 1)][WARM:]
                wall = time.perf_counter() - began
            query.stop()
        spark.stop()
    for metric, percent in (("lag_p50", 50), ("lag_p99", 99)):
        note = f"from a commit of {USERS} profiles until the last of them is found, trigger {TRIGGER}"
        figure(run, metric, float(np.percentile(lags, percent)), "s", USERS * commits, wall, note)


def figure(run: Run, metric: str, value: float, unit: str, rows: int, seconds: float, note: str) -> None:
    """A figure without a peer."""
    run.add(Figure(metric=metric, value=value, unit=unit, rows=rows, seconds=seconds, more={"note": note}))


def follow(warehouse: Warehouse, settings: Settings, store: OnlineStore, trigger: str) -> StreamingQuery:
    """The query of jobs/online.py."""
    point = queries.checkpoint(warehouse, settings.checkpoints, QUERY)
    put = Put(store=store, warehouse=warehouse, epoch=0)
    return queries.start(profiles_stream(warehouse), put, name=QUERY, point=point, trigger=trigger)


def commit_profiles(warehouse: Warehouse, batch: int, users: int) -> None:
    """Append one row for each of so many users, as of now, as one batch of the stream."""
    now = datetime.now(timezone.utc)
    behaviour = "named_struct('event_time', now, 'event_id', concat(id, '-', n), 'behaviour', 'view', 'item_id', "
    behaviour += "concat('i', (id * 31 + n) % 50000), 'price_minor', id, 'quantity', 1L, 'value', CAST(NULL AS DOUBLE))"
    spark: SparkSession = warehouse.spark
    rows = spark.range(users, numPartitions=2).withColumn("now", F.lit(now - timedelta(seconds=1)))
    recent = F.expr(f"CAST(transform(sequence(1, {BEHAVIOURS}), n -> {behaviour}) AS {RECENT_TYPE})")
    columns = {
        "user_id": F.format_string("%032x", "id"),
        "epoch": F.lit(0),
        "batch": F.lit(batch),
        "as_of": F.col("now"),
        "recent": recent,
        "counts": F.expr("CAST(map() AS MAP<STRING, BIGINT>)"),
        "spend_minor": F.lit(None).cast("bigint"),
        "first_time": F.col("now"),
        "truncated": F.lit(False),
    }
    commit = Commit(query="user_profiles", epoch=0, batch=batch)
    named = rows.select(*(value.alias(name) for name, value in columns.items()))
    warehouse.finish(commit, {USER_PROFILES.name: warehouse.write(USER_PROFILES, named, commit)}, now)


def lag(warehouse: Warehouse, reader: OnlineStore, batch: int) -> float:
    """Commit a batch and wait until the store answers with it. RecsysError: it did not within PATIENCE_S."""
    commit_profiles(warehouse, batch, USERS)
    committed = time.perf_counter()
    last = f"{USERS - 1:032x}"
    while time.perf_counter() - committed < PATIENCE_S:
        found = reader.get(last)
        if found is not None and found.batch == batch:
            seen = time.perf_counter() - committed
            time.sleep(max(EVERY_S - seen, 0))
            return seen
        time.sleep(0.005)
    raise RecsysError(f"batch {batch} was not in the store after {PATIENCE_S:g} s.")


if __name__ == "__main__":
    sys.exit(main("online", __doc__ or "", measure, threads=2, arguments=arguments))
