"""Tables as they were: views of versions that an earlier run noted, for as long as Delta keeps them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame

from recsys.errors import ConfigError, VersionGoneError, nearest
from recsys.hadoop import place
from recsys.io import View, Warehouse
from recsys.pins import Pin
from recsys.tables import ALL, Table

TABLES = {table.name: table for table in ALL}


def view_of(warehouse: Warehouse, versions: Mapping[str, int]) -> View:
    """A view of tables without epochs at these Delta versions, whatever was written since.

    Raises VersionGoneError: one can no longer be read in full, as its log or its files were cleaned up. ConfigError:
    there is no such table.
    """
    for name, version in versions.items():
        if name not in TABLES:
            raise ConfigError(f"pinned tables: there is no table {name!r}.{nearest(name, TABLES)}")
        _require(warehouse, TABLES[name], version)
    return View(warehouse, {name: Pin(0, version) for name, version in versions.items()})


def _require(warehouse: Warehouse, table: Table, version: int) -> None:
    path = warehouse.path(table)
    if not warehouse.exists(table):
        raise VersionGoneError(f"table {table.name!r} does not exist at {path!r}: its version {version} is wanted.")
    if _whole(warehouse, table, version):
        return
    newest = warehouse.version(table)
    later = range(version + 1, newest + 1)
    # What a later version lacks an earlier one lacks too, so the oldest whole one is found by bisection.
    first = bisect_left(later, True, key=lambda number: _whole(warehouse, table, number))
    oldest = f"the oldest is {later[first]}, the newest {newest}" if first < len(later) else f"the newest is {newest}"
    raise VersionGoneError(
        f"version {version} of table {table.name!r} can no longer be read: {oldest}. Delta deletes files that no newer "
        "version has after delta.deletedFileRetentionDuration (VACUUM), and the log after delta.logRetentionDuration. "
        "Set both, before the next VACUUM, to as long as runs have to be repeatable, and take a run of that time; or "
        "train without --pins."
    )


def _whole(warehouse: Warehouse, table: Table, version: int) -> bool:
    """Whether the version's log and all its files are there."""
    try:
        files = set(_read(warehouse, table, version).inputFiles())
    except AnalysisException as error:
        if (error.getCondition() or "").startswith("DELTA_"):
            return False
        raise
    dropped = files - set(_read(warehouse, table, warehouse.version(table)).inputFiles())  # only these may be gone
    return all(place(warehouse.spark, file).exists() for file in sorted(dropped))


def _read(warehouse: Warehouse, table: Table, version: int) -> DataFrame:
    reader = warehouse.spark.read.format("delta").option("versionAsOf", version)
    return reader.load(warehouse.path(table))
