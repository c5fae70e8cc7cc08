"""A fingerprint of a table that depends on its rows and on nothing else: not on their order, files or partitions."""

from __future__ import annotations

from collections.abc import Collection

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import MapType


def fingerprint(rows: DataFrame, without: Collection[str] = ()) -> tuple[int, int]:
    """(number of rows, sum of the rows' 64-bit hashes). A map counts as its entries in the order of their keys."""
    columns = [_hashable(rows, name) for name in rows.columns if name not in without]
    hashes = rows.select(F.xxhash64(*columns).cast("decimal(38,0)").alias("hash"))
    found = hashes.agg(F.count("*"), F.coalesce(F.sum("hash"), F.lit(0))).first()
    return (int(found[0]), int(found[1])) if found else (0, 0)


def _hashable(rows: DataFrame, name: str) -> Column:
    entries = F.array_sort(F.map_entries(name)) if isinstance(rows.schema[name].dataType, MapType) else F.col(name)
    return F.coalesce(F.to_json(F.struct(entries.alias("value"))), F.lit(""))  # to_json tells NULL from empty
