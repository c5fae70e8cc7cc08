"""What keeps tables from growing by what no reader needs: newest rows alone, sums, and files of a sane size.

Readers see the same before and after, and the stream runs on beside it: rows of a batch that has not ended stay as they
are, and what lands meanwhile is neither in the way nor touched. Older versions of a table stay readable until VACUUM
removes the files that they alone need.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone

from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.commit import VERSION
from recsys.config import FoldSettings
from recsys.deltalog import commit_info, files_of
from recsys.events.ingest import QUERY as EVENTS_QUERY
from recsys.features.cells import SUMS
from recsys.features.stream import QUERY as PROFILES_QUERY
from recsys.io import View, Warehouse, newest
from recsys.log import event
from recsys.rewrite import Partition, rewrite
from recsys.schema import Table
from recsys.tables import (
    ALL,
    BATCHES,
    EVENTS,
    ITEM_TILES,
    REJECTED_EVENTS,
    USER_EMBEDDINGS,
    USER_PROFILES,
    USERS_SKETCH,
)

JOB = "fold"
PACKED = (EVENTS, REJECTED_EVENTS, BATCHES, USER_EMBEDDINGS)  # their rows stay; their small files become large ones
TAGS = {"query": JOB}
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a fold puts in the place of which files."""

    rows: DataFrame
    replaced: Callable[[Partition], bool] | None = None  # None: of all


def fold(warehouse: Warehouse, settings: FoldSettings, day: date) -> Iterator[str]:
    """Fold, pack and, where the settings ask for it, VACUUM; yields the name of each table that is done with.

    `user_profiles` keeps each user's newest row of the epoch that readers see; `item_tiles` of UTC days before `day`
    one row a key. Files of `events` are packed from `settings.packed_days` before `day` on, as a younger day is
    patched by what its files tell. Raises NoDataError: no batch was ever committed.
    """
    view, started = warehouse.view(), datetime.now(timezone.utc)
    # Of the epoch whose rows it keeps, else readers would not go on to the version that it writes.
    commit = replace(warehouse.next_batch(JOB), epoch=view.epoch(USER_PROFILES) or 0)
    versions: dict[str, int] = {}
    for table, planned in ((USER_PROFILES, _profiles), (ITEM_TILES, _tiles)):
        if view.has(table) and (done := _folded(view, table)) is not None:
            versions[table.name] = done
        elif view.has(table) and (plan := planned(view, day)) is not None:
            versions |= _written(view, table, plan)
        yield table.name
    warehouse.finish(commit, versions, started)
    for table in PACKED:
        if view.has(table):
            _pack(warehouse, table, day - timedelta(days=settings.packed_days))
        yield table.name
    for table in ALL if settings.vacuum else ():
        if warehouse.exists(table):
            DeltaTable.forPath(warehouse.spark, warehouse.path(table)).vacuum()
            event(log, "vacuumed", table=table.name)


def _profiles(view: View, _: date) -> Plan | None:
    """Of the epoch that readers see the newest row of each user; what is still in the making."""
    ended = _ended(view, PROFILES_QUERY, view.epoch(USER_PROFILES))
    if ended is None:
        return None
    rows = _rows(view, USER_PROFILES)
    seen = F.col("epoch") == view.epoch(USER_PROFILES)
    kept = newest(rows.where(seen & ended), USER_PROFILES.key).unionByName(rows.where(~ended))
    return Plan(rows=kept.repartitionByRange("user_id").sortWithinPartitions("user_id"))


def _tiles(view: View, day: date) -> Plan | None:
    """One row for each key of the days before `day` that have more than one file."""
    files = files_of(view.warehouse.spark, view.warehouse.path(ITEM_TILES), view.versions[ITEM_TILES.name])
    by_day = files.groupBy(F.col("partition")["tile_date"].cast("date").alias("day")).agg(F.count("*").alias("n"))
    many = by_day.where((F.col("n") > 1) & (F.col("day") < F.lit(day))).collect()  # a row a day
    days, ended = sorted(row["day"] for row in many), _ended(view, EVENTS_QUERY)
    if ended is None or not days:
        return None
    rows = _rows(view, ITEM_TILES).where(F.col("tile_date").isin(days))
    sums = [F.sum(name).alias(name) for name in SUMS]
    if (users := USERS_SKETCH.name) in rows.columns:
        sums.append(F.when(F.bool_and(F.col(users).isNotNull()), F.hll_union_agg(users)).alias(users))
    grouped = rows.where(ended).groupBy(*ITEM_TILES.key, "tile_date")
    summed = grouped.agg(*sums, F.max(F.struct(*VERSION)).alias("version")).select("*", "version.*").drop("version")
    names = {one.isoformat() for one in days}
    kept = summed.select(*rows.columns).unionByName(rows.where(~ended)).repartition("tile_date")
    return Plan(rows=kept, replaced=lambda partition: partition["tile_date"] in names)


def _rows(view: View, table: Table) -> DataFrame:
    """All rows and columns of the version that readers see, those of other epochs too."""
    reader = view.warehouse.spark.read.format("delta").option("versionAsOf", view.versions[table.name])
    return reader.load(view.warehouse.path(table))


def _ended(view: View, query: str, epoch: int | None = None) -> Column | None:
    """Whether an ended batch of the query wrote the row. None: there is no such batch.

    Of its newest epoch and all before; with `epoch` of this one and all before: a newer one is still in the making.
    """
    rows = view.read(BATCHES).where(F.col("query") == query)
    rows = rows if epoch is None else rows.where(F.col("epoch") == epoch)
    at = rows.agg(F.max(F.struct(*VERSION)).alias("at")).select("at.*").first()
    if at is None or at["epoch"] is None:
        return None
    return F.expr(f"epoch < {at['epoch']} OR (epoch = {at['epoch']} AND batch <= {at['batch']})")


def _folded(view: View, table: Table) -> int | None:
    """The newest version where only folds, perhaps a killed one, came after what readers see. None: others did."""
    spark, path, seen = view.warehouse.spark, view.warehouse.path(table), view.versions[table.name]
    now = view.warehouse.version(table)
    since = (commit_info(spark, path, version) or {} for version in range(min(seen + 1, now), now + 1))
    return now if all(info.get("tags") == TAGS for info in since) else None


def _written(view: View, table: Table, plan: Plan) -> Mapping[str, int]:
    """Commit the plan. The version for readers: none where others wrote in between, whose batch may not have ended."""
    warehouse, before = view.warehouse, view.versions[table.name]
    version = rewrite(warehouse.spark, warehouse.path(table), before, plan.rows, TAGS, plan.replaced)
    event(log, "folded", table=table.name, version=version, **_files(warehouse, table, before, version))
    return {table.name: version} if version == before + 1 else {}


def _pack(warehouse: Warehouse, table: Table, last: date) -> None:
    before = warehouse.version(table)
    packing = DeltaTable.forPath(warehouse.spark, warehouse.path(table)).optimize()
    if table == EVENTS:
        packing = packing.where(f"event_date < DATE'{last}'")
    packing.executeCompaction()
    version = warehouse.version(table)
    event(log, "packed", table=table.name, version=version, **_files(warehouse, table, before, version))


def _files(warehouse: Warehouse, table: Table, before: int, now: int) -> dict[str, int]:
    """The number of the table's files at two of its versions."""
    path = warehouse.path(table)
    sizes = [files_of(warehouse.spark, path, version).count() for version in (before, now)]
    return dict(zip(("files_before", "files"), sizes, strict=True))
