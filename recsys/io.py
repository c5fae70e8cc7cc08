"""The one read and write path of all tables.

Delta commits one table at a time. A batch therefore writes its tables first and its row in `batches` last; readers see
each table at the newest version that a row of `batches` names, so never half a batch. Of a table with whole
epochs (user_profiles) they see the epoch of that row alone: one in the making is in the table, and no row names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from delta.exceptions import MetadataChangedException
from delta.tables import DeltaTable
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.commit import VERSION as VERSION
from recsys.commit import Accounting as Accounting
from recsys.commit import Commit as Commit
from recsys.deltalog import commit_info, newest_version, snapshot
from recsys.errors import NoDataError
from recsys.pins import Known, Newest, Pin, known_at, told
from recsys.tables import ALL, BATCHES, Table
from recsys.together import together

# A checkpoint of a table's log costs as much as several small commits, and Delta would write one every tenth.
CHECKPOINT_EVERY = 100
WHOLE_EPOCHS = tuple(table.name for table in ALL if table.whole_epochs)


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
        builder = builder.property("delta.checkpointInterval", str(CHECKPOINT_EVERY))
        for column in table.columns:
            builder = builder.addColumn(column.name, column.type, comment=column.meaning)
        if table.skip_by:
            builder = builder.property("delta.dataSkippingStatsColumns", ",".join(table.skip_by))
        builder.partitionedBy(*table.partition_by).execute()

    def write(
        self,
        table: Table,
        rows: DataFrame,
        commit: Commit,
        *,
        mode: str = "append",
        replace: str | None = None,
        more: Mapping[str, object] | None = None,
    ) -> int:
        """Write `rows` and return the table's version. `replace` is a predicate: only rows that match are replaced.

        A table that an earlier release made gets the columns that it lacks; they are NULL in its older rows. A replayed
        batch that the table holds already is not written again. `more` goes into the table's history.
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
        writer.options(**commit.options(table, more or {}))
        try:
            writer.save(self.path(table))
        except MetadataChangedException:  # another job has just given the table a new column; nothing was written
            writer.save(self.path(table))
        return self.version(table)

    def write_all(self, tables: Mapping[Table, DataFrame], commit: Commit) -> dict[str, int]:
        """Append to several tables at once and return their versions by name: most of a small write is waiting."""
        with together(self.spark) as calls:
            begun = {table.name: calls.begin(self.write, table, rows, commit) for table, rows in tables.items()}
        return {name: write.result() for name, write in begun.items()}

    def rows(self, table: Table, commit: Commit) -> DataFrame:
        """What the commit wrote into a `newest wins` table, whether its batch has ended or not."""
        whole = self.spark.read.format("delta").load(self.path(table))
        return whole.where((F.col("epoch") == commit.epoch) & (F.col("batch") == commit.batch))

    def _extend(self, table: Table) -> None:
        present = set(snapshot(self.spark, self.path(table)).schema().fieldNames())
        lacking = [column for column in table.columns if column.name not in present]
        if lacking:
            added = ", ".join(f"`{column.name}` {column.type} COMMENT {_quoted(column.meaning)}" for column in lacking)
            self.spark.sql(f"ALTER TABLE delta.`{self.path(table)}` ADD COLUMNS ({added})")

    def version(self, table: Table) -> int:
        """The table's newest Delta version."""
        return int(snapshot(self.spark, self.path(table)).version())

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
        base = newest_version(self.spark, self.path(BATCHES))
        pins = {name: Pin(commit.epoch * (name in WHOLE_EPOCHS), version) for name, version in versions.items()}
        known = self._known(base) | Known(pins, {commit.query: Newest(commit.epoch, commit.batch)})
        self.write(BATCHES, frame.coalesce(1), commit, more=told(known, base))

    def view(self) -> View:
        """All tables at the newest committed batch. NoDataError where there is none."""
        version = newest_version(self.spark, self.path(BATCHES))
        if version < 0:
            raise NoDataError(f"no batch was ever committed under {self.root!r}: run jobs/stream.py first.")
        return View(self, {**self._known(version).pins, BATCHES.name: Pin(0, version)})

    def _known(self, version: int) -> Known:
        """What the rows of `batches` up to this version say, told by its newest commits where these know it."""
        found = known_at(version, lambda at: commit_info(self.spark, self.path(BATCHES), at))
        if found is not None:
            return found
        rows = self.spark.read.format("delta").option("versionAsOf", version).load(self.path(BATCHES))
        epoch = F.when(F.col("table").isin(*WHOLE_EPOCHS), F.col("epoch")).otherwise(0).alias("epoch")
        pins = rows.select(F.explode("versions").alias("table", "version"), "epoch").select("table", epoch, "version")
        return Known(
            {name: Pin(*pin) for name, pin in _newest(pins, "table", "epoch", "version")},
            {name: Newest(*at) for name, at in _newest(rows, "query", "epoch", "batch")},
        )

    def next_batch(self, query: str) -> Commit:
        """The commit that a job, which has no checkpoint, writes next under its name."""
        newest = self._known(newest_version(self.spark, self.path(BATCHES))).batches.get(query, Newest(0, -1))
        return Commit(query=query, epoch=newest.epoch, batch=newest.batch + 1)


@dataclass(frozen=True)
class View:
    """A consistent view: each table at a pinned version, and of it one epoch where epochs are whole."""

    warehouse: Warehouse
    pins: Mapping[str, Pin] = field(default_factory=dict)
    _frames: dict[str, DataFrame] = field(default_factory=dict, repr=False, compare=False)

    @property
    def versions(self) -> dict[str, int]:
        """The Delta version of each table."""
        return {name: pin.version for name, pin in self.pins.items()}

    def epoch(self, table: Table) -> int | None:
        """The epoch that readers see; None: no committed batch has written the table."""
        return self.pins[table.name].epoch if table.name in self.pins else None

    def has(self, table: Table) -> bool:
        """Whether a committed batch has written the table."""
        return table.name in self.pins

    def read(self, table: Table) -> DataFrame:
        """All rows that readers see. NoDataError where no committed batch wrote the table."""
        if table.name not in self.pins:
            found = ", ".join(sorted(self.pins)) or "none"
            raise NoDataError(f"table {table.name!r} has no committed rows. Tables with rows: {found}.")
        if table.name not in self._frames:  # else Delta would look the version up again
            pin, reader = self.pins[table.name], self.warehouse.spark.read.format("delta")
            rows = reader.option("versionAsOf", pin.version).load(self.warehouse.path(table))
            self._frames[table.name] = rows.where(F.col("epoch") == pin.epoch) if table.name in WHOLE_EPOCHS else rows
        return self._frames[table.name]

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


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _newest(rows: DataFrame, name: str, *version: str) -> list[tuple[str, Sequence[int]]]:
    """The newest version of each name, of which there are as many as tables, or as queries."""
    at = rows.groupBy(name).agg(F.max(F.struct(*version)).alias("at"))
    return [(row[name], row["at"]) for row in at.collect()]
