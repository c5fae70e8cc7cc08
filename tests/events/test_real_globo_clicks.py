"""Some hours of news clicks and the hour without rows, against Python's csv reader."""

from __future__ import annotations

import csv
import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys.io import View
from recsys.pseudonyms import pseudonym
from recsys.tables import EVENTS, ITEM_TILES
from tests.events.streaming import KEY, accounting, ingested, settings, shipped

HOURS = (*range(10), 100)
IDENTITY = ("user_id", "session_id", "click_article_id", "click_timestamp")


@pytest.fixture(scope="module")
def source(shared_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hours")
    for hour in HOURS:
        shutil.copy(shared_data("globo_clicks") / f"clicks_hour_{hour:03d}.csv.gz", folder)
    return folder


@pytest.fixture(scope="module")
def clicks(source: Path) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for path in sorted(source.iterdir()):
        with gzip.open(path, "rt", newline="") as file:
            found += csv.DictReader(file)
    return found


@pytest.fixture(scope="module")
def view(spark: SparkSession, source: Path, tmp_path_factory: pytest.TempPathFactory) -> View:
    conf = settings(tmp_path_factory.mktemp("globo"), source, max_files=6)  # two batches
    return ingested(spark, shipped("globo_clicks"), conf)


def test_every_click_is_accounted_for(view: View, clicks: list[dict[str, str]]) -> None:
    distinct = {tuple(click[name] for name in IDENTITY) for click in clicks}
    assert len(clicks) > 10_000
    assert accounting(view) == (len(clicks), len(distinct), len(clicks) - len(distinct), 0)


def test_the_events_are_the_clicks(view: View, clicks: list[dict[str, str]]) -> None:
    hashed = {click[name]: pseudonym(KEY.encode(), click[name]) for click in clicks for name in IDENTITY[:2]}
    country = F.col("context").getItem("country").alias("country")
    columns = ("user_id", "session_id", "item_id", F.unix_millis("event_time").alias("at"), country)
    found = view.read(EVENTS).select(*columns).toArrow().to_pylist()
    assert {tuple(event.values()) for event in found} == {
        (hashed[c["user_id"]], hashed[c["session_id"]], c["click_article_id"], int(c["click_timestamp"]),
         c["click_country"]) for c in clicks
    }  # fmt: skip


def test_the_hour_without_rows_makes_none(source: Path, clicks: list[dict[str, str]]) -> None:
    with gzip.open(source / "clicks_hour_100.csv.gz", "rt") as file:
        assert len(file.read().splitlines()) == 1


def test_tiles_sum_to_the_events(view: View) -> None:
    total = view.total(ITEM_TILES, ["events"]).agg(F.sum("events")).first()
    assert total == (view.read(EVENTS).count(),)
