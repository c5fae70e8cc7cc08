"""What a day of `item_features` rests on, and which days rest on something else now than when they were computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.arrivals import arrived, rows_by_day
from recsys.config import FeatureSettings
from recsys.days import microseconds
from recsys.features.definitions import feature_hash, item_features_of
from recsys.features.feature import Feature
from recsys.features.item_feature import lifelong, reach
from recsys.io import View
from recsys.tables import COVERAGE, EVENTS, ITEM_FEATURES, ITEMS
from recsys.together import together

LAYOUT = 2  # raise it when `item_features` keeps the same features in another way: all days are wanted again
PATCHES = 16  # of a day, before it is computed whole again: each is a file more


@dataclass(frozen=True, kw_only=True)
class Before:
    """What a day rested on when it was computed, and how it was written."""

    version: int  # of `events`
    events: int
    older: int
    base: int
    whole: int  # batch that last wrote the day whole
    patches: int  # commits since then


@dataclass(frozen=True, kw_only=True, eq=False)
class Day:
    """A day of `item_features`, and what it rests on.

    These are the events of that day and of the days before it that a window reaches (`events` counts them), of all
    older ones (`older`) each item's first hour, which its age is counted from, and definitions and the catalogue's
    prices up to that day (`base`). With a feature of the item's whole life no event is older.
    """

    day: date
    begin: date  # the first day that a window reaches
    events: int
    older: int
    base: int
    before: Before | None = None
    came: DataFrame | None = None  # where the day lacks events and nothing else: those that came since, of any day


@dataclass(frozen=True, kw_only=True, eq=False)
class Came:
    """What came after a version of `events`."""

    rows: DataFrame
    counts: Mapping[date, int]  # by day
    first: date  # the oldest day, of those before all windows, whose event is an item's first; date.max: none


def wanted(view: View, settings: FeatureSettings, days: Sequence[date]) -> list[Day]:
    """Of `days`, ascending, those with something to compute that `item_features` lacks or has computed from others.

    Other events, prices or definitions. `events` only grows, so the numbers of its rows tell whether it has changed.
    """
    features = item_features_of(settings)
    with together(view.warehouse.spark) as calls:
        before = calls.begin(_covered, view, days)
        now_there = calls.begin(rows_by_day, view, EVENTS, "event_date")
        rests = calls.begin(_bases, view.read(ITEMS), days, features)
    covered, counts, bases = before.result(), now_there.result(), rests.result()
    latest = rests_on(days[-1], features, {}).begin
    came: dict[int, Came | None] = {}
    found = []
    for day in days:
        now = replace(rests_on(day, features, counts), base=bases[day], before=covered.get(day))
        if not now.events or same(now):
            continue
        if now.before and now.before.base == now.base and now.before.version not in came:
            came[now.before.version] = _came(view, now.before.version, latest)
        found.append(checked(now, came.get(now.before.version) if now.before else None))
    return [day for day in found if day]


def rests_on(day: date, features: Sequence[Feature], counts: Mapping[date, int]) -> Day:
    """The day with its numbers of events, of which there are `counts` by day; without its base."""
    begin = date.min if lifelong(features) else day - timedelta(days=-(-reach(features) // microseconds("1d")))
    older = sum(n for at, n in counts.items() if at < begin)
    return Day(day=day, begin=begin, events=_inside(counts, begin, day), older=older, base=0)


def same(day: Day) -> bool:
    """Whether the day rests on what it rested on when it was computed."""
    before = day.before
    return before is not None and (before.base, before.events, before.older) == (day.base, day.events, day.older)


def checked(day: Day, came: Came | None) -> Day | None:
    """The day that is not the same, with what came if it can be patched; None: what came changes nothing in it.

    Where files were compacted, or prices changed too, what came is not told apart, and the day is computed whole.
    """
    before = day.before
    if before is None or came is None or before.base != day.base:
        return day
    if before.events + _inside(came.counts, day.begin, day.day) != day.events:
        return day
    if before.events == day.events and came.first >= day.begin:
        return None
    return day if before.patches >= PATCHES else replace(day, came=came.rows)


def _inside(counts: Mapping[date, int], first: date, last: date) -> int:
    return sum(n for at, n in counts.items() if first <= at <= last)


def _came(view: View, version: int, before: date) -> Came | None:
    """None: the log no longer knows the version. Events from the day `before` on are in a window, first or not."""
    rows = arrived(view, EVENTS, version)
    if rows is None:
        return None
    counts = {row["event_date"]: row["count"] for row in rows.groupBy("event_date").count().collect()}  # one row a day
    older = [day for day in counts if day < before]
    first = _first(view.read(EVENTS), rows, max(older)) if older else date.max
    return Came(rows=rows, counts=counts, first=first)


def _first(events: DataFrame, came: DataFrame, last: date) -> date:
    until = (F.col("event_date") <= F.lit(last)) & F.col("item_id").isNotNull()
    oldest = came.where(until).groupBy("item_id").agg(F.min("event_time").alias("came"))
    ever = events.where(until).join(F.broadcast(oldest), "item_id").groupBy("item_id", "came")
    found = ever.agg(F.min("event_time").alias("first")).where("first = came").agg(F.min("first").cast("date")).first()
    return found[0] if found and found[0] else date.max


def _bases(items: DataFrame, days: Sequence[date], features: Sequence[Feature]) -> dict[date, int]:
    """Of each day a hash of what it rests on but for events. It does not depend on the order of rows."""
    opened = _mixed(items, "valid_from", "item_id", "valid_from", "price_minor")
    closed = _mixed(items.where("valid_to IS NOT NULL"), "valid_to", "item_id", "valid_to")
    listed = [(row["day"], row["hash"]) for row in opened.unionByName(closed).collect()]  # two rows a day
    own = int(feature_hash(tuple(features)), 16) + LAYOUT
    sums = {day: own + sum(mixed for at, mixed in listed if at <= day) for day in days}
    return {day: (number + 2**63) % 2**64 - 2**63 for day, number in sums.items()}


def _mixed(rows: DataFrame, time: str, *columns: str) -> DataFrame:
    # Unlike a sum, this can not overflow.
    return rows.groupBy(F.to_date(time).alias("day")).agg(F.bit_xor(F.xxhash64(*columns)).alias("hash"))


def _covered(view: View, days: Sequence[date]) -> dict[date, Before]:
    # In a table of an earlier release: its days were computed for another layout.
    if not view.has(COVERAGE) or "whole" not in view.read(COVERAGE).columns:
        return {}
    inside = (F.col("table") == ITEM_FEATURES.name) & F.col("day").between(F.lit(days[0]), F.lit(days[-1]))
    names = ("events", "older", "base", "whole", "patches")
    rows = view.latest(COVERAGE).where(inside & F.col("whole").isNotNull())
    told = rows.select("day", F.col("events_version").alias("version"), *names).collect()  # one row a day
    return {row["day"]: Before(**{name: row[name] for name in ("version", *names)}) for row in told}
