"""The Spark session of every job. What spark-submit, its `--conf` or spark-defaults.conf set is never overridden.

Precedence, strongest first: spark-submit and spark-defaults.conf > `settings.spark` > LOCAL (local masters) > REQUIRED.
"""

from __future__ import annotations

import argparse
import atexit
import os
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from pyspark import SparkConf, SparkContext
from pyspark.find_spark_home import _find_spark_home
from pyspark.sql import SparkSession

from recsys import java
from recsys.config import Settings
from recsys.errors import ConfigError
from recsys.hadoop import java_class
from recsys.paths import is_local

PACKAGE = Path(__file__).resolve().parent
PACKAGES = ("io.delta:delta-spark_4.2_2.13:4.4.0", "io.delta:delta-storage:4.4.0")
# Spark's own distribution holds the rest of what they ask for: 2 jars instead of 33.
EXCLUDES = "org.*:*,com.*:*,javax.*:*,commons-*:*,io.airlift:*,io.unitycatalog:*,io.delta:delta-kernel-*"
EXTENSION = "io.delta.sql.DeltaSparkSessionExtension"
STATE = "spark.sql.streaming.stateStore"
# Where this code is a clone, what it needs beside itself is kept in the clone.
CHECKOUT = PACKAGE.parent if (PACKAGE.parent / "setup.py").is_file() else None
# Spark matches a failed batch's whole Python trace with a regular expression that recurses: on the default stack of a
# thread that overflows, and the query dies without its error.
JAVA_OPTIONS = f"-Xss8m -Dlog4j2.configurationFile={(PACKAGE / 'log4j2.properties').as_uri()}"
# Columns without equal values: a dictionary of them is built, found too large and thrown away again.
UNIQUE = ("event_id", "recent.list.element.event_id", "recent.list.element.event_time")

REQUIRED: Mapping[str, str] = {
    "spark.sql.extensions": EXTENSION,
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # Else each column asks the JVM twice where it was written; a micro-batch makes hundreds.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    # The default, INT96, has no statistics by which files could be skipped.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # Both streaming queries together generate more classes than the default, 100, keeps: each batch would compile all
    # of them anew, and the JIT compiler would never be done with them.
    "spark.sql.codegen.cache.maxEntries": "1000",
    # State must live outside the heap, and a batch must upload its changes rather than the whole store.
    f"{STATE}.providerClass": "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider",
    f"{STATE}.rocksdb.changelogCheckpointing.enabled": "true",
    # To count its keys, the store would look each one up before it is written.
    f"{STATE}.rocksdb.trackTotalNumberOfRows": "false",
    **{f"spark.hadoop.parquet.enable.dictionary#{column}": "false" for column in UNIQUE},
    # Asked for each element of a user's list; left unset, the process's environment is searched each time.
    "spark.sql.types.framework.enabled": "false",
}
LOCAL: Mapping[str, str] = {
    "spark.driver.memory": "4g",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "4",
    "spark.databricks.delta.snapshotPartitions": "1",  # else every read of a table runs 50 tasks
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "8",  # … and every VACUUM 10,000
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.extraJavaOptions": JAVA_OPTIONS,
}
# Where warehouse and checkpoints are local files. Spark's default starts a process, `readlink`, for each side of each
# rename: half of a small batch's time. Elsewhere the default stays: HDFS renames over a file only through it.
RENAMES = "spark.sql.streaming.checkpointFileManagerClass"
LOCAL_RENAMES = "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
UTC = {"UTC", "Etc/UTC", "Z", "GMT", "+00:00"}


def open_session(settings: Settings, name: str) -> SparkSession:
    """The running session, else a new one with Delta; stopped when the process ends.

    Raises ConfigError: no usable Java; Delta is not on the class path; a session time zone other than UTC.
    """
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    java.ensure()
    submitted = _submitted()
    conf = session_conf(settings, submitted, name)
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        conf |= jars_conf({**conf, **submitted}, submitted)
    if {**conf, **submitted}["spark.master"].startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # workers run where this process runs
    spark = SparkSession.builder.config(conf=_conf(conf)).getOrCreate()
    atexit.register(spark.stop)
    _check(spark)
    if spark.conf.get(RENAMES, None) is None and on_local_files(spark, settings):
        spark.conf.set(RENAMES, LOCAL_RENAMES)
    return spark


def session_conf(settings: Settings, submitted: Mapping[str, str], name: str) -> dict[str, str]:
    """What this session adds to `submitted`, the Spark settings that came from outside."""
    master = submitted.get("spark.master", settings.spark.get("spark.master", "local[*]"))
    local = {**LOCAL, **_kept_classes()} if master.startswith("local") else {}
    own = {"spark.app.name": name, "spark.sql.warehouse.dir": f"{settings.warehouse.rstrip('/')}/_spark"}
    wanted = {**REQUIRED, **local, **own, "spark.master": master, **settings.spark}
    return {key: value for key, value in wanted.items() if key not in submitted}


def jars_conf(conf: Mapping[str, str], submitted: Mapping[str, str]) -> dict[str, str]:
    """Where Delta's jars come from outside spark-submit: the clone's cache, filled through Ivy at the first session."""
    if {"spark.jars", "spark.jars.packages"} & submitted.keys():
        return {}
    ivy = conf.get("spark.jars.ivy", str(CHECKOUT / ".cache" / "ivy") if CHECKOUT else str(Path.home() / ".ivy2"))
    wanted = [f"{group}_{artifact}-{version}.jar" for group, artifact, version in (p.split(":") for p in PACKAGES)]
    jars = [Path(ivy) / "jars" / jar for jar in wanted]
    more = [conf[key] for key in ("spark.jars",) if key in conf]
    if "spark.jars.packages" not in conf and all(jar.is_file() for jar in jars):
        return {"spark.jars": ",".join([*map(str, jars), *more])}
    packages = [*PACKAGES, *(conf[key] for key in ("spark.jars.packages",) if key in conf)]
    excludes = {} if "spark.jars.packages" in conf else {"spark.jars.excludes": EXCLUDES}
    return {"spark.jars.ivy": ivy, "spark.jars.packages": ",".join(packages), **excludes}


def parse_properties(text: str) -> dict[str, str]:
    """Keys and values of a spark-defaults.conf: `key value`, `key=value` or `key: value` a line, `#` for comments."""
    lines = re.findall(r"^[ \t]*([^#!\s=:][^\s=:]*)[ \t]*[ \t=:][ \t]*(.*?)[ \t]*$", text, flags=re.MULTILINE)
    return dict(lines)


def parse_submit_args(text: str) -> dict[str, str]:
    """Spark settings in a `PYSPARK_SUBMIT_ARGS`: `--conf key=value`, `--master`, `--packages` and `--jars`."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--conf", "-c", action="append", default=[])
    for flag in ("master", "packages", "jars"):
        parser.add_argument(f"--{flag}")
    found = parser.parse_known_args(shlex.split(text))[0]
    named = {"spark.master": found.master, "spark.jars.packages": found.packages, "spark.jars": found.jars}
    pairs = (assignment.partition("=") for assignment in found.conf)
    return {key: value for key, value in named.items() if value} | {key: value for key, _, value in pairs}


def _kept_classes() -> dict[str, str]:
    archive = CHECKOUT / java.ARCHIVE if CHECKOUT else None
    if archive is None or not archive.is_file():
        return {}
    return {"spark.driver.extraJavaOptions": f"{JAVA_OPTIONS} {java.mapping(archive)}"}


def _submitted() -> dict[str, str]:
    if "PYSPARK_GATEWAY_PORT" in os.environ:  # spark-submit started this process, and its JVM knows all that was set
        SparkContext._ensure_initialized()
        return dict(SparkConf().getAll())
    folder = os.environ.get("SPARK_CONF_DIR", str(Path(_find_spark_home()) / "conf"))
    defaults = Path(folder) / "spark-defaults.conf"
    values = parse_properties(defaults.read_text(encoding="utf-8")) if defaults.is_file() else {}
    return values | parse_submit_args(os.environ.get("PYSPARK_SUBMIT_ARGS", ""))


def _conf(values: Mapping[str, str]) -> SparkConf:
    return SparkConf().setAll(list(values.items()))


def on_local_files(spark: SparkSession, settings: Settings) -> bool:
    """Whether tables and checkpoints are local files; a path without a scheme lies on Hadoop's default file system."""
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    default = str(java_class(spark, "org.apache.hadoop.fs.FileSystem").getDefaultUri(hadoop).getScheme())
    return all(is_local(place, default) for place in (settings.warehouse, settings.checkpoints))


def _check(spark: SparkSession) -> None:
    zone = spark.conf.get("spark.sql.session.timeZone")
    if zone not in UTC:
        spark.stop()
        raise ConfigError(
            f"spark.sql.session.timeZone is {zone!r}, but all tables count days in UTC. Remove that setting."
        )
    jvm = spark.sparkContext._jvm
    loader = jvm.Thread.currentThread().getContextClassLoader() if jvm else None
    if loader is None or loader.getResource(EXTENSION.replace(".", "/") + ".class") is None:
        spark.stop()
        raise ConfigError(f"Delta is not on Spark's class path: add `--packages {','.join(PACKAGES)}` to spark-submit.")
