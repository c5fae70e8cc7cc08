"""What a Delta table's log says, without a Spark job and, but for `files_of`, without a list of all its files."""

from __future__ import annotations

import json
from collections.abc import Callable

from py4j.java_gateway import JavaObject
from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F


def snapshot(spark: SparkSession, path: str) -> JavaObject:
    """The newest snapshot of the table at `path`, as Delta finds it: by a list of the log's files."""
    jvm = spark._jvm
    none = jvm.scala.Option.empty()  # type: ignore[union-attr]
    return jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, path).update(False, none, none)  # type: ignore[union-attr]


def files_of(spark: SparkSession, path: str, version: int) -> DataFrame:
    """A row for each file of that version, which the log must know.

    `path`, relative to the table and URL-encoded, `partition` (map from column to text) and `rows`, their number.
    """
    jvm = spark._jvm
    none = jvm.scala.Option.empty()  # type: ignore[union-attr]
    found = jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, path)  # type: ignore[union-attr]
    files = DataFrame(found.getSnapshotAt(version, none, none, False).allFiles().toDF(), spark)
    rows = F.get_json_object("stats", "$.numRecords").cast("bigint")
    return files.select("path", F.col("partitionValues").alias("partition"), rows.alias("rows"))


def newest_version(spark: SparkSession, path: str) -> int:
    """The newest version of the table at `path`; -1: there is no table.

    Found by asking for single files from Delta's last checkpoint on. The log keeps the commits of a month, and a file
    system that can not list from a name on, as the local one, takes longer for the list with each of them.
    """
    pointer = _text(spark, f"{path}/_delta_log/_last_checkpoint")
    first = 0 if pointer is None else int(json.loads(pointer)["version"])
    found = last_of(first, lambda version: exists(spark, _commit(path, version)))
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
    lines = _text(spark, _commit(path, version))
    if lines is None:
        return None
    actions = (json.loads(line) for line in lines.splitlines())
    return next((action["commitInfo"] for action in actions if "commitInfo" in action), {})


def _commit(path: str, version: int) -> str:
    return f"{path}/_delta_log/{version:020}.json"


def _place(spark: SparkSession, file: str) -> tuple[JavaObject, JavaObject]:
    path = spark._jvm.org.apache.hadoop.fs.Path(file)  # type: ignore[union-attr]
    return path.getFileSystem(spark._jsparkSession.sessionState().newHadoopConf()), path


def exists(spark: SparkSession, file: str) -> bool:
    """Whether there is a file at this URI."""
    files, path = _place(spark, file)
    return bool(files.exists(path))


def _text(spark: SparkSession, file: str) -> str | None:
    files, path = _place(spark, file)
    try:
        stream = files.open(path)
    except Py4JJavaError as error:
        if error.java_exception.getClass().getSimpleName() == "FileNotFoundException":
            return None
        raise
    try:
        return str(spark._jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8"))  # type: ignore[union-attr]
    finally:
        stream.close()
