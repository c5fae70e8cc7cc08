"""What Delta knows of a table without reading its state: asked of the driver's JVM, so that no Spark job is started."""

from __future__ import annotations

import json

from py4j.java_gateway import JavaObject
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession


def snapshot(spark: SparkSession, path: str) -> JavaObject:
    """The newest snapshot of the table at `path`."""
    jvm = spark._jvm
    none = jvm.scala.Option.empty()  # type: ignore[union-attr]
    return jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, path).update(False, none, none)  # type: ignore[union-attr]


def commit_info(snapshot: JavaObject, spark: SparkSession, version: int) -> dict[str, object] | None:
    """The `commitInfo` of one commit as Delta wrote it. None: the file is gone, as Delta removes old ones."""
    log = snapshot.deltaLog()
    path = spark._jvm.org.apache.spark.sql.delta.util.FileNames.unsafeDeltaFile(log.logPath(), version)  # type: ignore[union-attr]
    try:
        lines = str(log.store().read(path, log.newDeltaHadoopConf()).mkString("\n"))
    except Py4JJavaError as error:
        if error.java_exception.getClass().getSimpleName() == "FileNotFoundException":
            return None
        raise
    actions = (json.loads(line) for line in lines.splitlines())
    return next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
