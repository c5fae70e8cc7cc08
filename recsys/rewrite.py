"""A commit that puts other files in the place of some whose rows mean the same to readers.

Through Delta's transaction itself, as OPTIMIZE does it: such a commit changes no data, so it can neither fail because
others append at the same time nor make them fail, and streams that follow the table do not see its files. What Delta's
writers offer instead either conflicts with every append (`replaceWhere`) or loses one that lands before their first
look at the table (`overwrite` without a change of data).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from delta import exceptions
from py4j.java_gateway import JavaObject
from pyspark.sql import DataFrame, SparkSession

from recsys.deltalog import DELTA_LOG
from recsys.errors import RefusedError
from recsys.hadoop import java_class

OPERATION = "org.apache.spark.sql.delta.DeltaOperations$ManualUpdate$"
CONFLICTS = (
    exceptions.ConcurrentDeleteDeleteException,
    exceptions.ConcurrentDeleteReadException,
    exceptions.MetadataChangedException,
)
CONVERTERS = "scala.jdk.javaapi.CollectionConverters"
# Fields of Delta's AddFile before and behind its `dataChange`: there is no other way to copy one.
BEFORE = ("path", "partitionValues", "size", "modificationTime")
BEHIND = ("stats", "tags", "deletionVector", "baseRowId", "defaultRowCommitVersion", "clusteringProvider")
DEFAULTS = ("copy$default$12", "copy$default$13")
Partition = Mapping[str, str]  # text of each partition column


def rewrite(
    spark: SparkSession,
    path: str,
    version: int,
    rows: DataFrame,
    tags: Mapping[str, str],
    replaced: Callable[[Partition], bool] | None = None,
) -> int:
    """Commit `rows` in the place of the files that the table at `path` had at `version`; the version of the commit.

    `rows` have the table's columns and are made of that version. `replaced` says which partitions they replace, by
    default all. `tags` go into the table's history. What others appended since then stays. The driver holds the names
    of the files. Raises RefusedError where some of these files are gone since then, or the table has other columns.
    """
    option, convert = java_class(spark, "scala.Option"), java_class(spark, CONVERTERS)
    log = java_class(spark, DELTA_LOG).forTable(spark._jsparkSession, path)
    snapshot = log.getSnapshotAt(version, option.empty(), option.empty(), False)
    transaction = log.startTransaction(option.empty(), option.apply(snapshot))
    none = convert.asScala(java_class(spark, "java.util.ArrayList")()).toSeq()
    written = convert.asJava(transaction.writeFiles(rows._jdf, option.empty(), True, none))
    actions = java_class(spark, "java.util.ArrayList")()
    for file in written:
        actions.add(_unchanged(file))
    now = int(time.time() * 1000)
    for file in snapshot.allFiles().collectAsList():
        if replaced is None or replaced(convert.asJava(file.partitionValues())):
            actions.add(file.removeWithTimestamp(now, False))
    named = java_class(spark, "java.util.HashMap")()
    for name, value in tags.items():
        named.put(name, value)
    said = getattr(_single(spark, "scala.collection.immutable.Map$"), "from")(convert.asScala(named))
    try:
        return int(transaction.commit(convert.asScala(actions).toSeq(), _single(spark, OPERATION), said))
    except CONFLICTS as error:
        raise RefusedError(
            f"the files that {path!r} had at version {version} were changed meanwhile, by another fold, OPTIMIZE or a "
            "new column. Nothing was written; run the same again."
        ) from error


def _single(spark: SparkSession, name: str) -> JavaObject:
    """The only instance of a Scala object."""
    return getattr(java_class(spark, name), "MODULE$")


def _unchanged(file: JavaObject) -> JavaObject:
    """The same file, as one that brings no new data."""
    before, behind = ([getattr(file, name)() for name in names] for names in (BEFORE, (*BEHIND, *DEFAULTS)))
    return file.copy(*before, False, *behind)
