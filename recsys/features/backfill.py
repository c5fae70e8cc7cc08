"""Derived tables for a range of days, from `events`: only days whose events changed since they were covered."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.config import Settings
from recsys.days import microseconds
from recsys.features.definitions import feature_hash, item_features_of, item_features_table
from recsys.features.feature import Feature
from recsys.features.item_feature import lifelong, reach
from recsys.features.snapshots import history
from recsys.features.spark import item_features
from recsys.io import Warehouse
from recsys.log import event
from recsys.tables import COVERAGE, EVENTS, ITEM_FEATURES, ITEMS

CHUNK = 2  # days computed and committed at once
JOB = "backfill"
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Day:
    """A day of a derived table and the events that it rests on."""

    day: date
    events: int
    hash: int


def digests(events: DataFrame, items: DataFrame, days: Sequence[date], features: Sequence[Feature]) -> list[Day]:
    """For each of `days`, count and order-free hash of what it rests on.

    These are the events of that day and of the days before it that a window reaches, of all older ones each item's
    first hour, which its age is counted from, and the catalogue's prices up to that day. Only the first are counted.
    With a feature of the item's whole life all events before it are. The hash is of the feature definitions too, so
    that days which an earlier release or other settings computed are computed again.
    """
    back = -(-reach(features) // microseconds("1d"))
    first, last = days[0] - timedelta(days=back), days[-1]
    past = events.where(F.col("event_date") <= F.lit(last))
    inside = past if lifelong(features) else past.where(F.col("event_date") >= F.lit(first))
    counts = inside.groupBy("event_date").agg(F.count("*").alias("events"), _mixed("event_id"))
    found = {row["event_date"]: (row["events"], int(row["hash"])) for row in counts.collect()}  # one row a day
    first_seen = past.where("item_id IS NOT NULL").groupBy("item_id").agg(F.min("event_time").alias("time"))
    born = _by_day(first_seen, "time", "item_id", F.date_trunc("hour", "time"))
    opened = _by_day(items, "valid_from", "item_id", "valid_from", "price_minor")
    closed = _by_day(items.where("valid_to IS NOT NULL"), "valid_to", "item_id", "valid_to")
    own = int(feature_hash(tuple(features)), 16)
    whole = lifelong(features)
    return [_digest(day, own, back, whole, found, born, (opened, closed)) for day in days]


def _by_day(rows: DataFrame, time: str, *columns: str | Column) -> dict[date, int]:
    hashed = rows.groupBy(F.to_date(time).alias("day")).agg(_mixed(*columns))
    return {row["day"]: int(row["hash"]) for row in hashed.collect()}  # one row a day


def _mixed(*columns: str | Column) -> Column:
    # A sum does not depend on the order; of 64-bit hashes it would overflow 64 bits.
    return F.sum(F.xxhash64(*columns).cast("decimal(38,0)")).alias("hash")


def _digest(
    day: date,
    own: int,
    back: int,
    whole: bool,
    found: dict[date, tuple[int, int]],
    born: dict[date, int],
    listed: Sequence[dict[date, int]],
) -> Day:
    parts = [found.get(day - timedelta(days=n), (0, 0)) for n in range(back + 1)]
    parts += [part for at, part in sorted(found.items()) if at < day - timedelta(days=back)] if whole else []
    older = sum(mixed for at, mixed in born.items() if at < day - timedelta(days=back))
    older += sum(mixed for spans in listed for at, mixed in spans.items() if at <= day)
    mixed = own + older + sum((n + 2) * part[1] for n, part in enumerate(parts))
    return Day(day=day, events=sum(part[0] for part in parts), hash=(mixed + 2**63) % 2**64 - 2**63)


def wanted(warehouse: Warehouse, settings: Settings, days: Sequence[date]) -> list[Day]:
    """Of `days`, those with something to compute that `item_features` lacks or has computed from other events or
    definitions."""
    view = warehouse.view()
    asked = digests(view.read(EVENTS), view.read(ITEMS), days, item_features_of(settings.features))
    covered: dict[date, tuple[int, int]] = {}
    if view.has(COVERAGE):
        rows = view.latest(COVERAGE).where(F.col("table") == ITEM_FEATURES.name)
        inside = rows.where(F.col("day").between(F.lit(days[0]), F.lit(days[-1]))).collect()  # one row a day
        covered = {row["day"]: (row["events"], row["hash"]) for row in inside}
    return [day for day in asked if day.events and covered.get(day.day) != (day.events, day.hash)]


def backfill(warehouse: Warehouse, settings: Settings, days: Sequence[date]) -> Iterator[list[Day]]:
    """Compute the wanted days in chunks, each committed on its own, so that a killed run goes on where it stopped.

    Yields the days of each committed chunk. The stream may run on: `item_features` has no other writer.
    """
    todo = wanted(warehouse, settings, days)
    event(log, "backfill", table=ITEM_FEATURES.name, wanted=len(todo), covered=len(days) - len(todo))
    for first in range(0, len(todo), CHUNK):
        chunk = todo[first : first + CHUNK]
        _write(warehouse, settings, chunk)
        yield chunk


def _write(warehouse: Warehouse, settings: Settings, chunk: Sequence[Day]) -> None:
    started = datetime.now(timezone.utc)
    view = warehouse.view()
    hours = [datetime(d.day.year, d.day.month, d.day.day, h, tzinfo=timezone.utc) for d in chunk for h in range(24)]
    frame = warehouse.spark.createDataFrame([(hour,) for hour in hours], "hour timestamp")
    past = history(view.read(EVENTS), hours[0], hours[-1], item_features_of(settings.features))
    rows = item_features(past, view.read(ITEMS), frame, settings)
    commit = warehouse.next_batch(JOB)
    names = ", ".join(f"'{day.day}'" for day in chunk)
    version = warehouse.write(item_features_table(settings.features), rows, commit, replace=f"day IN ({names})")
    seen = view.versions[EVENTS.name]
    cover = [(ITEM_FEATURES.name, d.day, seen, d.events, d.hash, commit.epoch, commit.batch) for d in chunk]
    covered = warehouse.spark.createDataFrame(cover, COVERAGE.ddl)
    versions = {ITEM_FEATURES.name: version, COVERAGE.name: warehouse.write(COVERAGE, covered, commit)}
    warehouse.finish(commit, versions, started)
