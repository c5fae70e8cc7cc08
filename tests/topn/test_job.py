"""The nightly lists: who gets one, as of which moment, and under which commit."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from recsys.config import FeatureSettings, Settings, TopNSettings
from recsys.features.item import ItemSnapshot
from recsys.tables import RECENT_FIELDS, RECOMMENDATIONS, USER_PROFILES
from tests.features.oracle import Event
from tests.features.shop import append_events, micros, write_items
from tests.topn.models import save_models, snapshot

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from recsys.io import Warehouse

AT = datetime(2026, 3, 2, 12, 30, tzinfo=ZoneInfo("Asia/Tokyo"))
HOUR = datetime(2026, 3, 2, 3, tzinfo=timezone.utc)  # the full hour before it
SETTINGS = Settings(features=FeatureSettings(k=16), topn=TopNSettings(n=4, candidates=12, popular=5, active_days=30))
ITEMS = [f"i{n:02}" for n in range(20)]
ACTIVE = AT - timedelta(days=30)
PEOPLE = {"edge": ACTIVE, "gone": ACTIVE - timedelta(microseconds=1), "new": AT - timedelta(minutes=5)}


def profile(user: str, as_of: datetime) -> tuple[Any, ...]:
    seen = {"event_id": "e", "event_time": as_of, "behaviour": "view", "item_id": "i03", "quantity": 1}
    recent = [tuple(seen.get(name) for name in RECENT_FIELDS)]
    row = {"user_id": user, "as_of": as_of, "recent": recent, "epoch": 0, "batch": 0}
    return tuple(row.get(name) for name in USER_PROFILES.names)


@pytest.fixture(scope="module")
def warehouse(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    from recsys.io import Commit, Warehouse

    made = Warehouse(spark, str(tmp_path_factory.mktemp("nightly-lists")))
    before, after = micros(HOUR) - 1, micros(HOUR)
    moments = [(item, before) for item in ITEMS[:6]] + [("i05", after)]
    events = [
        Event(id=f"e{n}", user="someone", time=at, behaviour="click", item=item) for n, (item, at) in enumerate(moments)
    ]
    append_events(made, events, 0)
    write_items(made, dict.fromkeys(ITEMS, 100))
    rows = spark.createDataFrame([profile(*person) for person in PEOPLE.items()], USER_PROFILES.ddl)
    commit = Commit(query="user_profiles", epoch=0, batch=0)
    made.finish(commit, {USER_PROFILES.name: made.write(USER_PROFILES, rows, commit)}, HOUR)
    return made


def test_active_users_get_lists_of_the_moment_each_run_under_its_own_batch(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    from recsys.topn.job import write_recommendations

    paths = save_models(tmp_path, snapshot(20, micros(HOUR)), SETTINGS)
    folder = tmp_path / "snapshots"
    for bundle in ("first", "second"):
        models = (Path(paths.encoder), Path(paths.ranker), bundle)
        write_recommendations(warehouse, SETTINGS, *models, AT, str(folder))
    (file,) = folder.iterdir()
    assert file.name == "2026-03-02T03.parquet"
    known = ItemSnapshot.load(file, FeatureSettings())
    assert (known.at, known.items) == (micros(HOUR), tuple(ITEMS))
    counts = known.column("item_event_count_1h")
    assert [counts[n] for n in (0, 5, 6)] == [1, 1, 0]  # what happens at the hour or after it is not known

    view = warehouse.view()
    rows = view.read(RECOMMENDATIONS).toArrow().to_pylist()
    assert sorted((row["bundle"], row["batch"], row["user_id"]) for row in rows) == [
        ("first", 0, "edge"),
        ("first", 0, "new"),
        ("second", 1, "edge"),
        ("second", 1, "new"),
    ]
    for row in rows:
        assert row["at"].replace(tzinfo=timezone.utc) == AT
        found = [item["item_id"] for item in row["items"]]
        assert len(set(found)) == 4
        assert "i03" not in found
    newest = view.latest(RECOMMENDATIONS, ("bundle",)).toArrow()
    assert set(newest["bundle"].to_pylist()) == {"second"}
