"""Other files in the place of some: what comes, what goes, what stays, and how the log tells it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recsys.errors import RefusedError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

TAGS = {"query": "test"}


def append(spark: SparkSession, path: Path, first: int) -> None:
    """Ten numbers, odd and even ones in partitions of their own."""
    rows = spark.range(first, first + 10, 1, 1).selectExpr("id", "id % 2 AS p")
    rows.write.format("delta").partitionBy("p").mode("append").save(str(path))


def at(spark: SparkSession, path: Path, version: int | None = None) -> DataFrame:
    reader = spark.read.format("delta")
    return (reader if version is None else reader.option("versionAsOf", version)).load(str(path))


def test_files_of_a_version_are_replaced_and_later_ones_stay(spark: SparkSession, tmp_path: Path) -> None:
    from recsys.rewrite import rewrite

    append(spark, tmp_path, 0)
    append(spark, tmp_path, 10)
    odd = at(spark, tmp_path, 1).where("p = 1")
    append(spark, tmp_path, 20)
    done = rewrite(spark, str(tmp_path), 1, odd.coalesce(1), TAGS, lambda partition: partition["p"] == "1")
    assert done == 3
    now = at(spark, tmp_path)
    assert sorted(row["id"] for row in now.collect()) == list(range(30))
    assert len(now.inputFiles()) == 5  # of the odd ones two have become one
    assert at(spark, tmp_path, 2).count() == 30  # the older version is there still
    lines = (tmp_path / "_delta_log" / f"{done:020}.json").read_text().splitlines()
    info, *files = (json.loads(line) for line in lines)
    assert info["commitInfo"]["tags"] == TAGS
    assert {next(iter(file.values()))["dataChange"] for file in files} == {False}
    with pytest.raises(RefusedError, match="had at version 1 were changed meanwhile, by another fold"):
        rewrite(spark, str(tmp_path), 1, odd, TAGS, lambda partition: partition["p"] == "1")


def test_a_column_that_came_since_is_a_refusal(spark: SparkSession, tmp_path: Path) -> None:
    from recsys.rewrite import rewrite

    append(spark, tmp_path, 0)
    rows = at(spark, tmp_path, 0)
    spark.sql(f"ALTER TABLE delta.`{tmp_path}` ADD COLUMNS (more INT)")
    with pytest.raises(RefusedError, match="or a new column"):
        rewrite(spark, str(tmp_path), 0, rows, TAGS)
    assert at(spark, tmp_path).columns == ["id", "p", "more"]


def test_all_files_are_replaced_where_nothing_is_said_of_partitions(spark: SparkSession, tmp_path: Path) -> None:
    from recsys.rewrite import rewrite

    append(spark, tmp_path, 0)
    append(spark, tmp_path, 10)
    rewrite(spark, str(tmp_path), 1, at(spark, tmp_path, 1).where("id < 4"), TAGS)
    assert sorted(row["id"] for row in at(spark, tmp_path).collect()) == [0, 1, 2, 3]
