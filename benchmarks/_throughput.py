"""Both queries over files that are there already, beside a query that only reads and appends."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from benchmarks._machine import cpu_s
from benchmarks._pipeline import Pipeline, batch_seconds, pipeline
from benchmarks._populations import FILES, POPULATIONS, Population
from benchmarks._record import FEWEST, Figure, Run, once
from recsys import queries
from recsys.config import StreamSettings
from recsys.errors import RecsysError
from recsys.events.identify import identified, row_tally
from recsys.events.parse import typed
from recsys.events.source import found_columns, read_rows
from recsys.simulate.lines import FIELDS
from recsys.tables import BATCHES

LARGEST = 200_000  # events in a micro-batch
WARM = 2  # rounds: in the first two, a tenth of our processor time and more still goes to the JIT compiler


@dataclass(frozen=True)
class Cost:
    """Of one piece of work: seconds on the clock, and seconds of all processors."""

    wall: float
    cpu: float


def cost(work: Callable[[], object]) -> Cost:
    """What the work costs this process and all below it."""
    before = cpu_s(os.getpid())
    return Cost(once(work), cpu_s(os.getpid()) - before)


def throughput(run: Run, spark: SparkSession, folder: Path, mapping: str, quick: bool) -> None:
    """`throughput`, `cpu_ratio` and `stage_*` for each population."""
    for population in POPULATIONS:
        one = population.smaller() if quick else population
        of_population(run, spark, folder / one.name, mapping, one)


def of_population(run: Run, spark: SparkSession, folder: Path, mapping: str, population: Population) -> None:
    """The median of FEWEST runs beside the fastest of as many pass-throughs, in turns; WARM rounds come before.

    The peer reads the same JSON lines with a schema and appends to Delta, in batches of as many files.
    """
    lines = population.write(folder, run.seed)
    source = f"{folder}/events"
    limits = StreamSettings(max_files=FILES, max_events_files=population.events_files)
    first = pipeline(spark, folder / "before", mapping, source, limits)
    population.prepare(first)
    ours, peer = [], []
    for n in range(WARM + FEWEST):
        place = folder / str(n)
        own = first.copied(place)
        ours.append({"ingest": cost(partial(through, own.ingest)), "profiles": cost(partial(through, own.profiles))})
        peer.append(cost(partial(pass_through, spark, source, place / "peer")))
        check(own, lines)
        shutil.rmtree(place)
    add(run, population, lines, ours[WARM:], peer[WARM:])
    add_stages(run, population, lines, first, statistics.median(each["ingest"].wall for each in ours[WARM:]))


def add(run: Run, population: Population, lines: int, ours: list[dict[str, Cost]], peer: list[Cost]) -> None:
    """Both ratios, and the seconds of both queries."""
    how = f"at most {LARGEST} events a batch, both queries in turn, starts included, {WARM} rounds before"
    note = f"{population.about}; gzipped JSON, {how}"
    wall = statistics.median(sum(cost.wall for cost in each.values()) for each in ours)
    cpu = statistics.median(sum(cost.cpu for cost in each.values()) for each in ours)
    fastest, least = min(each.wall for each in peer), min(each.cpu for each in peer)
    own = {"population": population.name, "note": note}
    pairs = (
        ("throughput", "events/s", lines / wall, lines / fastest, fastest / wall),
        ("cpu_ratio", "events/CPU-s", lines / cpu, lines / least, least / cpu),
    )
    for metric, unit, value, other, ratio in pairs:
        name = f"fastest of {len(peer)} pass-throughs"
        figure = Figure(
            metric=metric, value=value, unit=unit, rows=lines, seconds=wall, peer=name, peer_value=other, ratio=ratio
        )
        figure.more.update(own)
        run.add(figure)
    for query in ours[0]:
        middle = statistics.median(each[query].wall for each in ours)
        used = statistics.median(each[query].cpu for each in ours)
        add_stage(run, population, lines, query, middle, {"cpu_s": round(used, 2)})


def add_stages(run: Run, population: Population, lines: int, own: Pipeline, ingest_s: float) -> None:
    """What each step of the first query adds to those before it; the rest of the query is dedupe and tables."""
    done = 0.0
    for step, rows in steps(own).items():
        noop = rows.write.format("noop").mode("overwrite")
        reached = statistics.median(once(noop.save) for _ in range(FEWEST))
        add_stage(run, population, lines, step, reached - done)
        done = reached
    add_stage(run, population, lines, "dedupe_and_tables", ingest_s - done)


def steps(own: Pipeline) -> dict[str, DataFrame]:
    """Rows of the files after each step of the first query."""
    spark, settings, mapping = own.warehouse.spark, own.settings, own.mapping
    names = list(dict.fromkeys([*found_columns(spark, mapping.format, settings.source), *mapping.columns()]))
    raw = read_rows(spark, mapping.format, settings.source, names, None)
    clean = typed(raw, mapping, settings)
    known = identified(clean, mapping, settings.pseudonym_key_file, row_tally(spark.sparkContext))
    return {"read": raw, "clean": clean, "identify": known}


def add_stage(
    run: Run, population: Population, lines: int, stage: str, seconds: float, more: dict[str, float] | None = None
) -> None:
    """`stage_NAME`: seconds for all lines."""
    figure = Figure(metric=f"stage_{stage}", value=seconds, unit="s", rows=lines, seconds=seconds)
    figure.more.update({"population": population.name, **(more or {})})
    run.add(figure)


def through(start: Callable[[], StreamingQuery]) -> None:
    """All that is there through one query. RecsysError: a batch had more than LARGEST events."""
    query = start()
    queries.wait([query])
    if (most := max((rows for rows, _ in batch_seconds(query).values()), default=0)) > LARGEST:
        raise RecsysError(f"{query.name} read {most} events in one batch; the figure is for {LARGEST} at most.")


def pass_through(spark: SparkSession, source: str, folder: Path) -> None:
    """The same files, read as JSON with a schema and appended to a Delta table."""
    schema = ", ".join(f"`{name}` string" for name in FIELDS)
    rows = spark.readStream.option("maxFilesPerTrigger", FILES).schema(schema).json(source)
    writer = rows.writeStream.format("delta").option("checkpointLocation", f"{folder}/checkpoint")
    writer.trigger(availableNow=True).start(f"{folder}/table").awaitTermination()


def check(own: Pipeline, lines: int) -> None:
    """RecsysError where the pipeline did not account for every line: then its speed means nothing."""
    batches = own.warehouse.view().read(BATCHES).where(F.col("query") == "events")
    row = batches.agg(F.sum("rows_in").alias("n")).first()
    if row is None or row["n"] != lines:
        raise RecsysError(f"{lines} lines were written and {row and row['n']} read: the figure would be wrong.")
