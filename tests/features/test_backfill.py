"""The backfill: only the wanted days, in committed chunks, equal to the oracle and to a computation from nothing."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from recsys.config import FeatureSettings, ItemFeature, Settings
from recsys.features.definitions import ITEM_FEATURES
from recsys.features.item_feature import of_item
from recsys.tables import BATCHES
from recsys.tables import ITEM_FEATURES as TABLE
from tests.features import oracle
from tests.features.item_oracle import crowd_of, declared, name_of, there
from tests.features.oracle import NAMES, Event, S
from tests.features.shop import append_events, micros, moment, write_items

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import SparkSession

    from recsys.io import Warehouse

FIRST = date(2026, 3, 2)
START = micros(datetime(2026, 3, 2, tzinfo=timezone.utc))
DAY, HOUR = 86_400 * S, 3600 * S
SETTINGS = Settings()
LATELY, EVER = ItemFeature(operation="count", window="20d"), ItemFeature(operation="count")
OWN = Settings(features=FeatureSettings(item=(LATELY, EVER)))
PRICES = {"a": 250, "b": None, "ü": 40}


def days(count: int) -> list[date]:
    return [FIRST + timedelta(days=n) for n in range(count)]


def event(name: str, time: int, item: str | None = "a", behaviour: str = "click", price: int | None = 9) -> Event:
    return Event(id=name, user="u", time=time, behaviour=behaviour, item=item, price=price, quantity=2)


def log(seed: int, first: int, last: int, size: int = 60) -> list[Event]:
    """Events of the days [first, last) after FIRST, some at the very first and last moment of an hour or a day."""
    random = Random(seed)
    edges = [START + day * DAY + shift for day in range(first, last) for shift in (0, HOUR, DAY - 1, HOUR - 1)]
    return [
        event(
            f"{seed}-{number}",
            random.choice(edges)
            if random.random() < 0.3
            else random.randrange(START + first * DAY, START + last * DAY),
            random.choice(["a", "b", "ü", None]),
            random.choice(NAMES),
            random.choice([None, 0, 999]),
        )
        for number in range(size)
    ]


@pytest.fixture
def warehouse(spark: SparkSession, tmp_path: Path) -> Warehouse:
    from recsys.io import Warehouse

    made = Warehouse(spark, f"{tmp_path}/w")
    write_items(made, PRICES)
    return made


def run(
    warehouse: Warehouse, asked: Sequence[date], stop_after: int | None = None, settings: Settings = SETTINGS
) -> list[list[int]]:
    """The days after FIRST of each chunk. With `stop_after`, what a run killed after so many chunks leaves."""
    from recsys.features.backfill import backfill

    done: list[list[int]] = []
    for chunk in backfill(warehouse, settings, asked):
        done.append([(one.day - FIRST).days for one in chunk])
        if len(done) == stop_after:
            break
    return done


def rows(warehouse: Warehouse) -> dict[tuple[str, int], dict[str, Any]]:
    table: list[dict[str, Any]] = warehouse.view().read(TABLE).toArrow().to_pylist()
    found = {(row["item_id"], micros(row["hour"])): row for row in table}
    assert len(found) == len(table)
    return found


def check(warehouse: Warehouse, events: Sequence[Event], covered: Sequence[int]) -> None:
    """Every (item, hour) of the days `covered` after FIRST equals the oracle; NULL and 0 are told apart."""
    found = rows(warehouse)
    wanted = {}
    for item, price in PRICES.items():
        for hour in (START + day * DAY + hour * HOUR for day in covered for hour in range(24)):
            values = oracle.item_values(events, item, hour, price)
            if values["item_event_count_7d"]:
                wanted[item, hour] = values
    assert found.keys() == wanted.keys()
    for key, values in wanted.items():
        assert found[key]["day"] == FIRST + timedelta(days=(key[1] - START) // DAY)
        for feature in ITEM_FEATURES:
            assert oracle.agree(found[key][feature.name], values[feature.name]), (key, feature.name)


def test_all_days_equal_the_oracle_and_are_not_computed_twice(warehouse: Warehouse) -> None:
    events = log(1, -9, 3)
    append_events(warehouse, events, 0)
    assert run(warehouse, days(3)) == [[0, 1], [2]]
    check(warehouse, events, range(3))
    assert run(warehouse, days(3)) == []


def test_late_events_make_the_days_that_they_reach_wanted_again(warehouse: Warehouse) -> None:
    events = log(2, -3, 12)
    append_events(warehouse, events, 0)
    asked = [days(11)[n] for n in (1, 2, 9, 10)]
    assert run(warehouse, asked) == [[1, 2], [9, 10]]
    late = [event("late", START + 2 * DAY + 5, "ü", "cart")]
    append_events(warehouse, late, 1)
    assert run(warehouse, asked) == [[2, 9]]  # windows reach back 7 days
    check(warehouse, events + late, [1, 2, 9, 10])


def test_an_older_first_event_changes_ages_beyond_the_windows(warehouse: Warehouse) -> None:
    recent = [event("a1", START + 5), event("b1", START - 20 * DAY, "b"), event("b2", START, "b")]
    append_events(warehouse, recent, 0)
    assert run(warehouse, days(1)) == [[0]]
    more = [event("b3", START - 19 * DAY, "b"), event("none", START - 40 * DAY, None)]
    append_events(warehouse, more, 1)
    assert run(warehouse, days(1)) == []  # too old for every window, and no item's first event
    first = [event("a2", START - 30 * DAY)]
    append_events(warehouse, first, 2)
    assert run(warehouse, days(1)) == [[0]]
    check(warehouse, recent + more + first, [0])


def test_days_of_other_features_are_computed_again_from_all_that_these_reach(warehouse: Warehouse) -> None:
    from recsys.features.backfill import wanted

    events = [event("now", START + 5), event("b", START - 15 * DAY, "b"), event("first", START - 40 * DAY)]
    append_events(warehouse, events, 0)
    assert run(warehouse, days(1)) == [[0]]
    assert {item for item, _ in rows(warehouse)} == {"a"}
    assert run(warehouse, days(1), settings=OWN) == [[0]]
    hours = [(item, START + hour * HOUR) for item in "ab" for hour in range(24)]
    for feature in OWN.features.item:
        found = {key: row[name_of(feature)] for key, row in rows(warehouse).items()}
        assert found == {
            (item, at): declared([e for e in events if e.item == item], at, feature, crowd_of(events))
            for item, at in hours
            if there(events, item, at, OWN.features.item)
        }
    append_events(warehouse, [event("older", START - 300 * DAY, "b", "view")], 1)
    assert [one.events for one in wanted(warehouse, OWN, days(1))] == [4]


def test_a_day_rests_on_the_events_that_its_windows_reach(spark: SparkSession) -> None:
    from recsys.features.backfill import digests
    from recsys.tables import ITEMS

    declared_, items = [of_item(LATELY)], spark.createDataFrame([], ITEMS.ddl)
    old = event("first", START - 40 * DAY)

    def digest(*events: Event) -> tuple[int, int]:
        frame = spark.createDataFrame(
            [(e.id, e.item, moment(e.time), moment(e.time).date()) for e in (old, *events)],
            "event_id string, item_id string, event_time timestamp, event_date date",
        )
        (day,) = digests(frame, items, days(1), declared_)
        return day.events, day.hash

    assert digest(event("near", START - 20 * DAY))[0] == 1
    assert digest(event("far", START - 20 * DAY - 1)) == digest()


def test_the_order_of_arrival_does_not_matter(warehouse: Warehouse, spark: SparkSession, tmp_path: Path) -> None:
    from recsys.io import Warehouse as Other

    events = log(3, -8, 2, size=30)
    for batch, part in enumerate((events[15:], events[:15])):
        append_events(warehouse, part, batch)
        run(warehouse, days(2))
    whole = Other(spark, f"{tmp_path}/whole")
    write_items(whole, PRICES)
    append_events(whole, events, 0)
    run(whole, days(2))
    assert rows(warehouse) == rows(whole)


def test_a_killed_run_goes_on_where_it_stopped(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    from recsys.io import Warehouse as Class

    events = log(4, -2, 5)
    append_events(warehouse, events, 0)
    assert run(warehouse, days(5), stop_after=1) == [[0, 1]]
    check(warehouse, events, range(2))  # the first chunk is there for readers

    def killed(*args: object) -> None:
        raise KeyError("killed")

    with monkeypatch.context() as patch:  # the second chunk's tables are written, its row in `batches` is not
        patch.setattr(Class, "finish", killed)
        with pytest.raises(KeyError, match="killed"):
            run(warehouse, days(5))
    check(warehouse, events, range(2))
    assert run(warehouse, days(5)) == [[2, 3], [4]]
    check(warehouse, events, range(5))
    batches = warehouse.view().read(BATCHES).where("query = 'backfill'").orderBy("batch").collect()
    assert [row["batch"] for row in batches] == [0, 1, 2]


def test_a_price_that_becomes_known_makes_the_days_from_then_on_wanted_again(warehouse: Warehouse) -> None:
    from recsys.features.backfill import wanted

    append_events(warehouse, log(3, 0, 6), 0)
    run(warehouse, days(6))
    assert wanted(warehouse, SETTINGS, days(6)) == []
    write_items(warehouse, PRICES, since=START + 4 * DAY, batch=1)
    assert [(one.day - FIRST).days for one in wanted(warehouse, SETTINGS, days(6))] == list(
        range(6)
    )  # gone from the days before
    run(warehouse, days(6))
    write_items(warehouse, {**PRICES, "a": 1}, since=START + 4 * DAY, batch=2)
    assert [(one.day - FIRST).days for one in wanted(warehouse, SETTINGS, days(6))] == [4, 5]


def test_days_with_nothing_to_compute_are_not_wanted(warehouse: Warehouse) -> None:
    from recsys.features.backfill import wanted

    append_events(warehouse, [event("one", START + 5)], 0)
    found = wanted(warehouse, SETTINGS, [FIRST - timedelta(days=1), *days(12)])
    # The last window that holds the event ends on the 7th day after it.
    assert [(one.day, one.events) for one in found] == [(day, 1) for day in days(8)]
