"""Batches in which one user and one item have a tenth of all events each, beside batches in which nobody has."""

from __future__ import annotations

import gzip
import statistics
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from benchmarks._pipeline import EAGER, pipeline, stop, wait_for_rows, wait_for_table
from benchmarks._populations import FIRST, ITEMS, PRICES, line
from benchmarks._record import Figure, Run
from recsys.config import StreamSettings

USERS = 100_000
BATCH = 5_000  # events
SHARE = 0.1  # of the events, of the hot user and of the hot item
WARM, MEASURED = 5, 12  # batches
SPAN = timedelta(hours=4)  # of a batch: the hot user is busy, but no bot
LONGEST_S = 120.0


def hot_keys(run: Run, spark: SparkSession, folder: Path, mapping: str) -> None:
    """`hot_key` of each query: its slowest batch with hot keys over its median batch without."""
    source = Source(folder / "source", np.random.default_rng(run.seed))
    own = pipeline(spark, folder / "tables", mapping, str(source.folder), StreamSettings(max_files=1))
    source.write(0.0)
    running = [own.ingest(EAGER)]
    try:
        wait_for_table(own, running[0])
        running.append(own.profiles(EAGER))
        turns = [Turn(query) for query in running]
        taken(turns)
        for _ in range(WARM - 1):
            source.write(0.0)
            taken(turns)
        without, hot = list[list[float]](), list[list[float]]()
        for _ in range(MEASURED):
            for share, times in ((0.0, without), (SHARE, hot)):
                source.write(share)
                times.append(taken(turns))
    finally:
        for query in running:
            stop(query)
    for n, query in enumerate(running):
        add(run, query.name, [seconds[n] for seconds in without], [seconds[n] for seconds in hot])


@dataclass
class Source:
    """Gzipped JSON lines of users and items drawn alike, a file at a time."""

    folder: Path
    random: np.random.Generator
    written: int = 0

    def write(self, share: float) -> None:
        """A file of BATCH lines; user 0 has `share` of them and item 0 has `share`, apart from each other."""
        self.folder.mkdir(parents=True, exist_ok=True)
        users, items = self.random.integers(1, USERS, BATCH), self.random.integers(1, ITEMS, BATCH)
        users[self.random.random(BATCH) < share] = 0
        items[self.random.random(BATCH) < share] = 0
        prices = self.random.integers(1, PRICES, BATCH)
        begin = FIRST + self.written * SPAN
        rows = zip(users.tolist(), items.tolist(), prices.tolist(), strict=True)
        text = "".join(line(self.written * BATCH + n, begin + n * SPAN / BATCH, *row) for n, row in enumerate(rows))
        hidden = self.folder / f".{self.written:03}"
        hidden.write_bytes(gzip.compress(text.encode(), 6))
        hidden.replace(self.folder / f"{self.written:03}.json.gz")
        self.written += 1


@dataclass
class Turn:
    """One query, asked for a batch at a time."""

    query: StreamingQuery
    done: set[int] = field(default_factory=set)

    def seconds(self) -> float:
        """Of the batches that read BATCH events; the profiles query may find those of a batch in several files."""
        found = wait_for_rows(self.query, BATCH, self.done, LONGEST_S)
        self.done |= found.keys()
        return sum(seconds for _, seconds in found.values())


def taken(turns: list[Turn]) -> list[float]:
    """Seconds of each query for the file that was written last."""
    return [turn.seconds() for turn in turns]


def add(run: Run, query: str, without: list[float], hot: list[float]) -> None:
    """The slowest batch with hot keys over the median batch without."""
    middle = statistics.median(without)
    about = f"{len(hot)} batches with hot keys and as many without, in turns; slowest without {max(without):.2f} s"
    figure = Figure(
        metric="hot_key",
        value=max(hot),
        unit="s/batch",
        rows=BATCH,
        seconds=sum(hot),
        peer="median batch without hot keys",
        peer_value=middle,
        ratio=max(hot) / middle,
        more={
            "query": query,
            "users": USERS,
            "median_hot": statistics.median(hot),
            "note": f"one user and one item have {SHARE:.0%} of the events each; {about}",
        },
    )
    run.add(figure)
