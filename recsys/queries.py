"""Named streaming queries: their checkpoints and epochs, a clean stop, and their progress in the log."""

from __future__ import annotations

import json
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from types import FrameType

from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.listener import (
    QueryIdleEvent,
    QueryProgressEvent,
    QueryStartedEvent,
    QueryTerminatedEvent,
    StreamingQueryListener,
)
from pyspark.sql.streaming.query import StreamingQuery

from recsys.errors import ConfigError, RefusedError
from recsys.io import Warehouse
from recsys.log import event as event_
from recsys.tables import BATCHES

AVAILABLE_NOW = "available-now"
RESTS_ON = "rests_on"  # folder of a checkpoint
CONSTRAINTS = "spark.sql.constraintPropagation.enabled"
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A query's checkpoint. A new one is a new epoch, so that what it writes wins over what an older one wrote."""

    path: str
    epoch: int
    began: datetime | None  # start of its first committed batch
    pending: int | None = None  # the batch that was begun and not ended: it is replayed


def checkpoint(warehouse: Warehouse, root: str, query: str, rebuild: bool = False) -> Checkpoint:
    """The newest checkpoint of the query; with `rebuild`, or where there is none, the next epoch's."""
    newest = _newest_epoch(warehouse.spark, f"{root.rstrip('/')}/{query}")
    epoch = 0 if newest is None else newest + rebuild
    began = None
    if warehouse.exists(BATCHES):
        rows = warehouse.spark.read.format("delta").load(warehouse.path(BATCHES))
        first = rows.where((F.col("query") == query) & (F.col("epoch") == epoch)).agg(F.min("started_at")).first()
        began = first[0] if first else None
    path = f"{root.rstrip('/')}/{query}/epoch={epoch}"
    offsets, commits = (_newest_batch(warehouse.spark, f"{path}/{log_}") for log_ in ("offsets", "commits"))
    return Checkpoint(path=path, epoch=epoch, began=began, pending=offsets if offsets != commits else None)


def agree(spark: SparkSession, point: Checkpoint, rests_on: Mapping[str, str]) -> None:
    """Keep beside the checkpoint what the query's state and rows rest on, or compare with what is kept there.

    Raises RefusedError: the query was begun with something else, which it names.
    """
    folder = f"{point.path}/{RESTS_ON}"
    if "_SUCCESS" not in (_listed(spark, folder) or []):  # absent, or the write was cut off
        line = spark.createDataFrame([(json.dumps(dict(rests_on)),)], "value string")
        line.coalesce(1).write.mode("overwrite").text(folder)
        return
    kept = json.loads("".join(row["value"] for row in spark.read.text(folder).collect()))  # the one line of above
    changed = [f"{name} was {kept.get(name)}, now {now}" for name, now in rests_on.items() if kept.get(name) != now]
    if changed:
        raise RefusedError(
            f"{point.path!r} was begun with other settings: {'; '.join(changed)}. Take these back, or start "
            "jobs/stream.py with --rebuild: it computes the table anew from `events`, under a new epoch."
        )


def _newest_epoch(spark: SparkSession, folder: str) -> int | None:
    names = _listed(spark, folder) or []
    return max((int(name.partition("=")[2]) for name in names if name.startswith("epoch=")), default=None)


def _newest_batch(spark: SparkSession, folder: str) -> int | None:
    return max((int(name) for name in _listed(spark, folder) or [] if name.isdecimal()), default=None)


def _listed(spark: SparkSession, folder: str) -> list[str] | None:
    """Names in a folder of any file system; None: there is no such folder."""
    jvm = spark._jvm
    path = jvm.org.apache.hadoop.fs.Path(folder)  # type: ignore[union-attr]
    files = path.getFileSystem(spark._jsparkSession.sessionState().newHadoopConf())
    if not files.exists(path):
        return None
    return [str(status.getPath().getName()) for status in files.listStatus(path)]


def start(
    rows: DataFrame,
    write: Callable[[DataFrame, int], None],
    *,
    name: str,
    point: Checkpoint,
    trigger: str,
    mode: str = "append",
) -> StreamingQuery:
    """Start a named query. `trigger` is `available-now` or an interval such as `5 seconds`."""
    writer = rows.writeStream.queryName(name).outputMode(mode).foreachBatch(write)
    writer = writer.option("checkpointLocation", point.path)
    if trigger == AVAILABLE_NOW:
        writer = writer.trigger(availableNow=True)
    elif trigger[:1].isdigit():
        writer = writer.trigger(processingTime=trigger)
    else:
        raise ConfigError(f"--trigger {trigger!r} is neither {AVAILABLE_NOW!r} nor an interval such as '5 seconds'.")
    with _without_constraints(rows.sparkSession):
        return writer.start()


@contextmanager
def _without_constraints(spark: SparkSession) -> Iterator[None]:
    """A query keeps the session's settings of the moment it starts; this one is off for the query alone.

    Spark infers what holds for each column of a plan, to add filters. On a batch's wide projections that takes longer
    than the batch, and there is nothing to filter.
    """
    before = spark.conf.get(CONSTRAINTS)
    spark.conf.set(CONSTRAINTS, "false")
    try:
        yield
    finally:
        spark.conf.set(CONSTRAINTS, str(before))


@contextmanager
def signals_noted() -> Iterator[list[str]]:
    """The names of SIGTERM and SIGINT as they arrive.

    A handler may run in the middle of a call to Spark, on whose connection it must not make another.
    """
    seen: list[str] = []

    def note(signum: int, _: FrameType | None) -> None:
        seen.append(signal.Signals(signum).name)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _last_batch(query: StreamingQuery) -> int | None:
    progress = query.lastProgress
    return None if progress is None else int(progress["batchId"])


def _finish(query: StreamingQuery, patience_s: float = 60.0, step_s: float = 0.1) -> None:
    """Let the running batch end, then stop."""
    ends, before = time.monotonic() + patience_s, _last_batch(query)
    while query.isActive and query.status["isTriggerActive"] and time.monotonic() < ends:
        if _last_batch(query) != before:  # a busy query is never between two batches for long
            break
        query.awaitTermination(step_s)  # type: ignore[arg-type]
    query.stop()


def wait(queries: Sequence[StreamingQuery], poll_s: float = 0.5) -> None:
    """Wait until all queries have ended; the first failure stops the others and is raised.

    On SIGTERM and SIGINT each query ends its running batch and stops.
    """
    with signals_noted() as seen:
        try:
            while any(query.isActive for query in queries):
                for query in queries:
                    query.awaitTermination(poll_s)  # type: ignore[arg-type]
                if seen:
                    event_(log, "stopping after the running batches", signal=seen[0])
                    for query in queries:
                        _finish(query)
            for query in queries:  # one that failed while another was waited for says so here
                query.awaitTermination(poll_s)  # type: ignore[arg-type]
        except StreamingQueryException:
            for query in queries:
                query.stop()
            raise


class ProgressLog(StreamingQueryListener):
    """One log line for each batch of each query: rows, rate and milliseconds."""

    def onQueryStarted(self, event: QueryStartedEvent) -> None:  # noqa: N802
        """Log the query's name."""
        event_(log, "query started", query=event.name)

    def onQueryProgress(self, event: QueryProgressEvent) -> None:  # noqa: N802
        """Log the batch."""
        p = event.progress
        rate = round(p.processedRowsPerSecond or 0)
        figures = {"batch": p.batchId, "rows": p.numInputRows, "rows_per_s": rate, "ms": p.batchDuration}
        event_(log, "batch done", logging.INFO, query=p.name, **figures)

    def onQueryIdle(self, event: QueryIdleEvent) -> None:  # noqa: N802
        """Nothing new: no line."""

    def onQueryTerminated(self, event: QueryTerminatedEvent) -> None:  # noqa: N802
        """Log the end; a failure's text is raised by `wait`."""
        event_(log, "query ended", id=str(event.id))


@lru_cache(maxsize=1)
def log_progress(spark: SparkSession) -> None:
    """Log the session's queries from now on; once, however many nights run in it."""
    spark.streams.addListener(ProgressLog())
