"""Globs, suffixes and numbers of one column against plain Python."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys.events.fields import Number, Outlier, Text
from recsys.events.values import BEHAVIOUR, glob, number, trimmed

TEXTS = ["a", "ab", "a.b", "A", "", "POST", "POSTAGE", "x POST", "(a", "a+b", "aab", "ü"]


@pytest.mark.parametrize("pattern", ["a", "a*", "*a", "*", "a.b", "POST*", "(a", "a+b", "*ü"])
def test_only_the_star_stands_for_anything(spark: SparkSession, pattern: str) -> None:
    rows = spark.createDataFrame([(text,) for text in TEXTS], "t string")
    found = [row[0] for row in rows.select(glob(F.col("t"), pattern)).collect()]
    assert found == [fnmatchcase(text, pattern) for text in TEXTS]


def test_a_suffix_is_cut_once_at_the_end(spark: SparkSession) -> None:
    cells = [" 1.0 ", "1.00", "1.0.0", "1x0", "none", None]
    rows = spark.createDataFrame([(cell, "view") for cell in cells], f"t string, {BEHAVIOUR} string")
    spec = Text(column="t", strip_suffix=".0", nulls=("none",))
    assert [row[0] for row in rows.select(trimmed(spec)).collect()] == ["1", "1.00", "1.0", "1x0", None, None]


def test_numbers_as_a_plain_policy_would_have_them(spark: SparkSession) -> None:
    cells = ["-5", "0", "3", "80", "900", "7000", "", "many", None]
    spec = Number(
        column="t",
        missing=1,
        outliers=(Outlier(low=0), Outlier(low=2, action="missing"), Outlier(high=100, action="clip")),
    )
    rows = spark.createDataFrame([(cell, "view") for cell in cells], f"t string, {BEHAVIOUR} string")
    parsed = number("n", spec)
    faults = [F.when(F.coalesce(check, F.lit(False)), F.lit(code)) for code, check in parsed.faults]
    reasons = F.array_compact(F.array(*faults))
    found = [tuple(row) for row in rows.select(parsed.value, parsed.imputed, reasons).collect()]
    assert found == [
        (None, True, ["out_of_range:n"]),
        (None, True, []),
        (3, False, []),
        (80, False, []),
        (100, True, []),
        (100, True, []),
        (None, True, []),  # filled with 1, which the second rule then empties
        (None, False, ["not_a_number:n"]),
        (None, True, []),
    ]
