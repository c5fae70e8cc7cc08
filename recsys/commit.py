"""Who writes: a query's or job's batch, its version in rows and plans, and what became of its input rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.schema import Table

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

    def options(self, table: Table, more: Mapping[str, object]) -> dict[str, str]:
        """Delta writer options: who wrote it, for the table's history, and what `more` it tells.

        A replayed write also gets a transaction id, so that of two processes that replay it at once only one commits.
        Others do without: Delta reads a table's whole state to look an id up, which takes longer than a small write.
        """
        note = {"query": self.query, "epoch": self.epoch, "batch": self.batch, **more}
        who = {"userMetadata": json.dumps(note)}
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


def uncompiled(text: Column, column: str) -> Column:
    """The constant `text` as a text that Spark takes for no constant, for what changes with every micro-batch.

    A number or a moment that is constant becomes a part of the code that Spark generates, so each batch would compile
    its whole plan anew and run it cold. `column`, any text column of the plan, adds nothing.
    """
    return F.concat_ws("", text, F.substring(column, 1, 0))


def interpreted(value: Column) -> Column:
    """The same value in a projection that Spark evaluates without generating code for it.

    For the time of a micro-batch, which becomes a number of the plan only after Spark has simplified it: no text that
    is made of it stays one constant.
    """
    return F.transform(F.array(value), lambda same: same)[0]
