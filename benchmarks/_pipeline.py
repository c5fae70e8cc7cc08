"""The two streaming queries as jobs/stream.py runs them, in a folder of their own."""

from __future__ import annotations

import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from recsys import queries
from recsys.config import Settings, StreamSettings
from recsys.errors import RecsysError
from recsys.events import ingest
from recsys.events.mapping import Mapping, load_mapping, merged
from recsys.features import stream
from recsys.io import Commit, Warehouse
from recsys.session import open_session
from recsys.tables import EVENTS

POLL_S = 0.2
EAGER = "0 seconds"  # a batch as soon as the one before has ended


def session(folder: Path) -> SparkSession:
    """One local session on two cores, with a partition of state for each."""
    conf = {"spark.master": "local[2]", "spark.sql.shuffle.partitions": "2"}
    return open_session(Settings(warehouse=f"{folder}/warehouse", spark=conf), "benchmark stream")


@dataclass(frozen=True)
class Pipeline:
    """Tables, checkpoints and settings below one folder."""

    warehouse: Warehouse
    settings: Settings
    mapping: Mapping

    def ingest(self, trigger: str = queries.AVAILABLE_NOW) -> StreamingQuery:
        """Start `source -> events`."""
        point = queries.checkpoint(self.warehouse, self.settings.checkpoints, ingest.QUERY)
        rows, write = ingest.ingest_stream(
            self.warehouse, self.mapping, self.settings, point.epoch, point.began, point.pending
        )
        return queries.start(rows, write, name=ingest.QUERY, point=point, trigger=trigger)

    def profiles(self, trigger: str = queries.AVAILABLE_NOW) -> StreamingQuery:
        """Start `events -> user_profiles`."""
        self.warehouse.create(EVENTS)
        point = queries.checkpoint(self.warehouse, self.settings.checkpoints, stream.QUERY)
        state, write = stream.profiles_stream(self.warehouse, self.settings, point)
        return queries.start(state, write, name=stream.QUERY, point=point, trigger=trigger, mode="update")

    def copied(self, folder: Path) -> Pipeline:
        """The same pipeline, as far as it has come, in another folder."""
        before = Path(self.settings.warehouse).parent
        shutil.copytree(before, folder)
        places = {name: f"{folder}/{name}" for name in ("warehouse", "checkpoints")}
        settings = self.settings.model_copy(update=places)
        return Pipeline(Warehouse(self.warehouse.spark, settings.warehouse), settings, self.mapping)

    def add_events(self, rows: DataFrame) -> None:
        """Append clean rows to `events`, as one commit."""
        self.warehouse.write(EVENTS, rows, Commit(query="benchmark", epoch=0, batch=0, replayed=False))


def pipeline(
    spark: SparkSession, folder: Path, mapping: str, source: str = "", limits: StreamSettings | None = None
) -> Pipeline:
    """A pipeline whose tables do not exist yet."""
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "key"
    key.write_text(secrets.token_hex(32), encoding="utf-8")
    settings = Settings(
        warehouse=f"{folder}/warehouse",
        checkpoints=f"{folder}/checkpoints",
        mapping=mapping,
        source=source,
        pseudonym_key_file=str(key),
        stream=limits or StreamSettings(),
    )
    found = load_mapping(mapping)
    return Pipeline(Warehouse(spark, settings.warehouse), merged(settings, found), found)


def batch_seconds(query: StreamingQuery) -> dict[int, tuple[int, float]]:
    """Of each finished batch with rows that Spark still remembers: number -> (input rows, seconds)."""
    return {p.batchId: (p.numInputRows, p.batchDuration / 1000) for p in query.recentProgress if p.numInputRows}


def wait_for_rows(query: StreamingQuery, wanted: int, before: set[int], limit_s: float) -> dict[int, tuple[int, float]]:
    """The batches after those in `before`, when they have read `wanted` rows. RecsysError where that takes too long."""
    ends = time.monotonic() + limit_s
    while True:
        new = {n: found for n, found in batch_seconds(query).items() if n not in before}
        rows = sum(rows for rows, _ in new.values())
        if rows >= wanted:
            return new
        if query.exception() or not query.isActive:
            raise RecsysError(f"{query.name} ended early: {query.exception()}")
        if time.monotonic() > ends:
            raise RecsysError(f"{query.name} read {rows} of {wanted} rows within {limit_s:.0f} s; give it more time.")
        time.sleep(POLL_S)


def wait_for_table(own: Pipeline, query: StreamingQuery) -> None:
    """Until the first query has made `events`."""
    while not own.warehouse.exists(EVENTS):
        if query.exception() or not query.isActive:
            raise RecsysError(f"{query.name} ended early: {query.exception()}")
        time.sleep(POLL_S)


def stop(query: StreamingQuery, patience_s: float = 60.0) -> None:
    """Stop between two batches: Spark's own stop breaks a running one off."""
    ends = time.monotonic() + patience_s
    while query.isActive and query.status["isTriggerActive"] and time.monotonic() < ends:
        time.sleep(POLL_S / 10)
    query.stop()
