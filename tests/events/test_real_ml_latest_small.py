"""The film ratings and the film list, whole, against Python's csv reader."""

from __future__ import annotations

import csv
import gzip
import unicodedata
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys.events.catalogue import catalogue_file, changed, from_file, valid_at
from recsys.io import View
from recsys.pseudonyms import pseudonym
from recsys.tables import EVENTS
from tests.events.streaming import KEY, accounting, counted, ingested, settings, shipped

Folder = Callable[[str], Path]
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def source(shared_data: Folder) -> Path:
    return shared_data("ml_latest_small")


@pytest.fixture(scope="module")
def view(spark: SparkSession, source: Path, tmp_path_factory: pytest.TempPathFactory) -> View:
    return ingested(spark, shipped("ml_latest_small"), settings(tmp_path_factory.mktemp("ml"), source))


def read(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow  # 22 years of days are thousands of partitions
def test_every_rating_is_an_event(view: View, source: Path) -> None:
    ratings = read(source / "ratings.csv.gz")
    assert len(ratings) == 100_836
    assert accounting(view) == (100_836, 100_836, 0, 0)
    seconds = F.unix_seconds("event_time").alias("at")
    events = view.read(EVENTS).select("user_id", "item_id", "value", seconds, "behaviour")
    hashed = {user: pseudonym(KEY.encode(), user) for user in {r["userId"] for r in ratings}}
    expected = {(hashed[r["userId"]], r["movieId"], float(r["rating"]), int(r["timestamp"])) for r in ratings}
    found = events.toArrow().to_pylist()
    assert {(e["user_id"], e["item_id"], e["value"], e["at"]) for e in found} == expected
    assert {e["behaviour"] for e in found} == {"rating"}


@pytest.mark.slow
def test_days_are_those_of_utc(view: View, source: Path) -> None:
    days = counted(view.read(EVENTS), "event_date")
    times = (int(r["timestamp"]) for r in read(source / "ratings.csv.gz"))
    assert days == Counter(datetime.fromtimestamp(t, timezone.utc).date() for t in times)


def test_the_film_list_is_the_catalogue(spark: SparkSession, source: Path) -> None:
    mapping = shipped("ml_latest_small")
    items = changed(None, from_file(spark, mapping, catalogue_file(mapping, str(source), "")), F.current_timestamp())
    films = read(source / "movies.csv.gz")
    assert len(films) == 9_742
    now = valid_at(items, F.current_timestamp()).select("item_id", "title", "category").collect()
    found = {row["item_id"]: (row["title"], row["category"]) for row in now}
    titles = {f["movieId"]: " ".join(unicodedata.normalize("NFKC", f["title"]).split()) for f in films}
    assert found == {f["movieId"]: (titles[f["movieId"]], f["genres"]) for f in films}
