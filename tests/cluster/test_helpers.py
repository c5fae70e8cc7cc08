"""What the cluster's tests measure with: a fingerprint that depends on rows alone, and who started which process."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cluster.family import descendants, watched
from tests.cluster.fingerprint import fingerprint
from tests.cluster.standalone import variables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Row = tuple[str | None, int | None, dict[str, int] | None]
ROWS: list[Row] = [("a", 1, {"x": 1, "y": 2}), ("b", None, {}), (None, 2, None)]


def frame(spark: SparkSession, rows: list[Row]) -> DataFrame:
    return spark.createDataFrame(rows, "name string, n int, m map<string,int>")


def test_fingerprint_knows_no_order(spark: SparkSession) -> None:
    other: list[Row] = [ROWS[2], ("a", 1, {"y": 2, "x": 1}), ROWS[1]]
    assert fingerprint(frame(spark, ROWS)) == fingerprint(frame(spark, other).repartition(3))


@pytest.mark.parametrize(
    "row",
    [
        ("", 2, None),  # empty is not NULL
        (None, 2, {}),
        (None, 3, None),
        ("2", None, None),  # the value in another column
    ],
)
def test_fingerprint_sees_each_difference(spark: SparkSession, row: Row) -> None:
    assert fingerprint(frame(spark, ROWS))[1] != fingerprint(frame(spark, [*ROWS[:2], row]))[1]


def test_fingerprint_counts_rows_and_leaves_columns_out(spark: SparkSession) -> None:
    assert fingerprint(frame(spark, [*ROWS, ROWS[0]]))[0] == 4
    changed: list[Row] = [(name, 7, entries) for name, _, entries in ROWS]
    assert fingerprint(frame(spark, changed), ["n"]) == fingerprint(frame(spark, ROWS), ["n"])


def test_family_has_grandchildren_and_remembers_the_dead() -> None:
    command = ["sh", "-c", "sh -c 'echo $$; sleep 0.5; true'; true"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        with watched({"shell": shell.pid}, every_s=0.02) as seen:
            grandchild = int(shell.stdout.readline())
            assert grandchild in descendants(os.getpid()) & descendants(shell.pid)
            shell.wait()
    assert {shell.pid, grandchild} <= seen["shell"]
    assert grandchild not in descendants(os.getpid())


def test_nodes_inherit_nothing_of_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "PYSPARK_PYTHON", "RECSYS_PSEUDONYM_KEY", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "here")
    assert {name for name, value in variables().items() if value == "here"} == set()
    assert variables(RECSYS_PSEUDONYM_KEY="there")["RECSYS_PSEUDONYM_KEY"] == "there"
