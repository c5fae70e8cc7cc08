"""The one read and write path of all tables.

Delta commits one table at a time. A batch therefore writes its tables first and its row in `batches` last; readers see
each table at the newest version that a row of `batches` names, so never half a batch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone

from delta.tables import DeltaTable
from py4j.java_gateway import JavaObject
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.util import inheritable_thread_target

from recsys.errors import NoDataError
from recsys.tables import BATCHES, Table

VERSION = ("epoch", "batch")


@dataclass(frozen=True, kw_only=True)
class Commit:
    """Who writes: a query or job, its epoch and its batch.

    A batch that its query had begun before it was cut off is `replayed` with the same rows: a write that is in the
    table already is skipped. All other batches are new. A job that runs again may have other rows; its writes replace,
    they are never skipped.
    """

    query: str
    epoch: int
    batch: int
    replayed: bool = False

    def options(self, table: Table) -> dict[str, str]:
        """Delta writer options: who wrote it, for the table's history.

        A replayed write also gets a transaction id, so that of two processes that replay it at once only one commits.
        Others do without: Delta reads a table's whole state to look an id up, which takes longer than a small write.
        """
        who = {"userMetadata": json.dumps({"query": self.query, "epoch": self.epoch, "batch": self.batch})}
        if not self.replayed:
            return who
        return who | {"txnAppId": f"{self.query}/{self.epoch}/{table.name}", "txnVersion": str(self.batch)}

    @property
    def columns(self) -> dict[str, int]:
        """The version that rows are written under."""
        return dict(zip(VERSION, (self.epoch, self.batch), strict=True))

    def stamp(self, rows: DataFrame) -> DataFrame:
        """`rows` with the version that they are written under."""
        return rows.withColumns({name: F.lit(value) for name, value in self.columns.items()})


@dataclass(frozen=True, kw_only=True)
class Accounting:
    """What became of a batch's input rows."""

    rows_in: int = 0
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class Warehouse:
    """All tables under one folder or URI."""

    spark: SparkSession
    root: str

    def path(self, table: Table) -> str:
        """Where the table lives."""
        # Delta takes file:/a and file:///a for two places and refuses to create what is there already.
        return f"{re.sub('^file:/+', 'file:/', self.root).rstrip('/')}/{table.name}"

    def exists(self, table: Table) -> bool:
        """Whether the table has been created."""
        return bool(DeltaTable.isDeltaTable(self.spark, self.path(table)))

    def create(self, table: Table) -> None:
        """Create the table if it is absent, with its column comments, partitions and purpose."""
        builder = DeltaTable.createIfNotExists(self.spark).location(self.path(table)).comment(table.row)
        for column in table.columns:
            builder = builder.addColumn(column.name, column.type, comment=column.meaning)
        builder.partitionedBy(*table.partition_by).execute()

    def write(
        self, table: Table, rows: DataFrame, commit: Commit, *, mode: str = "append", replace: str | None = None
    ) -> int:
        """Write `rows` and return the table's version. `replace` is a predicate: only rows that match are replaced.

        A table that an earlier release made gets the columns that it lacks; they are NULL in its older rows. A replayed
        batch that the table holds already is not written again.
        """
        if self.exists(table):
            if commit.replayed and self.written(table, commit):
                return self.version(table)
            self._extend(table)
        else:
            self.create(table)
        columns = [F.col(name).cast(column.type) for name, column in zip(table.names, table.columns, strict=True)]
        writer = rows.select(*columns).write.format("delta").mode("overwrite" if replace else mode)
        if replace:
            writer = writer.option("replaceWhere", replace)
        writer.options(**commit.options(table)).save(self.path(table))
        return self.version(table)

    def write_all(self, tables: Mapping[Table, DataFrame], commit: Commit) -> dict[str, int]:
        """Append to several tables at once and return their versions by name: most of a small write is waiting."""
        target = inheritable_thread_target(self.spark)(self.write)
        with ThreadPoolExecutor(len(tables)) as pool:
            begun = {table.name: pool.submit(target, table, rows, commit) for table, rows in tables.items()}
        return {name: int(write.result()) for name, write in begun.items()}

    def rows(self, table: Table, commit: Commit) -> DataFrame:
        """What the commit wrote into a `newest wins` table, whether its batch has ended or not."""
        whole = self.spark.read.format("delta").load(self.path(table))
        return whole.where((F.col("epoch") == commit.epoch) & (F.col("batch") == commit.batch))

    def _extend(self, table: Table) -> None:
        present = set(self._snapshot(table).schema().fieldNames())
        lacking = [column for column in table.columns if column.name not in present]
        if lacking:
            added = ", ".join(f"`{column.name}` {column.type} COMMENT {_quoted(column.meaning)}" for column in lacking)
            self.spark.sql(f"ALTER TABLE delta.`{self.path(table)}` ADD COLUMNS ({added})")

    def version(self, table: Table) -> int:
        """The table's newest Delta version."""
        return int(self._snapshot(table).version())

    def written(self, table: Table, commit: Commit) -> bool:
        """Whether the commit's write, or a later one of the same query and epoch, is in the table already.

        Asked of the table's history, which Delta keeps for 30 days of writes to that table. `batches`, which other jobs
        write while a query is down, is asked for the row itself.
        """
        if not self.exists(table):
            return False
        if table == BATCHES:
            rows = self.spark.read.format("delta").load(self.path(table))
            return not rows.where(_by(commit) & (F.col("batch") >= commit.batch)).isEmpty()
        who = F.from_json("userMetadata", "query string, epoch int, batch bigint").alias("who")
        history = DeltaTable.forPath(self.spark, self.path(table)).history().select(who).select("who.*")
        return not history.where(_by(commit) & (F.col("batch") >= commit.batch)).isEmpty()

    def _snapshot(self, table: Table) -> JavaObject:
        jvm = self.spark._jvm
        none = jvm.scala.Option.empty()  # type: ignore[union-attr]
        log = jvm.org.apache.spark.sql.delta.DeltaLog.forTable(self.spark._jsparkSession, self.path(table))  # type: ignore[union-attr]
        return log.update(False, none, none)

    def finish(
        self, commit: Commit, versions: Mapping[str, int], started: datetime, counts: Accounting | None = None
    ) -> None:
        """Write the batch's row: the commit point of all its tables."""
        count = counts or Accounting()
        row = {
            "query": commit.query,
            "epoch": commit.epoch,
            "batch": commit.batch,
            "versions": dict(versions),
            "rows_in": count.rows_in,
            "accepted": count.accepted,
            "duplicate": count.duplicate,
            "rejected": count.rejected,
            "started_at": started,
            "committed_at": datetime.now(timezone.utc),
        }
        # Not literals in a plan: Spark would generate and compile code for each new value.
        frame = self.spark.createDataFrame([tuple(row[name] for name in BATCHES.names)], BATCHES.ddl)
        self.write(BATCHES, frame.coalesce(1), commit)

    def view(self) -> View:
        """All tables at the newest committed batch. NoDataError where there is none."""
        if not self.exists(BATCHES):
            raise NoDataError(f"no batch was ever committed under {self.root!r}: run jobs/stream.py first.")
        batches = self.spark.read.format("delta").load(self.path(BATCHES))
        newest = batches.select(F.explode("versions").alias("table", "version")).groupBy("table")
        rows = newest.agg(F.max("version").alias("version")).collect()  # one row a table
        return View(self, {row["table"]: row["version"] for row in rows} | {BATCHES.name: self.version(BATCHES)})

    def next_batch(self, query: str) -> Commit:
        """The commit that a job, which has no checkpoint, writes next under its name."""
        if not self.exists(BATCHES):
            return Commit(query=query, epoch=0, batch=0)
        batches = self.spark.read.format("delta").load(self.path(BATCHES)).where(F.col("query") == query)
        newest = batches.agg(F.max(F.struct("epoch", "batch")).alias("at")).first()
        if newest is None or newest["at"] is None:
            return Commit(query=query, epoch=0, batch=0)
        return Commit(query=query, epoch=newest["at"]["epoch"], batch=newest["at"]["batch"] + 1)


@dataclass(frozen=True)
class View:
    """A consistent view: each table at a pinned version."""

    warehouse: Warehouse
    versions: Mapping[str, int] = field(default_factory=dict)

    def has(self, table: Table) -> bool:
        """Whether a committed batch has written the table."""
        return table.name in self.versions

    def read(self, table: Table) -> DataFrame:
        """All rows of the table at its pinned version. NoDataError where no committed batch wrote it."""
        if table.name not in self.versions:
            found = ", ".join(sorted(self.versions)) or "none"
            raise NoDataError(f"table {table.name!r} has no committed rows. Tables with rows: {found}.")
        reader = self.warehouse.spark.read.format("delta").option("versionAsOf", self.versions[table.name])
        return reader.load(self.warehouse.path(table))

    def latest(self, table: Table, columns: Sequence[str] | None = None) -> DataFrame:
        """Of a `newest wins` table, the row of the highest (epoch, batch) for each key.

        All columns, or the key and `columns`.
        """
        rows = self.read(table)
        if columns is None:
            return newest(rows, table.key)
        wanted = (*table.key, *columns)
        # Pruned before the aggregation, which would otherwise carry every column through the shuffle.
        return newest(rows.select(*dict.fromkeys((*wanted, *VERSION))), table.key).select(*wanted)

    def total(self, table: Table, sums: Iterable[str]) -> DataFrame:
        """Of a `summed` table, the sums over each key."""
        return self.read(table).groupBy(*table.key).agg(*(F.sum(name).alias(name) for name in sums))


def _by(commit: Commit) -> SparkColumn:
    return (F.col("query") == commit.query) & (F.col("epoch") == commit.epoch)


def newest(rows: DataFrame, key: Iterable[str]) -> DataFrame:
    """The row of the highest (epoch, batch) for each key."""
    whole: SparkColumn = F.max_by(F.struct(*rows.columns), F.struct(*VERSION)).alias("row")
    return rows.groupBy(*key).agg(whole).select("row.*")


def uncompiled(text: SparkColumn, column: str) -> SparkColumn:
    """The constant `text` as a text that Spark takes for no constant, for what changes with every micro-batch.

    A number or a moment that is constant becomes a part of the code that Spark generates, so each batch would compile
    its whole plan anew and run it cold. `column`, any text column of the plan, adds nothing.
    """
    return F.concat_ws("", text, F.substring(column, 1, 0))


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
