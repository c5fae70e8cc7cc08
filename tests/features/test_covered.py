"""Which days are wanted, and which of these can be patched."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.config import ItemFeature
from recsys.features.covered import PATCHES, Before, Came, Day, checked, rests_on, same
from recsys.features.definitions import ITEM_FEATURES
from recsys.features.item_feature import of_item
from recsys.tables import EVENTS
from tests.features.shop import append_events, write_items
from tests.features.test_backfill import FIRST, PRICES, SETTINGS, START, check, days, event, rows, run

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

COUNTS = {FIRST + timedelta(days=n): 10**place for place, n in enumerate((-21, -20, -8, -7, 0, 1))}


def test_a_day_rests_on_the_events_that_its_windows_reach() -> None:
    def numbers(*more: ItemFeature) -> tuple[int, int]:
        found = rests_on(FIRST, [*ITEM_FEATURES, *map(of_item, more)], COUNTS)
        return found.events, found.older

    assert numbers() == (11000, 111)
    assert numbers(ItemFeature(operation="count", window="20d")) == (11110, 1)
    assert numbers(ItemFeature(operation="count")) == (11111, 0)
    assert rests_on(FIRST, ITEM_FEATURES, {}).begin == FIRST - timedelta(days=7)


def test_a_day_is_patched_where_what_came_is_all_that_it_lacks(spark: SparkSession) -> None:
    none, week = spark.range(0), FIRST - timedelta(days=7)
    before = Before(version=3, events=10, older=5, base=1, whole=0, patches=0)
    day = Day(day=FIRST, begin=week, events=10, older=5, base=1, before=before)

    def found(now: Day, came: dict[date, int] | None, first: date = date.max) -> str:
        known = None if came is None else Came(rows=none, counts=came, first=first)
        result = checked(now, known)
        return "no" if result is None else "whole" if result.came is None else "patched"

    assert same(day)
    more, older = replace(day, events=12), replace(day, older=6)
    assert not any(map(same, (more, older, replace(day, base=2), replace(day, before=None))))
    late, old = {week: 2, FIRST + timedelta(days=1): 9}, {week - timedelta(days=1): 1}
    assert found(more, late) == "patched"
    assert found(more, None) == "whole"  # the log forgot the version
    assert found(more, {FIRST: 3}) == found(more, {week - timedelta(days=1): 2}) == "whole"  # files were moved
    assert found(replace(more, base=2), late) == found(replace(more, before=None), late) == "whole"
    assert found(replace(more, before=replace(before, patches=PATCHES)), late) == "whole"
    assert found(replace(more, before=replace(before, patches=PATCHES - 1)), late) == "patched"
    assert found(older, old) == found(older, old, first=week) == "no"  # too old for every window
    assert found(older, old, first=week - timedelta(days=1)) == "patched"  # but an item's first


def test_days_with_nothing_to_compute_are_not_wanted(spark: SparkSession, tmp_path: Path) -> None:
    from recsys.features.covered import wanted
    from recsys.io import Warehouse

    warehouse = Warehouse(spark, f"{tmp_path}/w")
    write_items(warehouse, PRICES)
    append_events(warehouse, [event("one", START + 5)], 0)
    found = wanted(warehouse.view(), SETTINGS.features, [FIRST - timedelta(days=1), *days(12)])
    # The last window that holds the event ends on the 7th day after it.
    assert [(one.day, one.events) for one in found] == [(day, 1) for day in days(8)]


def test_a_day_with_compacted_files_is_wanted_only_if_events_came_and_then_whole(
    spark: SparkSession, tmp_path: Path
) -> None:
    from delta.tables import DeltaTable

    from recsys.features.covered import wanted
    from recsys.io import Warehouse

    warehouse = Warehouse(spark, f"{tmp_path}/w")
    write_items(warehouse, PRICES)
    for number in range(2):
        append_events(warehouse, [event(f"early {number}", START + number)], number)
    assert run(warehouse, days(1)) == [[0]]
    DeltaTable.forPath(spark, warehouse.path(EVENTS)).optimize().executeCompaction()
    assert wanted(warehouse.view(), SETTINGS.features, days(1)) == []
    append_events(warehouse, [event("late", START + 2, "b")], 2)
    # Three rows lie in files that were not there, and one is lacking: which of them is not told.
    assert [(one.events, one.came) for one in wanted(warehouse.view(), SETTINGS.features, days(1))] == [(3, None)]
    assert run(warehouse, days(1)) == [[0]]
    check(rows(warehouse), [event(f"early {n}", START + n) for n in range(2)] + [event("late", START + 2, "b")], [0])
