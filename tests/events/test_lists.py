"""Elements of a list column, however the source writes it."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys.events.fields import Expand
from recsys.events.lists import elements


@pytest.mark.parametrize(
    ("text", "separator", "found"),
    [
        ("a|b", "|", ["a", "b"]),
        ("a", "|", ["a"]),
        ("a||b", "|", ["a", "", "b"]),
        ("a.b|c", ".", ["a", "b|c"]),
        ('["a", "b|c"]', "|", ["a", "b|c"]),
        ("[1, 2.5]", "|", ["1", "2.5"]),
        ("[", "|", []),
        (" ", "|", []),
        (None, "|", []),
    ],
)
def test_elements(spark: SparkSession, text: str | None, separator: str, found: list[str]) -> None:
    rows = spark.createDataFrame([(text,)], "t string")
    assert rows.select(elements(F.col("t"), Expand(column="t", separator=separator))).first() == (found,)
