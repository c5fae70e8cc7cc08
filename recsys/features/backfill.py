"""Item features for a range of days, from `events`: only what changed since they were computed.

A day that was never computed, or for other definitions or prices, is computed whole. A day that merely lacks events
that came since is patched: rows of the items that these concern get a newer version, all others stay what they are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timezone
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.config import Settings
from recsys.features.cells import everyone, in_total
from recsys.features.covered import Day, wanted
from recsys.features.definitions import item_features_of
from recsys.features.item_feature import shares_of
from recsys.features.snapshots import history
from recsys.features.spark import item_features
from recsys.features.stored import kept, stored_table
from recsys.io import Commit, View, Warehouse
from recsys.log import event
from recsys.tables import COVERAGE, EVENTS, ITEM_FEATURES, ITEMS, Table
from recsys.together import together

CHUNK = 2  # whole days computed and committed at once
PARTS = 8  # of a whole day that is written beside patches
SPAN = 10  # days from a chunk's first to its last: they share one read of their events
JOB = "backfill"
log = logging.getLogger(__name__)


def backfill(warehouse: Warehouse, settings: Settings, days: Sequence[date]) -> Iterator[list[Day]]:
    """Compute the wanted ones of the ascending `days`, in chunks, all of the tables as they are at the beginning.

    Each chunk is committed on its own, so that a killed run goes on where it stopped. Yields the days of each. The
    stream may run on: `item_features` has no other writer.
    """
    view = warehouse.view()
    todo = wanted(view, settings.features, days)
    counts = {"wanted": len(todo), "patched": sum(map(patched, todo)), "covered": len(days) - len(todo)}
    event(log, "backfill", table=ITEM_FEATURES.name, **counts)
    for chunk in chunks(todo):
        _write(view, settings, chunk)
        yield chunk


def patched(day: Day) -> bool:
    """Whether the day is to be patched, not computed whole."""
    return day.came is not None


def chunks(days: Sequence[Day]) -> Iterator[list[Day]]:
    """The ascending days, cut so that a chunk has at most CHUNK that are not to be patched, and spans at most SPAN."""
    chunk = list[Day]()
    for day in days:
        whole = sum(not patched(one) for one in [*chunk, day])
        if chunk and (whole > CHUNK or (day.day - chunk[0].day).days >= SPAN):
            yield chunk
            chunk = []
        chunk = [*chunk, day]
    if chunk:
        yield chunk


def _touched(days: Sequence[Day]) -> DataFrame | None:
    """The items of each day to patch: (item_id, day), perhaps repeated. None: there is no such day."""
    came = {id(day.came): day.came for day in days if day.came is not None}
    frames = []
    for key, rows in came.items():
        each = F.array(*(F.lit(day.day) for day in days if id(day.came) == key))
        later = F.explode(F.filter(each, lambda day: day >= F.col("event_date"))).alias("day")
        items = rows.where("item_id IS NOT NULL").select("item_id", "event_date").distinct()
        frames.append(items.select("item_id", later))
    return reduce(DataFrame.unionByName, frames) if frames else None


def _write(view: View, settings: Settings, chunk: Sequence[Day]) -> None:
    started, warehouse, features = datetime.now(timezone.utc), view.warehouse, item_features_of(settings.features)
    asked = [(_hour(one.day, h), not patched(one)) for one in chunk for h in range(24)]
    hours = warehouse.spark.createDataFrame(asked, "hour timestamp, whole boolean")
    past, only = history(view.read(EVENTS), asked[0][0], asked[-1][0], features), _touched(chunk)
    rows = item_features(past, view.read(ITEMS), hours, settings, features=kept(features), only=only)
    totals = everyone(in_total(past, features), hours, features, settings)
    commit, table = warehouse.next_batch(JOB), stored_table(settings.features)
    stamped = commit.stamp(rows)
    if only is not None:  # else each task writes a file into each day
        whole = F.col("day").isin([one.day for one in chunk if not patched(one)])
        stamped = stamped.repartition("day", F.when(whole, F.pmod(F.hash("item_id"), F.lit(PARTS))))
    covered = _coverage(view, chunk, totals, commit, [f.name for f in shares_of(features)])
    own = f"`table` = '{ITEM_FEATURES.name}'"
    with together(warehouse.spark) as calls:
        written = calls.begin(warehouse.write, table, stamped, commit, replace=_left(warehouse, table, commit))
        seen = calls.begin(warehouse.write, COVERAGE, covered, commit, replace=_left(warehouse, COVERAGE, commit, own))
    versions = {ITEM_FEATURES.name: written.result(), COVERAGE.name: seen.result()}
    warehouse.finish(commit, versions, started)
    _tidy(warehouse, table, commit, [one.day for one in chunk if one.before and not patched(one)])


def _left(warehouse: Warehouse, table: Table, commit: Commit, own: str = "true") -> str | None:
    """Which of a table's `own` rows a run that was killed before it finished may have left under this same commit.

    None: none. Nobody else writes the two tables, so one that is what the last finished run made it holds no such rows,
    and is not searched for them.
    """
    untouched = warehouse.version(table) == warehouse.view().versions.get(table.name, -1)
    return None if untouched else f"{own} AND batch >= {commit.batch}"


def _tidy(warehouse: Warehouse, table: Table, commit: Commit, days: Sequence[date]) -> None:
    """Delete the rows that no reader sees any more, as the commit wrote these days whole."""
    if days:
        names = ", ".join(f"'{day}'" for day in days)
        none = warehouse.rows(table, commit).limit(0)
        warehouse.write(table, none, commit, replace=f"day IN ({names}) AND batch < {commit.batch}")


def _hour(day: date, hour: int) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=timezone.utc)


def _coverage(view: View, chunk: Sequence[Day], totals: DataFrame, commit: Commit, shares: Sequence[str]) -> DataFrame:
    """Rows of `coverage`: what each day of the chunk rests on, and the counts that its shares are of."""
    names = ("table", "day", "events_version", "events", "older", "base", "whole", "patches")
    seen, types = view.versions[EVENTS.name], {column.name: column.type for column in COVERAGE.columns}
    said = [
        (ITEM_FEATURES.name, one.day, seen, one.events, one.older, one.base, *_written(one, commit)) for one in chunk
    ]
    days = view.warehouse.spark.createDataFrame(said, ", ".join(f"`{name}` {types[name]}" for name in names))
    counts = F.map_from_arrays(F.array(*map(F.lit, shares)), F.array(*(F.col(name) for name in shares)))
    hours = totals.select(F.inline("everyone")).select("hour", counts.alias("counts"))
    each = F.collect_list(F.struct("hour", "counts")).alias("everyone")
    by_day = hours.groupBy(F.to_date("hour").alias("day")).agg(each)
    return commit.stamp(days.join(F.broadcast(by_day), "day", "left").coalesce(1))


def _written(day: Day, commit: Commit) -> tuple[int, int]:
    """The batch that wrote the day whole, and the commits since then."""
    return (day.before.whole, day.before.patches + 1) if patched(day) and day.before else (commit.batch, 0)
