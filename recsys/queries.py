"""Named streaming queries: their start, a clean stop, and their progress in the log."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from types import FrameType

from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.listener import (
    QueryIdleEvent,
    QueryProgressEvent,
    QueryStartedEvent,
    QueryTerminatedEvent,
    StreamingQueryListener,
)
from pyspark.sql.streaming.query import StreamingQuery

from recsys.checkpoints import Checkpoint as Checkpoint
from recsys.checkpoints import agree as agree
from recsys.checkpoints import checkpoint as checkpoint
from recsys.errors import ConfigError
from recsys.log import event as event_

AVAILABLE_NOW = "available-now"
# For the streaming queries alone. Spark infers what holds for each column of a plan, to add filters: on a batch's wide
# projections that takes longer than the batch, and there is nothing to filter. It looks for the best way to compress
# each column of a cached batch, which is gone a moment later. And it sends 10,000 rows at once to Python: as full
# profiles they have 300 MB, which no processor's cache holds.
LEAN = {
    "spark.sql.constraintPropagation.enabled": "false",
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
    "spark.sql.execution.arrow.maxBytesPerBatch": str(8 << 20),
}
log = logging.getLogger(__name__)


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
    with _lean(rows.sparkSession):
        return writer.start()


@contextmanager
def _lean(spark: SparkSession) -> Iterator[None]:
    """A query keeps the session's settings of the moment it starts. What was set from outside stays."""
    given = spark.sparkContext.getConf()
    wanted = {name: value for name, value in LEAN.items() if not given.contains(name)}
    before = {name: str(spark.conf.get(name)) for name in wanted}
    try:
        for name, value in wanted.items():
            spark.conf.set(name, value)
        yield
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)


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


def wait(queries: Sequence[StreamingQuery], poll_s: float = 0.5) -> list[str]:
    """Wait until all queries have ended; the first failure stops the others and is raised.

    On SIGTERM and SIGINT, whose names are returned, each query ends its running batch and stops.
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
            return seen
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
