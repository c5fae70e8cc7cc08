"""The one read and write path: layout, commit point, replay, newest and summed rows."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pyarrow as pa
import pytest
from delta.tables import DeltaTable
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.util import inheritable_thread_target

from recsys.commit import Accounting, Commit
from recsys.errors import NoDataError
from recsys.io import Warehouse
from recsys.schema import Column, Table
from recsys.tables import BATCHES, USER_PROFILES

VERSION = (Column(name="epoch", type="bigint", meaning="e"), Column(name="batch", type="bigint", meaning="b"))
THINGS = Table(
    name="things",
    row="a thing",
    key=("id",),
    kind="newest wins",
    partition_by=("part",),
    columns=(
        Column(name="id", type="string", meaning="name of the thing"),
        Column(name="n", type="bigint", meaning="its number"),
        Column(name="part", type="int", meaning="where it lies"),
        *VERSION,
    ),
)
OTHERS = Table(name="others", row="another thing", key=("id",), kind="append", columns=THINGS.columns[:2])
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
Values = list[tuple[object, ...]]


def commit(batch: int, epoch: int = 0, query: str = "q", replayed: bool = False) -> Commit:
    return Commit(query=query, epoch=epoch, batch=batch, replayed=replayed)


def things(spark: SparkSession, *rows: tuple[str, int, int], epoch: int = 0, batch: int = 0) -> DataFrame:
    return spark.createDataFrame([(*row, epoch, batch) for row in rows], THINGS.ddl).coalesce(1)


def values(rows: DataFrame) -> Values:
    return sorted(tuple(row) for row in rows.collect())


@pytest.fixture
def warehouse(spark: SparkSession, tmp_path: Path) -> Warehouse:
    return Warehouse(spark, f"{tmp_path}/")


def test_a_table_is_made_once_with_meanings_and_partitions(warehouse: Warehouse) -> None:
    assert not warehouse.exists(THINGS)
    warehouse.create(THINGS)
    warehouse.create(THINGS)
    assert warehouse.exists(THINGS)
    schema = warehouse.spark.read.format("delta").load(warehouse.path(THINGS)).schema
    assert {f.name: f.metadata["comment"] for f in schema} == {c.name: c.meaning for c in THINGS.columns}
    detail = DeltaTable.forPath(warehouse.spark, warehouse.path(THINGS)).detail().first()
    assert detail is not None
    assert (detail["description"], detail["partitionColumns"]) == ("a thing", ["part"])
    assert warehouse.version(THINGS) == 0


def test_small_commits_do_not_each_pay_for_a_checkpoint(spark: SparkSession, warehouse: Warehouse) -> None:
    for batch in range(12):  # by Delta's own interval the tenth would write one
        warehouse.write(THINGS, things(spark, ("a", 3, 0)), Commit(query="q", epoch=0, batch=batch))
    log = Path(warehouse.path(THINGS), "_delta_log")
    assert len(list(log.glob("*.json"))) == 13
    assert not list(log.glob("*.checkpoint.parquet"))


def test_files_tell_the_range_of_the_columns_that_readers_skip_by(spark: SparkSession, warehouse: Warehouse) -> None:
    told = replace(THINGS, skip_by=("n",))
    warehouse.write(told, things(spark, ("a", 3, 0), ("b", 8, 0)), Commit(query="q", epoch=0, batch=0))
    log = Path(warehouse.path(told), "_delta_log", f"{1:020}.json").read_text(encoding="utf-8")
    (stats,) = (json.loads(action["add"]["stats"]) for action in map(json.loads, log.splitlines()) if "add" in action)
    assert (stats["minValues"], stats["maxValues"], stats["numRecords"]) == ({"n": 3}, {"n": 8}, 2)


@pytest.mark.parametrize("form", ["{}", "{}/", "file:{}", "file://{}"])
def test_a_folder_by_each_of_its_names(spark: SparkSession, tmp_path: Path, form: str) -> None:
    for _ in range(2):
        Warehouse(spark, form.format(tmp_path)).create(THINGS)
    assert Warehouse(spark, str(tmp_path)).exists(THINGS)


def test_a_replayed_batch_has_one_row_whoever_wrote_since(spark: SparkSession, warehouse: Warehouse) -> None:
    warehouse.finish(commit(0), {THINGS.name: 0}, NOW)
    rows = spark.read.format("delta").load(warehouse.path(BATCHES)).withColumn("batch", F.lit(1).cast("bigint"))
    rows.write.format("delta").mode("append").save(warehouse.path(BATCHES))  # its history does not say who wrote it
    warehouse.finish(commit(1, replayed=True), {THINGS.name: 1}, NOW)
    warehouse.finish(commit(2, replayed=True), {}, NOW)
    found = warehouse.view().read(BATCHES).select("batch", "versions")
    assert sorted((row["batch"], row["versions"]) for row in found.collect()) == [
        (0, {THINGS.name: 0}), (1, {THINGS.name: 0}), (2, {}),
    ]  # fmt: skip
    assert warehouse.view().versions == {THINGS.name: 0, BATCHES.name: 3}  # told by the rows, not by that commit


def test_tables_written_at_once_have_their_own_versions(spark: SparkSession, warehouse: Warehouse) -> None:
    versions = warehouse.write_all({THINGS: things(spark, ("a", 1, 0)), OTHERS: things(spark, ("b", 2, 0))}, commit(0))
    assert versions == {THINGS.name: warehouse.version(THINGS), OTHERS.name: warehouse.version(OTHERS)}
    bad = {THINGS: things(spark, ("a", 1, 0)), OTHERS: things(spark, ("b", 2, 0)).drop("n")}
    with pytest.raises(AnalysisException):
        warehouse.write_all(bad, commit(1))


def test_half_a_batch_is_invisible(spark: SparkSession, warehouse: Warehouse) -> None:
    with pytest.raises(NoDataError, match="no batch was ever committed under"):
        warehouse.view()
    first = {THINGS.name: warehouse.write(THINGS, things(spark, ("a", 1, 0)), commit(0))}
    with pytest.raises(NoDataError, match="no batch was ever committed"):
        warehouse.view()
    warehouse.finish(commit(0), first, NOW, Accounting(rows_in=3, accepted=1, duplicate=1, rejected=1))
    second = warehouse.write(THINGS, things(spark, ("b", 2, 0)), commit(1))
    view = warehouse.view()
    assert values(view.read(THINGS)) == [("a", 1, 0, 0, 0)]
    assert not view.has(OTHERS)
    with pytest.raises(NoDataError, match=r"'others' has no committed rows\. Tables with rows: batches, things\."):
        view.read(OTHERS)
    warehouse.finish(commit(1), {THINGS.name: second}, NOW)
    assert [row[1] for row in values(warehouse.view().read(THINGS))] == [1, 2]
    assert [row[1] for row in values(view.read(THINGS))] == [1]  # an older view stays what it was
    row = view.read(BATCHES).first()
    assert row is not None
    assert (row["rows_in"], row["accepted"], row["duplicate"], row["rejected"]) == (3, 1, 1, 1)
    assert row["versions"] == first


def test_a_replayed_batch_is_written_once_and_a_job_may_write_again(spark: SparkSession, warehouse: Warehouse) -> None:
    assert not warehouse.written(THINGS, commit(0))
    before = warehouse.write(THINGS, things(spark, ("a", 1, 0)), commit(4))
    assert warehouse.write(THINGS, things(spark, ("a", 1, 0)), commit(4, replayed=True)) == before
    assert warehouse.written(THINGS, commit(4))
    assert warehouse.written(THINGS, commit(3))
    assert not warehouse.written(THINGS, commit(5))
    assert not warehouse.written(THINGS, commit(4, epoch=1))
    assert not warehouse.written(THINGS, commit(4, query="other"))
    warehouse.write(THINGS, things(spark, ("c", 9, 0)), commit(4, epoch=1, replayed=True))  # begun, not yet written
    warehouse.write(THINGS, things(spark, ("a", 2, 0)), commit(4))
    rows = spark.read.format("delta").load(warehouse.path(THINGS))
    assert [row[:2] for row in values(rows)] == [("a", 1), ("a", 2), ("c", 9)]
    history = DeltaTable.forPath(spark, warehouse.path(THINGS)).history(1).first()
    assert history is not None
    assert json.loads(history["userMetadata"]) == {"query": "q", "epoch": 0, "batch": 4}


def test_a_predicate_replaces_only_what_matches(spark: SparkSession, warehouse: Warehouse) -> None:
    warehouse.write(THINGS, things(spark, ("a", 1, 0), ("b", 1, 1)), commit(0))
    warehouse.write(THINGS, things(spark, ("c", 2, 1)), commit(1), replace="part = 1")
    rows = spark.read.format("delta").load(warehouse.path(THINGS))
    assert [row[:2] for row in values(rows)] == [("a", 1), ("c", 2)]
    warehouse.write(THINGS, things(spark, ("d", 3, 0)), commit(2), mode="overwrite")
    assert [row[:2] for row in values(spark.read.format("delta").load(warehouse.path(THINGS)))] == [("d", 3)]


def test_a_table_of_an_earlier_release_gets_the_new_columns(spark: SparkSession, warehouse: Warehouse) -> None:
    grown = THINGS.extended((Column(name="b", type="array<double>", meaning="it's new"),))
    warehouse.write(THINGS, things(spark, ("old", 1, 0)), commit(0))
    for batch in (1, 2):
        rows = things(spark, (f"new {batch}", 2, batch)).withColumn("b", F.array(F.lit(0.5)))
        warehouse.write(grown, rows, commit(batch))
    warehouse.write(THINGS, things(spark, ("old again", 3, 0)), commit(3))  # by the earlier release
    found = spark.read.format("delta").load(warehouse.path(grown))
    assert values(found.select("id", "b")) == [("new 1", [0.5]), ("new 2", [0.5]), ("old", None), ("old again", None)]
    assert found.schema["b"].metadata["comment"] == "it's new"


def test_latest_goes_by_epoch_before_batch_and_total_sums(spark: SparkSession, warehouse: Warehouse) -> None:
    written = things(spark, ("a", 1, 0), batch=9).unionByName(things(spark, ("a", 2, 0), epoch=1))
    written = written.unionByName(things(spark, ("b", 4, 0), batch=1)).unionByName(things(spark, ("b", 3, 0), batch=2))
    version = warehouse.write(THINGS, written.coalesce(1), commit(0))
    warehouse.finish(commit(0, epoch=1), {THINGS.name: version - 1}, NOW)
    warehouse.finish(commit(0), {THINGS.name: version}, NOW)
    view = warehouse.view()
    assert [row[:2] for row in values(view.latest(THINGS))] == [("a", 2), ("b", 3)]
    assert values(view.total(THINGS, ["n", "part"])) == [("a", 3, 0), ("b", 7, 0)]


def test_of_a_table_with_whole_epochs_readers_see_one(spark: SparkSession, warehouse: Warehouse) -> None:
    profiles = replace(THINGS, name=USER_PROFILES.name)
    written = things(spark, ("a", 1, 0), ("b", 1, 0)).unionByName(things(spark, ("a", 2, 0), epoch=1))
    version = warehouse.write(profiles, written.coalesce(1), commit(0))
    warehouse.finish(commit(0), {profiles.name: version}, NOW)
    view = warehouse.view()
    assert [row[:2] for row in values(view.latest(profiles))] == [("a", 1), ("b", 1)]
    warehouse.finish(commit(0, epoch=1, query="rebuild"), {profiles.name: version}, NOW)
    warehouse.finish(commit(1), {profiles.name: version + 1}, NOW)  # by a stream that has not heard of it
    assert [row[:2] for row in values(warehouse.view().latest(profiles))] == [("a", 2)]
    assert [row[:2] for row in values(view.latest(profiles))] == [("a", 1), ("b", 1)]


def test_a_view_reads_a_commit_and_starts_no_job(spark: SparkSession, warehouse: Warehouse) -> None:
    for batch in range(3):
        warehouse.finish(commit(batch), {THINGS.name: batch}, NOW)
    spark.sparkContext.setJobGroup("view", "of 3 batches")
    assert warehouse.view().versions == {THINGS.name: 2, BATCHES.name: 3}
    assert list(spark.sparkContext.statusTracker().getJobIdsForGroup("view")) == []
    DeltaTable.forPath(spark, warehouse.path(BATCHES)).optimize().executeCompaction()
    assert warehouse.view().versions == {THINGS.name: 2, BATCHES.name: 4}  # a fold is not in the way


def test_a_write_outlives_a_column_that_another_job_adds(spark: SparkSession, warehouse: Warehouse) -> None:
    grown = THINGS.extended((Column(name="b", type="bigint", meaning="new"),))
    warehouse.create(THINGS)
    begun, added = Path(f"{warehouse.root}begun"), Path(f"{warehouse.root}added")

    def slow(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        begun.touch()
        while not added.exists():
            time.sleep(0.01)
        yield from batches

    rows = things(spark, ("a", 1, 0)).mapInArrow(slow, THINGS.ddl)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(inheritable_thread_target(spark)(warehouse.write), THINGS, rows, commit(0))
        while not begun.exists() and not running.done():
            time.sleep(0.01)
        warehouse.write(grown, things(spark, ("b", 2, 0)).withColumn("b", F.lit(5)), commit(0, query="other"))
        added.touch()
        running.result()
    found = spark.read.format("delta").load(warehouse.path(grown))
    assert values(found.select("id", "b")) == [("a", None), ("b", 5)]


def test_a_job_counts_its_own_batches(spark: SparkSession, warehouse: Warehouse) -> None:
    assert warehouse.next_batch("job") == commit(0, query="job")
    warehouse.finish(commit(7, epoch=2, query="job"), {}, NOW)
    warehouse.finish(commit(9, epoch=1, query="job"), {}, NOW)
    assert warehouse.next_batch("job") == commit(8, epoch=2, query="job")
    assert warehouse.next_batch("another") == commit(0, query="another")
    rows = spark.read.format("delta").load(warehouse.path(BATCHES)).where("epoch = 2").withColumn("batch", F.lit(11))
    rows = rows.withColumn("versions", F.create_map(F.lit(THINGS.name), F.lit(5).cast("bigint")))
    warehouse.write(BATCHES, rows, commit(11, epoch=2, query="job"))  # by an earlier release: its commit tells nothing
    assert warehouse.next_batch("job") == commit(12, epoch=2, query="job")
    assert warehouse.view().versions[THINGS.name] == 5
