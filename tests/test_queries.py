"""Checkpoints and epochs, triggers, the first failure, and a clean stop."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession

from recsys import queries
from recsys.errors import ConfigError

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
FOREVER = "100 milliseconds"


def ticking(spark: SparkSession) -> DataFrame:
    return spark.readStream.format("rate").option("rowsPerSecond", 5).option("numPartitions", 1).load()


def reading(rows: DataFrame, batch: int) -> None:
    rows.count()


def point(folder: Path) -> queries.Checkpoint:
    return queries.Checkpoint(path=str(folder / "epoch=0"), epoch=0, began=None)


def test_an_unknown_trigger_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--trigger 'availablenow' is neither 'available-now' nor an interval"):
        queries.start(ticking(spark), lambda rows, n: None, name="t", point=point(tmp_path), trigger="availablenow")


def noted(spark: SparkSession, folder: Path) -> list[dict[str, str | None]]:
    """What a query's batches find of the settings that are for streams alone."""
    seen = []

    def note(rows: DataFrame, batch: int) -> None:
        seen.append({name: rows.sparkSession.conf.get(name) for name in queries.LEAN})

    query = queries.start(ticking(spark), note, name="n", point=point(folder), trigger=queries.AVAILABLE_NOW)
    queries.wait([query])
    return seen


def test_what_costs_a_stream_is_set_for_the_query_alone(spark: SparkSession, tmp_path: Path) -> None:
    before = {name: spark.conf.get(name) for name in queries.LEAN}
    found = noted(spark, tmp_path)
    assert found[0] == queries.LEAN
    assert {name: spark.conf.get(name) for name in queries.LEAN} == before
    assert not before.items() & queries.LEAN.items()


def test_a_query_keeps_what_was_set_from_outside(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = next(iter(queries.LEAN))
    conf = spark.sparkContext.getConf().set(given, "true")
    monkeypatch.setattr(type(spark.sparkContext), "getConf", lambda _: conf)
    assert noted(spark, tmp_path)[0] == queries.LEAN | {given: "true"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_running_batch_end(spark: SparkSession, tmp_path: Path, number: signal.Signals) -> None:
    began, ended = threading.Event(), []

    def slow(rows: DataFrame, batch: int) -> None:
        began.set()
        time.sleep(1)
        ended.append(batch)

    before = signal.getsignal(number)
    query = queries.start(ticking(spark), slow, name="slow", point=point(tmp_path), trigger=FOREVER)
    assert began.wait(60)
    threading.Timer(0.1, os.kill, (os.getpid(), number)).start()
    queries.wait([query])
    assert not query.isActive
    assert query.exception() is None
    assert ended
    last = max(int(path.name) for path in (tmp_path / "epoch=0" / "commits").glob("[0-9]*"))
    assert last >= ended[-1] - 1
    assert signal.getsignal(number) == before


def test_the_first_failure_stops_the_others_and_is_raised(spark: SparkSession, tmp_path: Path) -> None:
    def broken(rows: DataFrame, batch: int) -> None:
        raise ValueError("no room")

    good = queries.start(
        ticking(spark), lambda rows, n: None, name="good", point=point(tmp_path / "g"), trigger=FOREVER
    )
    bad = queries.start(ticking(spark), broken, name="bad", point=point(tmp_path / "b"), trigger=FOREVER)
    with pytest.raises(StreamingQueryException, match="no room"):
        queries.wait([good, bad])
    deadline = time.monotonic() + 30
    while good.isActive and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not good.isActive


def test_each_batch_is_one_line_of_the_log(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("recsys"), "propagate", True)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.json").write_text(json.dumps({"a": 1}) + "\n")
    queries.log_progress(spark)  # once a session: other tests may have asked for it
    with caplog.at_level(logging.INFO, "recsys.queries"):
        rows = spark.readStream.schema("a int").json(f"{tmp_path}/in")
        here, trigger = point(tmp_path), queries.AVAILABLE_NOW
        queries.wait([queries.start(rows, reading, name="told", point=here, trigger=trigger)])
        deadline = time.monotonic() + 30
        while "query ended" not in caplog.messages and time.monotonic() < deadline:
            time.sleep(0.1)
    assert (caplog.messages[0], caplog.messages[-1]) == ("query started", "query ended")
    lines = [record.fields for record in caplog.records if record.msg == "batch done"]  # type: ignore[attr-defined]
    told = [(line["batch"], line["rows"]) for line in lines if line["query"] == "told" and line["rows"]]
    assert told == [(0, 1)]
