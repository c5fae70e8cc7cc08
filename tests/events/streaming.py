"""One run of the query over what lies in a folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys import queries
from recsys.config import Settings, load
from recsys.events.ingest import QUERY, ingest_stream
from recsys.events.mapping import Mapping, load_mapping, merged
from recsys.io import View, Warehouse
from recsys.tables import BATCHES

KEY = "k" * 32
SOURCES = Path(__file__).parents[2] / "conf" / "sources"
Accounted = tuple[int, int, int, int]


def shipped(name: str) -> Mapping:
    return load_mapping(str(SOURCES / f"{name}.yaml"))


def settings(folder: Path, source: Path, max_files: int = 1000) -> Settings:
    """Settings of a warehouse in `folder`, with a known key."""
    key = folder / "key"
    key.write_text(KEY)
    values = {"warehouse": folder / "w", "checkpoints": folder / "c", "source": source, "pseudonym_key_file": key}
    return load((), [f"{k}={v}" for k, v in values.items()] + [f"stream.max_files={max_files}"], {})


def ingested(spark: SparkSession, mapping: Mapping, conf: Settings) -> View:
    """Everything that the query wrote until the source was read."""
    warehouse = Warehouse(spark, conf.warehouse)
    point = queries.checkpoint(warehouse, conf.checkpoints, QUERY)
    rows, write = ingest_stream(warehouse, mapping, merged(conf, mapping), point.epoch, point.began, point.pending)
    queries.wait([queries.start(rows, write, name=QUERY, point=point, trigger=queries.AVAILABLE_NOW)])
    return warehouse.view()


def accounting(view: View) -> Accounted:
    """Rows in, accepted, duplicate and rejected over all batches."""
    names = ("rows_in", "accepted", "duplicate", "rejected")
    sums = view.read(BATCHES).where(F.col("query") == QUERY).agg(*(F.sum(name) for name in names)).first()
    assert sums is not None
    return sums[0], sums[1], sums[2], sums[3]


def counted(rows: DataFrame, *columns: str) -> Counter[object]:
    """Rows by the value of `columns`, or by the tuple of their values."""
    found = rows.groupBy(*columns).count().collect()
    return Counter({row[0] if len(columns) == 1 else tuple(row)[:-1]: row["count"] for row in found})
