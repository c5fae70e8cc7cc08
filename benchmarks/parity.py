"""Features against a naive oracle: random logs through both streaming queries, and public data sets."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._record import AbsentError, Figure, Run, main, shared
from recsys.config import Settings
from recsys.errors import RecsysError
from recsys.session import open_session
from tests.parity.points import Found

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PER_STREAM = 50  # logs that share one stream
ROUNDS = 10  # batches of a stream
REAL = ("globo_clicks", "trivago")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The suite's own options."""
    parser.add_argument("--logs", type=int, default=200, help="random logs (default 200)")
    parser.add_argument("--size", type=int, default=100_000, help="events of a log before some are sent again")
    parser.add_argument("--points", type=int, default=500, help="times asked about in each log, each in two ways")
    parser.add_argument("--only", choices=("logs", *REAL), help="one part")


def measure(run: Run, asked: argparse.Namespace) -> None:
    """Compare; RecsysError where anything differs."""
    small = {"spark.master": "local[2]", "spark.driver.memory": "6g", "spark.sql.shuffle.partitions": "4"}
    spark = open_session(Settings(spark=small), "parity")
    wrong: list[str] = []
    logs, size = (4, 2000) if asked.quick else (asked.logs, asked.size)
    if asked.only in (None, "logs"):
        for first in range(0, logs, PER_STREAM):
            count = min(PER_STREAM, logs - first)
            wrong += random_logs(run, spark, count, size, asked.points, asked.seed + first)
    for name in REAL:
        if asked.only in (None, name) and not asked.quick:
            wrong += public(run, spark, name)
    spark.stop()
    if wrong:
        raise RecsysError(f"{len(wrong)} values differ from the oracle. The first: " + "; ".join(wrong[:5]))


def random_logs(run: Run, spark: SparkSession, logs: int, size: int, points: int, seed: int) -> list[str]:
    """One stream that carries `logs` logs in disjoint id spaces."""
    from tests.parity import suite

    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="recsys-parity-") as folder:
        found = suite.run(spark, Path(folder) / "w", logs, size, ROUNDS, seed, points)
    return told(run, found, f"{logs} random logs", logs * size, time.perf_counter() - began)


def public(run: Run, spark: SparkSession, name: str) -> list[str]:
    """A public data set, where it lies beside the clone."""
    from tests.parity import real

    began = time.perf_counter()
    try:
        source = shared(name)
    except AbsentError as error:
        print(f"parity: {name} skipped: {error}", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory(prefix="recsys-parity-") as folder:
        found = real.run_real(spark, Path(folder) / "w", name, source, 200, 50, run.seed)
    return told(run, found, name, found.events, time.perf_counter() - began)


def told(run: Run, found: Found, source: str, events: int, seconds: float) -> list[str]:
    """A line for each way of computing features, and one for all values."""
    wrong = len(found.wrong)
    for way, points in sorted(found.points.items()):
        more: dict[str, str | int | float | bool | None] = {"source": source, "way": way}
        run.add(Figure(metric="points", value=points, unit="points", rows=events, seconds=seconds, more=more))
    about: dict[str, str | int | float | bool | None] = {"source": source, "values": found.values}
    run.add(Figure(metric="differing", value=wrong, unit="values", rows=events, seconds=seconds, more=about))
    return found.wrong


if __name__ == "__main__":
    sys.exit(main("parity", __doc__ or "", measure, threads=2, arguments=arguments))
