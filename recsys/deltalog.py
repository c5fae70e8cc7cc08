"""What a Delta table's log says, without a Spark job and, but for `files_of`, without a list of all its files."""

from __future__ import annotations

import json
from collections.abc import Callable

from py4j.java_gateway import JavaObject
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.hadoop import Place, java_class, place

DELTA_LOG = "org.apache.spark.sql.delta.DeltaLog"


def snapshot(spark: SparkSession, path: str) -> JavaObject:
    """The newest snapshot of the table at `path`, as Delta finds it: by a list of the log's files."""
    none = java_class(spark, "scala.Option").empty()
    return java_class(spark, DELTA_LOG).forTable(spark._jsparkSession, path).update(False, none, none)


def files_of(spark: SparkSession, path: str, version: int) -> DataFrame:
    """A row for each file of that version, which the log must know.

    `path`, relative to the table and URL-encoded, `partition` (map from column to text) and `rows`, their number.
    """
    none = java_class(spark, "scala.Option").empty()
    found = java_class(spark, DELTA_LOG).forTable(spark._jsparkSession, path)
    files = DataFrame(found.getSnapshotAt(version, none, none, False).allFiles().toDF(), spark)
    rows = F.get_json_object("stats", "$.numRecords").cast("bigint")
    return files.select("path", F.col("partitionValues").alias("partition"), rows.alias("rows"))


def newest_version(spark: SparkSession, path: str) -> int:
    """The newest version of the table at `path`; -1: there is no table.

    Found by asking for single files from Delta's last checkpoint on. The log keeps the commits of a month, and a file
    system that can not list from a name on, as the local one, takes longer for the list with each of them.
    """
    log = place(spark, f"{path}/_delta_log")
    pointer = (log / "_last_checkpoint").text()
    first = 0 if pointer is None else int(json.loads(pointer)["version"])
    found = last_of(first, lambda version: _commit(log, version).exists())
    return int(snapshot(spark, path).version()) if found is None else found


def last_of(first: int, exists: Callable[[int], bool]) -> int | None:
    """The last of the whole numbers from `first` on that exist, which have no gap; None: `first` does not."""
    if not exists(first):
        return None
    last, step = first, 1
    while exists(last + step):
        last, step = last + step, 2 * step
    while step > 1:
        step //= 2
        last += step * exists(last + step)
    return last


def commit_info(spark: SparkSession, path: str, version: int) -> dict[str, object] | None:
    """The `commitInfo` of one commit as Delta wrote it. None: the file is gone, as Delta removes old ones."""
    lines = _commit(place(spark, f"{path}/_delta_log"), version).text()
    if lines is None:
        return None
    actions = (json.loads(line) for line in lines.splitlines())
    return next((action["commitInfo"] for action in actions if "commitInfo" in action), {})


def _commit(log: Place, version: int) -> Place:
    return log / f"{version:020}.json"
