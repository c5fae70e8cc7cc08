"""Snapshot files: each knows what lies strictly before its hour, and old events only by an item's age."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from recsys.config import FeatureSettings, Settings
from recsys.errors import NoDataError
from recsys.features.definitions import ITEM_FEATURES, names
from recsys.features.item import ItemSnapshot
from recsys.tables import EVENTS
from tests.features import oracle
from tests.features.shop import append_events, micros, moment, write_items
from tests.features.test_backfill import DAY, HOUR, START, event, log

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PRICES = {"a": 250, "b": None, "cold": 70, "new": 1, "ü": 40}


def check(found: ItemSnapshot, events: list[oracle.Event], at: int) -> None:
    """Active items equal the oracle, in float32; others have each feature's default."""
    assert (found.items, found.at) == (tuple(PRICES), at)
    assert found.price.tolist() == [-1 if price is None else price for price in PRICES.values()]
    for row, (item, price) in enumerate(PRICES.items()):
        values: dict[str, Any] = {**oracle.item_values(events, item, at, price)}
        if not values["item_event_count_7d"]:
            values = {f.name: f.default for f in ITEM_FEATURES} | oracle.price_values(price)
        for name in names(ITEM_FEATURES):
            wanted = values[name]
            told = found.column(name)[row].item()
            assert oracle.agree(told, None if wanted is None else float(wanted), 1e-6), (item, name)


def test_each_hour_has_its_file(spark: SparkSession, tmp_path: Path) -> None:
    from recsys.features.snapshots import write_snapshots
    from recsys.io import Warehouse

    warehouse = Warehouse(spark, f"{tmp_path}/w")
    hours = [START + 5 * HOUR, START + DAY + 4 * HOUR]
    edges = [event(f"edge{n}", at) for n, at in enumerate(hours)]  # each one too late for its hour
    old = [event("old", START - 30 * DAY, "a"), event("cold", START - 9 * DAY, "cold")]
    events = [*log(5, -9, 3), *edges, *old]
    append_events(warehouse, events, 0)
    write_items(warehouse, PRICES)
    written = write_snapshots(warehouse.view(), [moment(at) for at in hours], Settings(), f"{tmp_path}/s")
    assert [micros(hour) for hour, _ in written] == hours
    assert [Path(path).name for _, path in written] == ["2026-03-02T05.parquet", "2026-03-03T04.parquet"]
    for at, (_, path) in zip(hours, written, strict=True):
        check(ItemSnapshot.load(Path(path), FeatureSettings()), events, at)
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [Path(path).name for _, path in written]
    with pytest.raises(NoDataError, match=r"no item that is valid at 1969-03-02T05:00:00\+00:00; run jobs/catalogue"):
        write_snapshots(warehouse.view(), [moment(hours[0]).replace(year=1969)], Settings(), f"{tmp_path}/s")
    assert len(list((tmp_path / "s").iterdir())) == 2


def test_history_keeps_windows_and_first_events_and_nothing_later(spark: SparkSession, tmp_path: Path) -> None:
    from recsys.features.snapshots import history
    from recsys.io import Warehouse

    warehouse = Warehouse(spark, f"{tmp_path}/w")
    times = {
        "first": -40 * DAY,
        "old": -20 * DAY,
        "edge": -7 * DAY,
        "in": 0,
        "last": HOUR - 1,
        "at": HOUR,
        "later": DAY,
    }
    append_events(warehouse, [event(name, START + shift, "a") for name, shift in times.items()], 0)
    bounds = (datetime(2026, 3, 2, 0, tzinfo=timezone.utc), datetime(2026, 3, 2, 1, tzinfo=timezone.utc))
    rows = history(warehouse.view().read(EVENTS), *bounds, ITEM_FEATURES).collect()
    found = sorted((micros(row["event_time"]) - START, row["behaviour"]) for row in rows)
    assert found == [(-40 * DAY, ""), *[(times[name], "click") for name in ("edge", "in", "last")]]
