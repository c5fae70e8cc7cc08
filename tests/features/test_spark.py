"""The users' state in batch and stream, its features, item features and the snapshot, against the oracle."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.config import FeatureSettings, Settings
from recsys.features.definitions import ITEM_FEATURES, item_features_table, profiles_table, user_features_of
from recsys.features.item import ItemSnapshot, from_table
from recsys.tables import ITEMS
from tests.features import item_oracle, oracle
from tests.features.item_oracle import EVERY_ITEM
from tests.features.logs import AT, EDGES, EVERY_KIND
from tests.features.oracle import ENGAGED, NAMES, Event, S, Value

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Row = dict[str, Any]
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
K = 6
FEATURES = FeatureSettings(k=K, bot_events_per_10m=4, bot_min_events=5, user=EVERY_KIND, item=EVERY_ITEM)
SETTINGS = Settings(features=FEATURES)
HOUR = 3600 * S
START = AT // HOUR * HOUR
SCHEMA = pa.schema(
    {
        "event_id": pa.string(),
        "user_id": pa.string(),
        "event_time": pa.timestamp("us", tz="UTC"),
        "behaviour": pa.string(),
        "item_id": pa.string(),
        "price_minor": pa.int64(),
        "quantity": pa.int64(),
        "value": pa.float64(),
    }
)


def _log(seed: int, size: int = 160) -> list[Event]:
    """Events in arrival order, which is unrelated to their time: most arrive late. Many are tied."""
    random = Random(seed)
    users = ["u", "v", "w", "once", None]
    return [
        Event(
            id=f"{seed}-{number:04}",
            user=f"{seed}{user}" if (user := random.choice(users)) else None,
            time=random.choice(EDGES) if random.random() < 0.6 else AT - random.randrange(20 * 86_400 * S),
            behaviour=random.choice(NAMES) if user != "once" else "impression",
            item=random.choice(["a", "b", "ü", None]),
            price=random.choice([None, 0, 999, 2**40]),
            quantity=random.randrange(-1, 4),
            value=random.choice([None, 1.5, 4.0]),
        )
        for number in random.sample(range(size), size)
    ]


def _table(log: list[Event]) -> pa.Table:
    columns = zip(
        *[(e.id, e.user, e.time, e.behaviour, e.item, e.price, e.quantity, e.value) for e in log], strict=True
    )
    return pa.Table.from_arrays([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


def _micros(moment: datetime) -> int:
    return (moment.replace(tzinfo=moment.tzinfo or timezone.utc) - EPOCH) // timedelta(microseconds=1)


def _rows(frame: DataFrame) -> list[Row]:
    rows: list[Row] = frame.toArrow().to_pylist()
    return rows


def _expected(log: list[Event], user: str) -> Row:
    mine = [e for e in log if e.user == user]
    recent = oracle.state(log, user, K)
    bought = [e for e in mine if e.behaviour == "purchase"]
    return {
        "as_of": max(e.time for e in mine),
        "recent": [e.id for e in recent],
        "counts": {name: sum(e.behaviour == name for e in mine) for name in NAMES},
        "spend_minor": sum(e.price * e.quantity for e in bought if e.price is not None),
        "first_time": min(e.time for e in mine),
        "truncated": sum(e.behaviour in ENGAGED for e in mine) > K,
        "features": oracle.user_values(recent, max(e.time for e in mine), FEATURES),
    }


def _check_profile(row: Row, log: list[Event]) -> None:
    wanted = _expected(log, row["user_id"])
    features: dict[str, Value] = wanted.pop("features")
    found = {name: row[name] for name in wanted}
    found |= {name: _micros(row[name]) for name in ("as_of", "first_time")}
    found |= {"recent": [r["event_id"] for r in row["recent"]], "counts": dict(row["counts"])}
    assert found == wanted
    for feature in user_features_of(FEATURES):
        assert oracle.agree(row[feature.name], features[feature.name]), (row["user_id"], feature.name)


@pytest.mark.parametrize("seed", [1, 2])
def test_profiles_equal_the_oracle(spark: SparkSession, seed: int) -> None:
    from recsys.features.state import user_profiles

    log = _log(seed)
    profiles = user_profiles(spark.createDataFrame(_table(log)), SETTINGS)
    assert tuple(profiles.columns) == tuple(n for n in profiles_table(FEATURES).names if n not in ("epoch", "batch"))
    rows = _rows(profiles)
    assert sorted(row["user_id"] for row in rows) == sorted({e.user for e in log if e.user})
    for row in rows:
        _check_profile(row, log)


def test_stream_equals_oracle_after_every_batch(spark: SparkSession, tmp_path: Path) -> None:
    """Three logs share a stream of batches of many sizes; late, tied and unordered events correct the row at once."""
    from recsys.features.state import profile_state, with_user_features

    logs = {seed: _log(seed, 90) for seed in (3, 4, 5)}
    arrivals = [event for events in zip(*logs.values(), strict=True) for event in events]
    cuts = [0, 1, 4, 40, 41, 150, len(arrivals)]
    source = tmp_path / "events"
    source.mkdir()
    for number, (low, high) in enumerate(pairwise(cuts)):
        pq.write_table(_table(arrivals[low:high]), source / f"{number}.parquet")
        os.utime(source / f"{number}.parquet", (1_700_000_000 + number,) * 2)  # the stream reads files by age
    seen: dict[int, list[Row]] = {}

    def keep(batch: DataFrame, number: int) -> None:
        seen[number] = _rows(with_user_features(batch, SETTINGS))

    schema = spark.read.parquet(str(source)).schema
    reader = spark.readStream.schema(schema).option("maxFilesPerTrigger", 1)
    state = profile_state(reader.parquet(str(source)), SETTINGS)
    writer = state.writeStream.outputMode("update").foreachBatch(keep).trigger(availableNow=True)
    writer.option("checkpointLocation", str(tmp_path / "checkpoint")).start().awaitTermination()
    known: list[Event] = []
    for number, (low, high) in enumerate(pairwise(cuts)):
        known += arrivals[low:high]
        assert {row["user_id"] for row in seen[number]} == {e.user for e in arrivals[low:high] if e.user}
        for row in seen[number]:
            _check_profile(row, known)


@pytest.fixture(scope="module")
def shop(spark: SparkSession) -> tuple[list[Event], DataFrame, DataFrame]:
    """A log, its events and a catalogue: `a` changes its price at START, `ü` is withdrawn then, `new` has no event."""
    log = _log(7)
    at = EPOCH + timedelta(microseconds=START)
    spans = [
        ("a", "x", 200, EPOCH, at),
        ("a", "x", 100, at, None),
        ("b", None, None, EPOCH, None),
        ("ü", "y", 300, EPOCH, at),
        ("new", "y", 400, EPOCH, None),
    ]
    rows = [(i, c, p, i.upper(), None, 0, None if i == "b" else True, None, low, high) for i, c, p, low, high in spans]
    return log, spark.createDataFrame(_table(log)), spark.createDataFrame(rows, ITEMS.ddl)


def _hours(spark: SparkSession, *shifts: int) -> DataFrame:
    return spark.createDataFrame(
        [(EPOCH + timedelta(microseconds=START + s * HOUR),) for s in shifts], "hour timestamp"
    )


@pytest.mark.parametrize("source", ["events", "tiles"])
def test_item_features_equal_the_oracle(
    spark: SparkSession, shop: tuple[list[Event], DataFrame, DataFrame], source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyspark.sql import functions as F

    from recsys.events.ingest import item_tiles
    from recsys.features.spark import item_features
    from recsys.io import Commit

    log, events, items = shop
    if source == "tiles":  # partial rows of two batches
        halves = [events.where(F.crc32("event_id") % 2 == n) for n in (0, 1)]
        parts = [item_tiles(half, 5, Commit(query="q", epoch=0, batch=n), users=True) for n, half in enumerate(halves)]
        events = parts[0].unionByName(parts[1])
    shifts = (0, 1, -24, 5 * 24, -19 * 24, 9 * 24)
    frame = item_features(events, items, _hours(spark, *shifts), SETTINGS)
    assert tuple(frame.columns) == item_features_table(FEATURES).names
    rows = _rows(frame)
    found = {(row["item_id"], _micros(row["hour"])): row for row in rows}
    assert len(found) == len(rows)
    old, new = {"a": 200, "ü": 300}, {"a": 100}
    wanted = {}
    for item in ("a", "b", "ü", "new"):
        for at in (START + s * HOUR for s in shifts):
            if item_oracle.there(log, item, at, EVERY_ITEM):
                prices = (old if at < START else new).get(item), old.get(item)
                wanted[item, at] = item_oracle.values(log, item, at, EVERY_ITEM, item_oracle.crowd_of(log), prices)
    assert found.keys() == wanted.keys()
    for key, values in wanted.items():
        for name, value in values.items():
            assert oracle.agree(found[key][name], value), (key, name)
        assert found[key]["day"] == (EPOCH + timedelta(microseconds=key[1])).date()


def test_snapshot_is_the_catalogue_at_its_hour(
    spark: SparkSession, shop: tuple[list[Event], DataFrame, DataFrame]
) -> None:
    from recsys.features.spark import item_features, snapshots

    log, events, items = shop
    hour = _hours(spark, 0)

    def snapshot(features: DataFrame) -> ItemSnapshot:
        return from_table(snapshots(features, items, hour, FEATURES).toArrow(), START)

    whole = snapshot(item_features(events, items, hour, SETTINGS, whole_catalogue=True))
    assert whole.items == ("a", "b", "new")
    assert whole.price.tolist() == [100, -1, 400]
    assert whole.category == ("x", None, "y")
    assert whole.title == ("A", "B", "NEW")
    assert whole.in_stock.all()
    assert whole.at == START
    prices = {"a": (100, 200), "b": (None, None), "new": (400, 400)}
    for row, item in enumerate(whole.items):
        values = oracle.item_values(log, item, START, *prices[item])
        for name in (f.name for f in ITEM_FEATURES):
            wanted = values[name]
            assert oracle.agree(whole.column(name)[row].item(), None if wanted is None else float(wanted), 1e-6), name
    active = snapshot(item_features(events, items, hour, SETTINGS))
    assert active.items == whole.items
    same = (active.features[2] == whole.features[2]) | np.isnan(active.features[2]) & np.isnan(whole.features[2])
    assert same[:17].all()  # an item without a row has the defaults
