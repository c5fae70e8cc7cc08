"""The query end to end on small files: accounting, duplicates, rejects, pseudonyms, replay."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys import queries
from recsys.config import ItemFeature, Settings, StreamSettings, parse
from recsys.errors import AccountingError, ConfigError
from recsys.events.identify import RowTally
from recsys.events.ingest import QUERY, balanced, ingest_stream
from recsys.events.mapping import Mapping
from recsys.io import Accounting, Commit, View, Warehouse
from recsys.pseudonyms import pseudonym
from recsys.settings.item import users_of_items
from recsys.tables import BATCHES, EVENTS, ITEM_TILES, REJECTED_EVENTS, tiles_table

KEY = "k" * 32
MAPPING = parse(
    Mapping,
    {
        "name": "shop",
        "format": {"type": "json", "pattern": "*.json"},
        "id": {"columns": ["user", "item", "at"]},
        "time": {"column": "at"},
        "known": {"delay_s": 0},
        "behaviour": {"constant": "purchase"},
        "item": {"column": "item"},
        "user": {"column": "user"},
        "price": {"column": "price", "scale": 100, "outliers": [{"low": 0}]},
        "query": {"column": "q"},
    },
    "test",
)


def line(user: str | None, item: str | None, minute: int, price: float = 1.0, q: str | None = None) -> str:
    at = f"2026-01-01T00:{minute:02d}:00Z"
    return json.dumps({"user": user, "item": item, "at": at, "price": price, "q": q})


def settings(folder: Path) -> Settings:
    key = folder / "key"
    key.write_text(KEY)
    paths = {"warehouse": f"{folder}/w", "checkpoints": f"{folder}/c", "source": f"{folder}/in"}
    return Settings(pseudonym_key_file=str(key), **paths)


def stream(spark: SparkSession, conf: Settings) -> View:
    warehouse = Warehouse(spark, conf.warehouse)
    point = queries.checkpoint(warehouse, conf.checkpoints, QUERY)
    rows, write = ingest_stream(warehouse, MAPPING, conf, point.epoch, point.began, point.pending)
    queries.wait([queries.start(rows, write, name=QUERY, point=point, trigger=queries.AVAILABLE_NOW)])
    return warehouse.view()


def deliver(folder: Path, name: str, *lines: str) -> None:
    target = folder / "in" / name
    target.parent.mkdir(exist_ok=True)
    target.write_text("\n".join(lines) + "\n")


def counts(view: View) -> list[tuple[int, int, int, int]]:
    rows = view.read(BATCHES).where(F.col("query") == QUERY).orderBy("epoch", "batch").collect()
    return [(r["rows_in"], r["accepted"], r["duplicate"], r["rejected"]) for r in rows]


def test_every_input_is_accounted_for(spark: SparkSession, tmp_path: Path) -> None:
    conf = settings(tmp_path)
    deliver(tmp_path, "1.json", line("u", "a", 1, 2.5, q=" Rote  SCHUHE "), line("u", "a", 1, 2.5), line(None, "b", 7))
    view = stream(spark, conf)
    bad = '{"user": "secret", "item": '
    deliver(tmp_path, "2.json", line("u", "a", 1), line("u", "b", 9), line("u", None, 9), bad, line("u", "a", 3, -1))
    view = stream(spark, conf)
    assert counts(view) == [(3, 2, 1, 0), (5, 1, 1, 3)]
    events = {r["item_id"] + str(r["event_time"].minute): r for r in view.read(EVENTS).collect()}
    assert sorted(events) == ["a1", "b7", "b9"]
    assert events["a1"]["user_id"] == pseudonym(KEY.encode(), "u")
    assert events["b7"]["user_id"] is None
    assert events["a1"]["query"] == "rote schuhe"
    rejected = view.read(REJECTED_EVENTS).collect()
    assert sorted(r["reasons"][0] for r in rejected) == ["missing:item_id", "out_of_range:price_minor", "unreadable"]
    assert not any("secret" in r["raw"] or '"u"' in r["raw"] for r in rejected)
    tiles = view.read(ITEM_TILES).where("item_id = 'a'").collect()
    assert [(t["events"], t["pieces"], t["revenue_minor"], t["tile"].minute) for t in tiles] == [(1, 1, 250, 0)]


def test_tiles_hold_sketches_of_users_from_when_a_feature_asks_for_them(spark: SparkSession, tmp_path: Path) -> None:
    conf = settings(tmp_path)
    deliver(tmp_path, "1.json", line("u", "a", 1))
    stream(spark, conf)
    asking = conf.features.model_copy(update={"item": (ItemFeature(operation="distinct_users", window="1d"),)})
    Warehouse(spark, conf.warehouse).create(tiles_table(users_of_items(asking.item)))  # as the job does first
    deliver(tmp_path, "2.json", line("v", "a", 2), line("w", "a", 2), line(None, "a", 2), line(None, "b", 2))
    view = stream(spark, conf.model_copy(update={"features": asking}))
    rows = view.read(ITEM_TILES).select("item_id", F.hll_sketch_estimate("users")).collect()
    assert {tuple(row) for row in rows} == {("a", None), ("a", 2), ("b", 0)}


def test_a_new_checkpoint_finds_duplicates_in_the_table(spark: SparkSession, tmp_path: Path) -> None:
    conf = settings(tmp_path)
    deliver(tmp_path, "1.json", line("u", "a", 1), line("u", "a", 2))
    stream(spark, conf)
    (tmp_path / "c" / QUERY / "epoch=1").mkdir()
    deliver(tmp_path, "2.json", line("u", "a", 3))
    view = stream(spark, conf)
    assert counts(view)[-1] == (3, 1, 2, 0)
    assert view.read(EVENTS).count() == 3


def test_a_batch_lost_after_its_tables_is_replayed_without_doubling(spark: SparkSession, tmp_path: Path) -> None:
    conf = settings(tmp_path)
    deliver(tmp_path, "1.json", *(line("u", f"i{n}", n) for n in range(20)))
    before = stream(spark, conf)
    # What a kill between the tables' commits and the checkpoint's leaves behind.
    (tmp_path / "c" / QUERY / "epoch=0" / "commits" / "0").unlink()
    for crc in (tmp_path / "c" / QUERY / "epoch=0" / "commits").glob(".0.crc"):
        crc.unlink()
    shutil.rmtree(tmp_path / "c" / QUERY / "epoch=0" / "state")
    after = stream(spark, conf)
    assert counts(after) == counts(before) == [(20, 20, 0, 0)]
    assert after.read(EVENTS).count() == 20
    assert after.read(ITEM_TILES).agg(F.sum("events")).first() == (20,)


def test_a_batch_runs_the_code_of_the_batches_before(spark: SparkSession, tmp_path: Path) -> None:
    conf = settings(tmp_path).model_copy(update={"stream": StreamSettings(max_files=1)})
    for n in range(4):
        deliver(tmp_path, f"{n}.json", line(f"u{n}", "a", n), '{"user": "secret", "item": ')
    warehouse, seen = Warehouse(spark, conf.warehouse), list[int]()
    point = queries.checkpoint(warehouse, conf.checkpoints, QUERY)
    rows, write = ingest_stream(warehouse, MAPPING, conf, point.epoch, point.began, point.pending)
    compiled = spark._jvm.org.apache.spark.metrics.source.CodegenMetrics.METRIC_COMPILATION_TIME()  # type: ignore[union-attr]

    def counted(batch: DataFrame, number: int) -> None:
        write(batch, number)
        seen.append(compiled.getCount())

    queries.wait([queries.start(rows, counted, name=QUERY, point=point, trigger=queries.AVAILABLE_NOW)])
    # What the state may forget is a comparison with the batch's watermark: a few lines.
    assert max(after - before for before, after in itertools.pairwise(seen[1:])) <= 1


def test_a_missing_column_is_named_before_the_stream_starts(spark: SparkSession, tmp_path: Path) -> None:
    deliver(tmp_path, "1.json", '{"user": "u", "itm": "a", "at": "2026-01-01", "price": 1, "q": ""}')
    with pytest.raises(ConfigError, match=r"column 'item' is not in .*Did you mean 'itm'\?"):
        stream(spark, settings(tmp_path))


def test_more_out_than_in_is_an_error() -> None:
    commit = Commit(query="q", epoch=0, batch=3)
    assert balanced(10, 6, 3, commit) == Accounting(rows_in=10, accepted=6, duplicate=1, rejected=3)
    with pytest.raises(AccountingError, match="batch 3 of 'q' read 1 rows, accepted 2"):
        balanced(1, 2, 0, commit)


def test_a_task_that_runs_again_counts_once() -> None:
    tally = RowTally()
    once = tally.addInPlace({}, {(0, 0): 5, (0, 1): 7})
    assert tally.addInPlace(once, {(0, 1): 7}) == {(0, 0): 5, (0, 1): 7}
