"""Queries side by side: each has its result, its error and the tags of who began it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from recsys.together import together

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TAG = "side-by-side"


def test_calls_meet_and_each_has_its_own_result(spark: SparkSession) -> None:
    met = threading.Barrier(2, timeout=60)

    def squares(upto: int, *, times: int) -> int:
        met.wait()  # either alone would wait for ever
        return sum(row["id"] ** 2 * times for row in spark.range(upto).collect())

    with together(spark) as calls:
        few, more = calls.begin(squares, 3, times=1), calls.begin(squares, 4, times=2)
    assert (few.result(), more.result()) == (5, 28)


def test_a_call_has_the_tags_of_who_began_it(spark: SparkSession) -> None:
    spark.addTag(TAG)
    try:
        with together(spark) as calls:
            found = calls.begin(spark.getTags)
    finally:
        spark.removeTag(TAG)
    assert found.result() == {TAG}


def test_a_failed_call_raises_what_it_met_when_asked_and_leaves_the_other_to_end(spark: SparkSession) -> None:
    def fails() -> int:
        raise KeyError("lost")

    with together(spark) as calls:
        lost, found = calls.begin(fails), calls.begin(spark.range(5).count)
    assert found.done()
    assert found.result() == 5
    with pytest.raises(KeyError, match="lost"):
        lost.result()
