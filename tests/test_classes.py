from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recsys import java, session
from recsys.classes import exercise
from recsys.config import Settings
from recsys.java import ARCHIVE
from recsys.session import CHECKOUT, LOCAL, session_conf

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

OPTIONS = "spark.driver.extraJavaOptions"


def test_a_local_session_maps_the_archive_of_its_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CHECKOUT", tmp_path)
    assert session_conf(Settings(), {}, "x")[OPTIONS] == LOCAL[OPTIONS]
    archive = tmp_path / ARCHIVE
    archive.parent.mkdir()
    archive.touch()
    assert session_conf(Settings(), {}, "x")[OPTIONS] == f"{LOCAL[OPTIONS]} {java.mapping(archive)}"
    assert OPTIONS not in session_conf(Settings(spark={"spark.master": "spark://host:7077"}), {}, "x")
    assert session_conf(Settings(spark={OPTIONS: "-Dmine=1"}), {}, "x")[OPTIONS] == "-Dmine=1"
    assert OPTIONS not in session_conf(Settings(), {OPTIONS: "-Dmine=1"}, "x")


def test_outside_a_checkout_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CHECKOUT", None)
    assert session_conf(Settings(), {}, "x")[OPTIONS] == LOCAL[OPTIONS]


def test_the_jvm_took_the_archive(spark: SparkSession) -> None:
    archive = CHECKOUT / ARCHIVE if CHECKOUT else Path()
    if not archive.is_file():
        pytest.skip("this Java keeps no classes: `make install` made no archive")
    jvm = spark.sparkContext._jvm
    maps = Path(f"/proc/{jvm.java.lang.ProcessHandle.current().pid() if jvm else 0}/maps")
    if not maps.is_file():
        pytest.skip("only Linux tells which files a process has mapped")
    assert str(archive) in maps.read_text()


def test_the_run_that_is_recorded_reads_what_it_wrote(spark: SparkSession, tmp_path: Path) -> None:
    exercise(spark, tmp_path)
    counts = spark.read.parquet(str(tmp_path / "counts")).collect()
    assert sorted((row["k"], row["count"]) for row in counts) == [(k, 15 if k < 2 else 14) for k in range(7)]
