"""Both queries over files that are there already, beside a query that only reads and appends."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from benchmarks._pipeline import Pipeline, pipeline
from benchmarks._record import FEWEST, Figure, Run, Timing, once
from recsys import queries
from recsys.errors import RecsysError
from recsys.simulate.lines import FIELDS
from recsys.simulate.settings import SimulateSettings
from recsys.simulate.shop import open_shop
from recsys.simulate.write import write_days
from recsys.tables import BATCHES

USERS = 100_000
DAYS = 3
PER_DAY = 200_000


def throughput(run: Run, spark: SparkSession, folder: Path, mapping: str, quick: bool) -> None:
    """`throughput`: events/s of both queries; the peer reads the same JSON lines with a schema and appends to Delta."""
    shop = SimulateSettings(seed=run.seed, users=USERS, events_per_day=PER_DAY // 10 if quick else PER_DAY)
    lines = sum(day.lines for day in write_days(open_shop(shop), folder, 1, DAYS))
    source = f"{folder}/events"
    ours, peer = [], []
    for n in range(FEWEST + 1):
        place = folder / str(n)
        own = pipeline(spark, place / "ours", mapping, source)
        ours.append(once(partial(through, own)))
        peer.append(once(partial(pass_through, spark, source, place / "peer")))
        check(own, lines)
        shutil.rmtree(place)
    mine, theirs = Timing(tuple(ours[1:])), Timing(tuple(peer[1:]))  # the first round warms up
    figure = Figure(
        metric="throughput",
        value=lines / mine.median,
        unit="events/s",
        rows=lines,
        seconds=mine.median,
        peer="pass-through",
        peer_value=lines / theirs.median,
        ratio=theirs.median / mine.median,
        more={"note": f"gzipped JSON of {DAYS} days, {USERS} users; both queries one after the other, starts included"},
    )
    run.add(figure)


def through(own: Pipeline) -> None:
    """All files through both queries."""
    queries.wait([own.ingest()])
    queries.wait([own.profiles()])


def pass_through(spark: SparkSession, source: str, folder: Path) -> None:
    """The same files, read as JSON with a schema and appended to a Delta table."""
    schema = ", ".join(f"`{name}` string" for name in FIELDS)
    rows = spark.readStream.schema(schema).json(source)
    writer = rows.writeStream.format("delta").option("checkpointLocation", f"{folder}/checkpoint")
    writer.trigger(availableNow=True).start(f"{folder}/table").awaitTermination()


def check(own: Pipeline, lines: int) -> None:
    """RecsysError where the pipeline did not account for every line: then its speed means nothing."""
    batches = own.warehouse.view().read(BATCHES).where(F.col("query") == "events")
    row = batches.agg(F.sum("rows_in").alias("n")).first()
    if row is None or row["n"] != lines:
        raise RecsysError(f"{lines} lines were written and {row and row['n']} read: the figure would be wrong.")
