"""The fold: readers see the same, beside a running stream, a killed batch and a rebuild too; and what is gone."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from recsys.config import FeatureSettings, FoldSettings, Settings
from recsys.tables import BATCHES, EVENTS, ITEM_TILES, USER_PROFILES, tiles_table
from tests.features.oracle import Event
from tests.features.shop import append_events
from tests.features.test_rebuild import killed
from tests.features.test_stream import ALL_FILES, K, Shop, check, log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame, SparkSession

    from recsys.io import View

DAY = date(2026, 3, 5)
NOW = datetime(2026, 3, 5, tzinfo=timezone.utc)
FOLD = FoldSettings()


@dataclass(frozen=True)
class Folded(Shop):
    """The shop of the streaming tests, and its fold."""

    def fold(self, settings: FoldSettings = FOLD) -> None:
        from recsys.fold import fold

        assert next(iter(list(fold(self.warehouse, settings, DAY)))) == USER_PROFILES.name

    def batch(self, events: list[Event], number: int) -> None:
        append_events(self.warehouse, events, number)
        self.run()

    def version(self) -> int:
        return self.warehouse.version(USER_PROFILES)


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Folded:
    from recsys.io import Warehouse

    settings = Settings(features=FeatureSettings(k=K), checkpoints=f"{tmp_path}/c", warehouse=f"{tmp_path}/w")
    stream = settings.stream.model_copy(update={"max_events_files": ALL_FILES})
    return Folded(Warehouse(spark, settings.warehouse), settings.model_copy(update={"stream": stream}))


def third(events: list[Event], number: int) -> list[Event]:
    return events[25 * number : 25 * (number + 1)]


def test_each_user_keeps_the_newest_row_and_the_stream_goes_on(shop: Folded) -> None:
    events = log(5, 75)
    shop.batch(third(events, 0), 0)
    shop.batch(third(events, 1), 1)
    old, before = shop.warehouse.view(), shop.profiles()
    shop.fold()
    assert shop.profiles() == before
    assert shop.versions() == sorted((user, row["batch"]) for user, row in before.items())
    folded = shop.version()
    assert shop.warehouse.view().versions[USER_PROFILES.name] == folded
    shop.fold()
    assert shop.version() == folded  # there was nothing to do
    check_rows(old, before)  # a view from before the fold still reads its version
    shop.batch(third(events, 2), 2)
    check(shop, events)


def test_a_batch_that_lands_while_the_fold_writes_is_kept(shop: Folded, monkeypatch: pytest.MonkeyPatch) -> None:
    from recsys import fold
    from recsys.io import newest

    events, begun, ended = log(6, 75), threading.Event(), Path(f"{shop.settings.checkpoints}-ended")
    for number in range(2):
        shop.batch(third(events, number), number)
    append_events(shop.warehouse, third(events, 2), 2)

    def slow(rows: DataFrame, key: tuple[str, ...]) -> DataFrame:
        found = newest(rows, key)
        begun.set()
        return found.coalesce(1).mapInArrow(partial(_held, ended), found.schema)

    monkeypatch.setattr(fold, "newest", slow)
    running = threading.Thread(target=shop.fold)
    running.start()
    assert begun.wait(60)
    shop.run()
    landed = shop.version()
    ended.touch()
    running.join()
    assert shop.version() == landed + 1  # the fold ended later, and Delta let both commit
    check(shop, events)
    folded = [user for user, batch in shop.versions() if batch < 2]
    assert len(folded) == len(set(folded)) < len(shop.versions())  # one row a user, and the batch that landed


def _held(until: Path, batches: Iterator[Any]) -> Iterator[Any]:
    ends = time.monotonic() + 100
    while not until.exists() and time.monotonic() < ends:
        time.sleep(0.05)
    yield from batches


def test_rows_of_a_batch_that_was_killed_wait_for_its_replay(shop: Folded, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyspark.errors import StreamingQueryException

    from recsys.io import Warehouse

    events = log(7, 75)
    shop.batch(third(events, 0), 0)
    append_events(shop.warehouse, third(events, 1), 1)
    with monkeypatch.context() as patch:
        patch.setattr(Warehouse, "finish", killed)
        with pytest.raises(StreamingQueryException, match="killed"):
            shop.run()
    shop.fold()
    check(shop, third(events, 0))  # readers do not see what has not ended
    assert {batch for _, batch in shop.versions()} == {0, 1}
    shop.run()
    check(shop, events[:50])
    shop.fold()
    shop.batch(third(events, 2), 2)
    check(shop, events)


def test_a_fold_that_was_killed_is_taken_over_by_the_next(shop: Folded, monkeypatch: pytest.MonkeyPatch) -> None:
    from recsys.io import Warehouse

    events = log(10, 50)
    shop.batch(third(events, 0), 0)
    shop.batch(third(events, 1), 1)
    before, seen = shop.profiles(), shop.version()
    with monkeypatch.context() as patch:
        patch.setattr(Warehouse, "finish", killed)
        with pytest.raises(KeyError, match="killed"):
            shop.fold()
    assert shop.version() == seen + 1
    assert shop.warehouse.view().versions[USER_PROFILES.name] == seen
    shop.fold()
    assert shop.warehouse.view().versions[USER_PROFILES.name] == shop.version() == seen + 1
    assert shop.profiles() == before


def test_an_epoch_in_the_making_stays_and_former_ones_go(shop: Folded) -> None:
    """As jobs/rebuild.py does it: its batches name no table until the switch."""
    from pyspark.sql import functions as F

    from recsys.features.stream import QUERY
    from recsys.io import Commit

    events = log(8, 50)
    shop.batch(third(events, 0), 0)
    shop.batch(third(events, 1), 1)
    before, path = shop.profiles(), shop.warehouse.path(USER_PROFILES)
    rows = shop.warehouse.spark.read.format("delta").load(path)

    def rebuilt(batch: int) -> Commit:
        made = rows.where(f"batch = {batch}").withColumn("epoch", F.lit(1).cast(rows.schema["epoch"].dataType))
        made.write.format("delta").mode("append").save(path)
        return Commit(query=QUERY, epoch=1, batch=batch)

    rows = rows.localCheckpoint()
    shop.warehouse.finish(rebuilt(0), {}, NOW)
    shop.fold()
    assert shop.profiles() == before
    assert epochs(shop) == {0, 1}
    last = rebuilt(1)
    shop.warehouse.finish(last, {USER_PROFILES.name: shop.version()}, NOW)
    switched = shop.profiles()
    assert switched == {user: row | {"epoch": 1} for user, row in before.items()}
    shop.fold()
    assert shop.profiles() == switched
    assert epochs(shop) == {1}


def epochs(shop: Folded) -> set[int]:
    rows = shop.warehouse.spark.read.format("delta").load(shop.warehouse.path(USER_PROFILES))
    return {row["epoch"] for row in rows.select("epoch").distinct().collect()}


def check_rows(view: View, wanted: dict[str, dict[str, Any]]) -> None:
    rows = view.latest(USER_PROFILES).toArrow().to_pylist()
    assert {row["user_id"]: row["recent"] for row in rows} == {u: row["recent"] for u, row in wanted.items()}


def tiles(shop: Folded, rows: list[tuple[str, int, int, set[str] | None]], batch: int) -> None:
    """Commit tiles (item, days before DAY, events, users; None: no sketch) of one behaviour as a batch of `events`."""
    from pyspark.sql import functions as F

    from recsys.io import Commit
    from recsys.tables import SKETCH_LG_K

    at = [NOW - timedelta(days=days) for _, days, *_ in rows]
    known = [
        (item, "view", moment, events, events, 10 * events, 0, batch, moment.date(), sorted(who or []))
        for (item, _, events, who), moment in zip(rows, at, strict=True)
    ]
    frame = shop.warehouse.spark.createDataFrame(known, f"{ITEM_TILES.ddl}, who array<string>")
    each = frame.withColumn("one", F.explode_outer("who")).groupBy(*ITEM_TILES.names)
    made = each.agg(F.when(F.max("one").isNotNull(), F.hll_sketch_agg("one", SKETCH_LG_K)).alias("users"))
    commit = Commit(query="events", epoch=0, batch=batch)
    shop.warehouse.finish(commit, {ITEM_TILES.name: shop.warehouse.write(tiles_table(users=True), made, commit)}, NOW)


def test_tiles_of_days_that_are_over_become_one_row_a_key(shop: Folded) -> None:
    from pyspark.sql import functions as F

    tiles(shop, [("a", 1, 2, {"u", "v"}), ("b", 1, 5, None), ("a", 0, 1, {"u"}), ("c", 2, 4, {"w"})], 0)
    tiles(shop, [("a", 1, 3, {"v", "w"}), ("b", 1, 1, {"u"}), ("a", 0, 7, {"u"})], 1)
    shop.fold()
    rows = shop.warehouse.view().read(tiles_table(users=True)).withColumn("n", F.hll_sketch_estimate("users"))
    wanted = ("item_id", "tile_date", "events", "pieces", "revenue_minor", "n", "batch")
    found = sorted((tuple(row) for row in rows.select(*wanted).collect()), key=str)
    yesterday, before = DAY - timedelta(days=1), DAY - timedelta(days=2)
    assert found == [
        ("a", yesterday, 5, 5, 50, 3, 1),
        ("a", DAY, 1, 1, 10, 1, 0),  # the day is not over
        ("a", DAY, 7, 7, 70, 1, 1),
        ("b", yesterday, 6, 6, 60, None, 1),  # one of its parts has no sketch
        ("c", before, 4, 4, 40, 1, 0),
    ]


def test_small_files_are_packed_and_no_stream_or_reader_notices(shop: Folded) -> None:
    events = log(9, 75)
    for number in range(2):
        shop.batch(third(events, number), number)
    old, rows = shop.warehouse.view(), shop.profiles()
    shop.fold(FoldSettings(packed_days=1, vacuum=True))
    view = shop.warehouse.view()
    days = {row["event_date"] for row in view.read(EVENTS).select("event_date").distinct().collect()}
    assert max(days) < DAY - timedelta(days=1)
    packed = shop.warehouse.spark.read.format("delta").load(shop.warehouse.path(EVENTS))
    assert len(packed.inputFiles()) == len(days) < len(old.read(EVENTS).inputFiles())
    assert len(shop.warehouse.spark.read.format("delta").load(shop.warehouse.path(BATCHES)).inputFiles()) == 1
    check_rows(old, rows)  # VACUUM leaves a reader a week
    shop.batch(third(events, 2), 2)
    check(shop, events)  # no event was taken for a new one
