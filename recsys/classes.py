"""Spark's classes as a JVM keeps them once read: a session that maps them starts with a third less work.

`python -m recsys.classes` fills the jar cache of a checkout and makes its archive of classes, which every local session
there then maps (application class-data sharing, JEP 350). A JVM of another version or class path than the archive's
takes no notice of it.
"""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
from pathlib import Path

from pyspark import SparkContext
from pyspark.sql import SparkSession

from recsys.config import Settings
from recsys.java import ARCHIVE
from recsys.session import CHECKOUT, JAVA_OPTIONS, open_session

QUICK = "-XX:TieredStopAtLevel=1"  # nothing runs long enough here to be worth the better compiler
ROWS = "SELECT id, id % 7 AS k, array(id, id + 1) AS list, timestamp_seconds(id) AS at FROM range(100)"


def record(archive: Path) -> None:
    """Write the classes that a small run loads to `archive`, which stays as it is where this Java cannot keep any.

    Needs a process in which no JVM runs yet.
    """
    archive.parent.mkdir(exist_ok=True)
    part = archive.with_suffix(f".{os.getpid()}")
    with tempfile.TemporaryDirectory() as folder:
        options = f'{JAVA_OPTIONS} {QUICK} -XX:ArchiveClassesAtExit="{part}" -Xlog:disable'
        spark = open_session(Settings(warehouse=folder, spark={"spark.driver.extraJavaOptions": options}), "classes")
        exercise(spark, Path(folder))
        ended = _ended(spark)
    if ended == 0 and part.is_file():
        part.replace(archive)  # whole or not at all: a JVM that maps half an archive dies
    part.unlink(missing_ok=True)


def exercise(spark: SparkSession, folder: Path) -> None:
    """What every job's code does in Spark, once: a stream of JSON into Delta without duplicates, a merge, a read."""
    source, table, state = (str(folder / name) for name in ("source", "table", "state"))
    spark.sql(ROWS).write.json(source)
    stream = spark.readStream.schema("id bigint, k bigint, list array<bigint>, at timestamp").json(source)
    query = stream.withWatermark("at", "1 hour").dropDuplicatesWithinWatermark(["id"]).writeStream.format("delta")
    query.option("checkpointLocation", state).trigger(availableNow=True).start(table).awaitTermination()
    spark.sql(
        f"MERGE INTO delta.`{table}` AS old USING ({ROWS}) AS new ON old.id = new.id"
        " WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
    )
    spark.read.format("delta").load(table).groupBy("k").count().orderBy("k").write.parquet(str(folder / "counts"))


def _ended(spark: SparkSession) -> int | None:
    """Exit code of Spark's JVM, which ends with its standard input and writes the archive then; None: not ours."""
    spark.stop()
    atexit.unregister(spark.stop)
    gateway = SparkContext._gateway
    if gateway is None:
        return None
    gateway.proc.stdin.close()
    return int(gateway.proc.wait())


if __name__ == "__main__":  # `make install` runs it once
    if CHECKOUT is None:
        sys.exit("Only a clone of the project keeps an archive of classes: its folder holds setup.py.")
    record(CHECKOUT / ARCHIVE)
