"""From an event's own moment to a committed profile that holds it, under an open-loop load of a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from benchmarks._growth import growth
from benchmarks._pipeline import EAGER, Pipeline, pipeline, stop, wait_for_table
from benchmarks._record import ROOT, Figure, Run
from recsys.errors import RecsysError
from recsys.features.history import F64
from recsys.features.stream import QUERY
from recsys.tables import BATCHES, EVENTS, USER_PROFILES

USERS = 100_000
POLL_S = 0.1  # between the end of one look and the next
WARM_S = 30.0  # not measured: the JVM compiles
DRAIN_S = 30.0  # after the last measured event
FIRST_FILE_S = 120.0
SPARE_S = 240.0  # of load, for the time until both queries run
LIMITS = {"freshness_p50": 6.0, "freshness_p99": 10.0}


@dataclass(frozen=True, kw_only=True)
class Load:
    """What the generator sends."""

    rate: int  # lines a second
    measured_s: float


def freshness(run: Run, spark: SparkSession, folder: Path, mapping: str, load: Load) -> None:
    """`freshness_p50` and `freshness_p99` of the engaged events of `load.measured_s` seconds, then `growth`."""
    source, running = folder / "source", list[StreamingQuery]()
    own = pipeline(spark, folder / "tables", mapping, f"{source}/events")
    try:
        with generator(run.seed, source, load):
            wait_for_file(source / "events")
            running.append(own.ingest(EAGER))
            wait_for_table(own, running[0])
            running.append(own.profiles(EAGER))
            watched(own, running, until=time.time() + SPARE_S / 2, enough=1)
            begin = time.time() + WARM_S
            seen = watched(own, running, until=begin + load.measured_s + DRAIN_S)
    finally:
        for query in running:
            stop(query)
    add(run, load, waited(own, load, seen, begin))
    growth(run, own)


@contextmanager
def generator(seed: int, folder: Path, load: Load) -> Iterator[None]:
    """The simulated shop in its own process, until the block ends."""
    lines = int(load.rate * (SPARE_S + WARM_S + load.measured_s + DRAIN_S))
    words = [sys.executable, "-m", "jobs.simulate", "--out", str(folder), "--days", "1", "--rate", str(load.rate)]
    words += ["--users", str(USERS), "--events-per-day", str(lines), "--seed", str(seed)]
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        yield
        if process.poll() is not None:
            raise RecsysError(f"the generator ended early, with exit code {process.returncode}.")
    finally:
        process.kill()
        process.wait()


def wait_for_file(folder: Path) -> None:
    """Until the generator has sent something. RecsysError where it does not."""
    ends = time.monotonic() + FIRST_FILE_S
    while not any(folder.glob("*.json.gz")):
        if time.monotonic() > ends:
            raise RecsysError(f"the generator wrote nothing into {str(folder)!r} within {FIRST_FILE_S:.0f} s.")
        time.sleep(POLL_S)


def watched(
    own: Pipeline, running: list[StreamingQuery], until: float, enough: int | None = None
) -> list[tuple[int, float]]:
    """(version of user_profiles, moment at which a reader was first given it), in order, at most `enough` of them.

    The reader polls the version of `batches` and asks for a view when there is a new one.
    """
    seen: list[tuple[int, float]] = []
    looked = -1
    while (now := time.time()) < until and len(seen) != enough:
        if ended := [query for query in running if query.exception() or not query.isActive]:
            raise RecsysError(f"{ended[0].name} ended early: {ended[0].exception()}")
        committed = own.warehouse.version(BATCHES) if own.warehouse.exists(BATCHES) else -1
        if committed == looked:
            time.sleep(POLL_S)
            continue
        looked, version = committed, own.warehouse.view().versions.get(USER_PROFILES.name, -1)
        now = time.time()
        if version > (seen[-1][0] if seen else -1):
            seen.append((version, now))
    return seen


def waited(own: Pipeline, load: Load, seen: list[tuple[int, float]], begin: float) -> F64:
    """[events] seconds from each engaged event's time to its first readable profile; inf: unread until the end."""
    view, moment = own.warehouse.view(), F.unix_micros("event_time") / 1e6
    measured = moment.between(begin, begin + load.measured_s)
    batches = view.read(BATCHES).where(F.col("query") == QUERY).select("batch", "versions").collect()
    moments = [at for _, at in seen] + [np.inf]
    versions = [version for version, _ in seen]
    readable = {r["batch"]: moments[bisect_left(versions, r["versions"][USER_PROFILES.name])] for r in batches}
    recent = view.read(USER_PROFILES).select("batch", F.inline("recent")).where(measured)
    found = recent.groupBy("event_id", moment.alias("at")).agg(F.min("batch").alias("batch")).toArrow()
    waits = np.array([readable[b] for b in found["batch"].to_pylist()]) - found["at"].to_numpy()
    known = view.read(EVENTS).where(F.col("user_id").isNotNull())
    engaged = measured & F.col("behaviour").isin(*own.settings.engaged())
    row = known.agg(F.count_if(engaged).alias("sent"), F.max(moment).alias("newest")).first()
    sent, newest = (row["sent"], row["newest"]) if row else (0, begin)
    unread = max(sent - len(waits), 0) + load.rate * max(begin + load.measured_s - newest, 0)
    return np.append(waits, np.full(int(unread), np.inf))


def add(run: Run, load: Load, waits: F64) -> None:
    """Both percentiles; None where that many events were never readable."""
    if not np.isfinite(waits).any():
        raise RecsysError("no event of the measured time reached a profile: nothing can be said about freshness.")
    late = int(np.isinf(waits).sum())
    for metric, limit in LIMITS.items():
        share = int(metric.removeprefix("freshness_p"))
        value = float(np.quantile(waits, share / 100, method="higher"))
        reached = np.isfinite(value)
        figure = Figure(
            metric=metric,
            value=value if reached else None,
            unit="s",
            rows=len(waits),
            seconds=load.measured_s,
            peer="limit",
            peer_value=limit,
            ratio=value / limit if reached else None,
            more={"note": f"open loop, {load.rate} events/s; {late} events unread {DRAIN_S:.0f} s after the last one"},
        )
        run.add(figure)
