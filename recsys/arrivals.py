"""What a table without updates held at one of its versions, and what came since: told by the log, without its rows."""

from __future__ import annotations

from datetime import date
from urllib.parse import unquote

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.deltalog import commit_info, files_of
from recsys.io import View
from recsys.schema import Table


def rows_by_day(view: View, table: Table, column: str) -> dict[date, int]:
    """The number of rows that the view has in each partition of `column`, a date."""
    files = files_of(view.warehouse.spark, view.warehouse.path(table), view.versions[table.name])
    by_day = files.groupBy(F.col("partition")[column].cast("date").alias("day")).agg(F.sum("rows").alias("rows"))
    return {row["day"]: row["rows"] for row in by_day.collect()}  # one row a day


def arrived(view: View, table: Table, since: int) -> DataFrame | None:
    """Rows of the `append` table, as the view has it, in files that its version `since` did not have.

    None: Delta's log no longer knows that version. Where files were compacted in between, their older rows are among
    these, so whoever needs exactly the new ones compares counts. The driver holds the names of the new files.
    """
    spark, path = view.warehouse.spark, view.warehouse.path(table)
    if commit_info(spark, path, since) is None:
        return None
    present, before = (files_of(spark, path, version) for version in (view.versions[table.name], since))
    # As many names as commits have written files since then.
    new = [f"{path}/{unquote(row['path'])}" for row in present.join(before, "path", "left_anti").collect()]
    schema = view.read(table).schema
    if not new:
        return spark.createDataFrame([], schema)
    return spark.read.schema(schema).option("basePath", path).parquet(*new)
