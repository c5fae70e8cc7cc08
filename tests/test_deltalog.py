"""What Delta's log says, without a Spark job."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from recsys.deltalog import commit_info, snapshot


def test_a_commit_tells_what_it_was_and_one_that_is_gone_tells_nothing(spark: SparkSession, tmp_path: Path) -> None:
    spark.range(1).write.format("delta").option("userMetadata", "by me").save(str(tmp_path))
    found = snapshot(spark, str(tmp_path))
    assert found.version() == 0
    info = commit_info(found, spark, 0)
    assert info is not None
    assert (info["operation"], info["userMetadata"]) == ("WRITE", "by me")
    assert commit_info(found, spark, 7) is None
