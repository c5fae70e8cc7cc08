from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recsys import java
from recsys.config import Settings
from recsys.session import EXTENSION, PACKAGES, REQUIRED, jars_conf, parse_properties, parse_submit_args, session_conf

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parent.parent
PARTITIONS = "spark.sql.shuffle.partitions"
OPEN = "from recsys.config import Settings; from recsys.session import open_session\n"


def test_settings_win_over_local_defaults_and_lose_to_spark_submit() -> None:
    settings = Settings(spark={PARTITIONS: "3", "spark.ui.enabled": "true", "spark.executor.cores": "2"})
    conf = session_conf(settings, {PARTITIONS: "9", "spark.sql.session.timeZone": "UTC"}, "x")
    assert PARTITIONS not in conf
    assert "spark.sql.session.timeZone" not in conf
    assert (conf["spark.ui.enabled"], conf["spark.executor.cores"], conf["spark.app.name"]) == ("true", "2", "x")
    assert conf["spark.sql.extensions"] == EXTENSION


def test_local_defaults_are_for_local_masters_only() -> None:
    cluster = session_conf(Settings(spark={"spark.master": "spark://host:7077"}), {}, "x")
    assert cluster["spark.master"] == "spark://host:7077"
    assert PARTITIONS not in cluster
    assert REQUIRED.items() <= cluster.items()
    assert session_conf(Settings(), {}, "x")[PARTITIONS] == "4"
    assert "spark.master" not in session_conf(Settings(), {"spark.master": "yarn"}, "x")


def test_jars_come_from_the_cache_once_it_is_filled(tmp_path: Path) -> None:
    cache = {"spark.jars.ivy": str(tmp_path)}
    first = jars_conf(cache, {})
    assert first["spark.jars.packages"] == ",".join(PACKAGES)
    (tmp_path / "jars").mkdir()
    for package in PACKAGES:
        group, artifact, version = package.split(":")
        (tmp_path / "jars" / f"{group}_{artifact}-{version}.jar").touch()
    assert jars_conf(cache, {}).keys() == {"spark.jars"}
    assert jars_conf(cache | {"spark.jars": "own.jar"}, {})["spark.jars"].endswith(",own.jar")
    with_own = jars_conf(cache | {"spark.jars.packages": "a:b:1"}, {})
    assert with_own["spark.jars.packages"] == ",".join((*PACKAGES, "a:b:1"))
    assert jars_conf(cache, {"spark.jars.packages": "a:b:1"}) == {}


def test_properties() -> None:
    text = "# comment\n\nspark.master   spark://h:7077\nspark.a=b c\n  spark.b: x=y  \n!no\nspark.java -Da=b -Dc=d\n"
    assert parse_properties(text) == {
        "spark.master": "spark://h:7077",
        "spark.a": "b c",
        "spark.b": "x=y",
        "spark.java": "-Da=b -Dc=d",
    }


def test_submit_args() -> None:
    text = "--master 'local[3]' -c a=1 --conf \"b=x y=z\" --packages p:q:1 --verbose pyspark-shell"
    assert parse_submit_args(text) == {
        "spark.master": "local[3]",
        "spark.jars.packages": "p:q:1",
        "a": "1",
        "b": "x y=z",
    }
    assert parse_submit_args("pyspark-shell") == {}


def run(command: list[str], **env: str) -> subprocess.CompletedProcess[str]:
    java.ensure()
    bare = {key: value for key, value in os.environ.items() if not key.startswith(("SPARK_", "PYSPARK_"))}
    return subprocess.run(command, cwd=ROOT, env=bare | env, capture_output=True, text=True, check=False, timeout=200)


def submit(tmp_path: Path, code: str, *options: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "script.py"
    script.write_text(code)
    command = [str(Path(sys.executable).with_name("spark-submit")), "--master", "local[1]", *options, str(script)]
    return run(command, PYSPARK_PYTHON=sys.executable, PYTHONPATH=str(ROOT))


@pytest.mark.spark
def test_spark_submit_is_not_overridden(tmp_path: Path) -> None:
    code = f"""{OPEN}
spark = open_session(Settings(spark={{{PARTITIONS!r}: "3", "spark.sql.ansi.enabled": "false"}}), "x")
print("FOUND", *(spark.conf.get(k) for k in ({PARTITIONS!r}, "spark.sql.ansi.enabled", "spark.sql.session.timeZone")))
"""
    jars = jars_conf({}, {})["spark.jars"]
    done = submit(tmp_path, code, "--conf", f"{PARTITIONS}=9", "--jars", jars, "--conf", "spark.ui.enabled=false")
    assert "FOUND 9 false UTC" in done.stdout, done.stderr[-3000:]


@pytest.mark.spark
def test_spark_submit_without_delta_says_what_to_add(tmp_path: Path) -> None:
    done = submit(tmp_path, f"{OPEN}open_session(Settings(), 'x')", "--conf", "spark.ui.enabled=false")
    assert done.returncode == 1
    assert f"add `--packages {PACKAGES[0]}" in done.stdout  # spark-submit joins both streams


@pytest.mark.spark
def test_defaults_file_is_not_overridden_and_a_foreign_zone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spark-defaults.conf").write_text("spark.sql.session.timeZone Europe/Berlin\n")
    done = run([sys.executable, "-c", f"{OPEN}open_session(Settings(), 'x')"], SPARK_CONF_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "spark.sql.session.timeZone is 'Europe/Berlin'" in done.stderr


def test_the_running_session_is_shared_and_writes_delta(spark: SparkSession, tmp_path: Path) -> None:
    from recsys.session import open_session

    assert open_session(Settings(), "other") is spark
    path = str(tmp_path / "table")
    spark.range(10).write.format("delta").save(path)
    spark.sql(f"DELETE FROM delta.`{path}` WHERE id < 4")  # needs Delta's SQL extension and catalog
    assert spark.read.format("delta").load(path).count() == 6


def test_columns_of_unique_values_are_written_without_a_dictionary(spark: SparkSession, tmp_path: Path) -> None:
    from pyarrow.parquet import ParquetFile
    from pyspark.sql import functions as F

    from recsys.session import UNIQUE
    from recsys.tables import EVENTS, RECENT_FIELDS

    assert {name.rpartition(".")[2] for name in UNIQUE} <= set(RECENT_FIELDS) & {c.name for c in EVENTS.columns}
    behaviour = F.struct(
        F.lit("e").alias("event_id"), F.current_timestamp().alias("event_time"), F.lit("i").alias("item_id")
    )
    rows = spark.range(0, 10, 1, 1).select(F.lit("e").alias("event_id"), F.array(behaviour).alias("recent"))
    rows.write.format("delta").save(str(tmp_path / "table"))
    (file,) = (tmp_path / "table").glob("*.parquet")
    group = ParquetFile(file).metadata.row_group(0)
    columns = {group.column(n).path_in_schema: set(group.column(n).encodings) for n in range(group.num_columns)}
    plain = {path for path, used in columns.items() if not used & {"PLAIN_DICTIONARY", "RLE_DICTIONARY"}}
    assert plain == set(UNIQUE)


def test_local_files_are_renamed_without_a_process_and_hdfs_as_spark_does(spark: SparkSession) -> None:
    from recsys.session import LOCAL_RENAMES, RENAMES, on_local_files

    paths, here = Settings(warehouse="w", checkpoints="c"), Settings(warehouse="file:/w", checkpoints="file:/c")
    assert spark.conf.get(RENAMES) == LOCAL_RENAMES
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    before = hadoop.get("fs.defaultFS")
    assert on_local_files(spark, paths)
    try:
        hadoop.set("fs.defaultFS", "hdfs://namenode:8020")
        assert [on_local_files(spark, one) for one in (paths, here)] == [False, True]
    finally:
        hadoop.set("fs.defaultFS", before)


def test_python_workers_are_this_environment(spark: SparkSession) -> None:
    from pyspark.sql import functions as F

    executable = F.udf(lambda _: sys.executable, "string")
    row = spark.range(1).select(executable("id").alias("python")).first()
    assert row is not None
    assert row["python"] == sys.executable
