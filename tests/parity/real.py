"""Parity on a public data set: streamed by the shipped mapping, sampled users and items against the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from recsys.config import Settings
from recsys.events.mapping import merged
from recsys.features.history import from_arrow
from tests.events.streaming import shipped
from tests.features import oracle
from tests.features.oracle import Event
from tests.features.shop import micros, moment
from tests.parity.logs import HOUR
from tests.parity.points import FEATURES, Found, Known, moments, of_rows, of_user
from tests.parity.suite import Stream, backfilled, opened, texts_in

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def run_real(
    spark: SparkSession, folder: Path, name: str, source: Path, entities: int, points: int, seed: int
) -> Found:
    """Stream the data set and compare `points` points of each of `entities` users, and so many items at 12 hours each.

    The oracle's behaviour names become those of the source, for this process.
    """
    from recsys.tables import EVENTS

    stream = with_source(opened(spark, folder), name, source)
    oracle.NAMES, oracle.ENGAGED = tuple(stream.settings.behaviours), stream.settings.engaged()
    stream.read()
    found, random = Found(), Random(seed)
    events = stream.warehouse.view().read(EVENTS)
    known, found.events = known_of(events, entities, seed), events.count()
    by_user = stream.profiles(sorted(known.of_user))
    for user, mine in sorted(known.of_user.items()):
        history, texts = from_arrow(by_user[user]["recent_arrow"], oracle.NAMES), texts_in(by_user[user])
        of_user(found, mine, history, texts, sorted(moments(mine, points, random)), FEATURES)
    backfilled(stream, found)
    of_items(stream, events, known, found, random)
    return found


def with_source(stream: Stream, name: str, source: Path) -> Stream:
    """The same empty warehouse for a shipped mapping."""
    mapping = shipped(name)
    limits = stream.settings.stream.model_copy(update={"retention_days": Settings().stream.retention_days})
    settings = merged(stream.settings, mapping).model_copy(update={"source": str(source), "stream": limits})
    return replace(stream, settings=settings, source=mapping)


def known_of(events: DataFrame, entities: int, seed: int) -> Known:
    """The events of about so many users and items, drawn by seed, and everyone's times."""
    from pyspark.sql import functions as F

    known = Known()
    for column, kept in (("user_id", known.of_user), ("item_id", known.of_item)):
        ids = events.where(F.col(column).isNotNull()).groupBy(column).count()
        drawn = ids.orderBy(F.xxhash64(F.lit(seed), column) / F.sqrt("count")).limit(entities).select(column)
        for row in events.join(F.broadcast(drawn), column, "left_semi").toArrow().to_pylist():
            kept[row[column]].append(_event(row))
    times = events.where("item_id IS NOT NULL").select("behaviour", F.unix_micros("event_time").alias("t")).toArrow()
    for name in oracle.NAMES:
        known.crowd[name] = times.filter(pc.equal(times["behaviour"], name))["t"].to_pylist()
    return known.sort()


def _event(row: dict[str, Any]) -> Event:
    quantity = 1 if row["quantity"] is None else row["quantity"]
    return Event(
        id=row["event_id"], user=row["user_id"], time=micros(row["event_time"]), behaviour=row["behaviour"],
        item=row["item_id"], price=row["price_minor"], quantity=quantity, value=row["value"], query=row["query"],
        category=dict(row["context"] or ()).get("category"),
    )  # fmt: skip


def of_items(stream: Stream, events: DataFrame, known: Known, found: Found, random: Random) -> None:
    """The drawn items at hours around their events."""
    from pyspark.sql import functions as F

    from recsys.features.spark import item_features
    from recsys.tables import ITEMS

    every = [e.time for mine in known.of_item.values() for e in mine]
    hours = sorted({random.choice(every) // HOUR * HOUR + HOUR * random.randrange(3) for _ in range(12)})
    spark = stream.warehouse.spark
    frame = spark.createDataFrame([(moment(hour),) for hour in hours], "hour timestamp")
    rows = item_features(events, spark.createDataFrame([], ITEMS.ddl), frame, stream.settings)
    ids: Sequence[str] = sorted(known.of_item)
    told = {(r["item_id"], micros(r["hour"])): r for r in rows.where(F.col("item_id").isin(*ids)).toArrow().to_pylist()}
    of_rows(found, "items", known, told, ids, hours)
