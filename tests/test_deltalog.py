"""What Delta's log says, without a Spark job."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from recsys.deltalog import commit_info, last_of, newest_version, snapshot


@given(st.integers(0, 50), st.integers(0, 3000))
def test_the_last_one_is_found_in_few_questions(first: int, more: int) -> None:
    asked = list[int]()

    def exists(number: int) -> bool:
        asked.append(number)
        return first <= number <= first + more

    assert last_of(first, exists) == first + more
    assert len(asked) <= 2 + 2 * (more + 1).bit_length()
    assert last_of(first + more + 1, exists) is None


def test_a_commit_tells_what_it_was_and_one_that_is_gone_tells_nothing(spark: SparkSession, tmp_path: Path) -> None:
    path = f"{tmp_path}/t"
    assert newest_version(spark, path) == -1
    spark.range(1).write.format("delta").option("userMetadata", "by me").save(path)
    assert newest_version(spark, path) == snapshot(spark, path).version() == 0
    info = commit_info(spark, path, 0)
    assert info is not None
    assert (info["operation"], info["userMetadata"]) == ("WRITE", "by me")
    assert commit_info(spark, path, 7) is None
    log = Path(path) / "_delta_log"
    (log / "_last_checkpoint").write_text('{"version": 0, "size": 3}')
    (log / f"{1:020}.json").write_text((log / f"{0:020}.json").read_text())
    assert newest_version(spark, path) == 1
