"""The backfill: only the wanted days, in committed chunks, equal to the oracle and to a computation from nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from recsys.config import FeatureSettings, ItemFeature, Settings
from recsys.features.definitions import ITEM_FEATURES, item_features_table
from recsys.tables import ITEM_FEATURES as TABLE
from tests.features import oracle
from tests.features.item_oracle import crowd_of, declared, name_of, there
from tests.features.oracle import NAMES, Event, S
from tests.features.shop import append_events, micros, write_items

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import SparkSession

    from recsys.io import Warehouse

pytestmark = pytest.mark.slow

FIRST = date(2026, 3, 2)
START = micros(datetime(2026, 3, 2, tzinfo=timezone.utc))
DAY, HOUR = 86_400 * S, 3600 * S
SETTINGS = Settings()
LATELY, EVER = ItemFeature(operation="count", window="20d"), ItemFeature(operation="count")
OWN = Settings(features=FeatureSettings(item=(LATELY, EVER)))
VISITORS = ItemFeature(operation="distinct_users", window="2d")
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


def rows(warehouse: Warehouse, settings: Settings = SETTINGS) -> dict[tuple[str, int], dict[str, Any]]:
    from recsys.features.stored import stored_item_features

    frame = stored_item_features(warehouse.view(), settings.features, FIRST, FIRST + timedelta(days=99))
    assert tuple(frame.columns) == item_features_table(settings.features).names
    table: list[dict[str, Any]] = frame.toArrow().to_pylist()
    found = {(row["item_id"], micros(row["hour"])): row for row in table}
    assert len(found) == len(table)
    return found


def written(warehouse: Warehouse) -> dict[int, dict[int, set[str]]]:
    """The items that each batch wrote into each day after FIRST, as far as their rows are in the table, seen or not."""
    table = warehouse.spark.read.format("delta").load(warehouse.path(TABLE))
    found: dict[int, dict[int, set[str]]] = {}
    for row in table.select("day", "batch", "item_id").distinct().collect():
        found.setdefault((row["day"] - FIRST).days, {}).setdefault(row["batch"], set()).add(row["item_id"])
    return found


def check(found: dict[tuple[str, int], dict[str, Any]], events: Sequence[Event], covered: Sequence[int]) -> None:
    """Every (item, hour) of the days `covered` after FIRST equals the oracle; NULL and 0 are told apart."""
    wanted = {}
    for item, price in {**PRICES, "new": None}.items():
        for hour in (START + day * DAY + hour * HOUR for day in covered for hour in range(24)):
            values = oracle.item_values(events, item, hour, price)
            if values["item_event_count_7d"]:
                wanted[item, hour] = values
    assert found.keys() == wanted.keys()
    for key, values in wanted.items():
        assert found[key]["day"] == FIRST + timedelta(days=(key[1] - START) // DAY)
        for feature in ITEM_FEATURES:
            assert oracle.agree(found[key][feature.name], values[feature.name]), (key, feature.name)


def test_a_chunk_has_few_whole_days_and_spans_few(spark: SparkSession) -> None:
    from recsys.features.backfill import chunks
    from recsys.features.covered import Day

    came = spark.range(0)

    def cut(numbers: Sequence[int], patched: Sequence[int] = ()) -> list[list[int]]:
        one = Day(day=FIRST, begin=FIRST, events=1, older=0, base=0)
        given = [replace(one, day=FIRST + timedelta(days=n), came=came if n in patched else None) for n in numbers]
        return [[(one.day - FIRST).days for one in chunk] for chunk in chunks(given)]

    assert cut([]) == []
    assert cut([0, 1, 2, 3, 9]) == [[0, 1], [2, 3], [9]]
    assert cut(range(9), range(7)) == [[*range(9)]]  # a week to patch, and two new days
    assert cut([0, 1, 2, 9, 10], [0, 1, 2]) == [[0, 1, 2, 9], [10]]
    assert cut(range(30), range(30)) == [[*range(low, low + 10)] for low in (0, 10, 20)]
    assert cut([0, 10], [0, 10]) == [[0], [10]]


def test_what_comes_late_and_what_a_killed_run_left_give_what_one_run_gives(
    warehouse: Warehouse, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsys.io import Warehouse as Class

    every, events = set(PRICES), [*log(4, -9, 3), event("a0", START - 40 * DAY)]
    append_events(warehouse, events, 0)
    assert run(warehouse, days(3), stop_after=1) == [[0, 1]]
    late = [event("late", START + 5, "b", "view"), event("n", START + 7, "new"), event("s", START + 8, None, "search")]
    append_events(warehouse, late, 1)

    def killed(*args: object) -> None:
        raise KeyError("killed")

    with monkeypatch.context() as patch:  # both tables are written, the row in `batches` is not
        patch.setattr(Class, "finish", killed)
        with pytest.raises(KeyError, match="killed"):
            run(warehouse, days(3))
    check(rows(warehouse), events, range(2))  # the first chunk is there for readers, and nothing else
    assert run(warehouse, days(3)[2:]) == [[2]]  # does not take what the killed run left in the days before
    assert run(warehouse, days(3)) == [[0, 1]]
    few = {"b", "new"}
    assert written(warehouse) == {0: {0: every, 2: few}, 1: {0: every, 2: few}, 2: {1: {*every, "new"}}}
    old = [event("a1", START - 20 * DAY), event("none", START - 40 * DAY, None)]
    append_events(warehouse, old, 2)
    assert run(warehouse, days(3)) == []  # too old for every window, and no item's first event
    first = [event("b0", START - 30 * DAY, "b")]
    append_events(warehouse, first, 3)
    assert run(warehouse, days(3)) == [[0, 1, 2]]
    assert {day: batches[3] for day, batches in written(warehouse).items()} == {day: {"a", "b"} for day in range(3)}
    whole = Class(spark, f"{tmp_path}/whole")
    write_items(whole, PRICES)
    append_events(whole, late + first + events + old, 0)
    assert run(whole, days(3)) == [[0, 1], [2]]
    found = rows(whole)
    check(found, late + first + events + old, range(3))
    assert rows(warehouse) == found


def test_days_of_other_features_are_computed_again_from_all_that_these_reach(warehouse: Warehouse) -> None:
    from recsys.features.covered import wanted

    events = [event("now", START + 5), event("b", START - 15 * DAY, "b"), event("first", START - 40 * DAY)]
    append_events(warehouse, events, 0)
    assert run(warehouse, days(1)) == [[0]]
    assert {item for item, _ in rows(warehouse)} == {"a"}
    assert run(warehouse, days(1), settings=OWN) == [[0]]
    hours = [(item, START + hour * HOUR) for item in "ab" for hour in range(24)]
    for feature in OWN.features.item:
        found = {key: row[name_of(feature)] for key, row in rows(warehouse, OWN).items()}
        assert found == {
            (item, at): declared([e for e in events if e.item == item], at, feature, crowd_of(events))
            for item, at in hours
            if there(events, item, at, OWN.features.item)
        }
    append_events(warehouse, [event("older", START - 300 * DAY, "b", "view")], 1)
    found_again = wanted(warehouse.view(), OWN.features, days(1))
    assert [(one.events, one.before is not None) for one in found_again] == [(4, True)]
    assert run(warehouse, days(1), settings=OWN) == [[0]]
    assert written(warehouse) == {0: {1: {"a", "b"}, 2: {"b"}}}
    assert {row[name_of(EVER)] for (item, _), row in rows(warehouse, OWN).items() if item == "b"} == {2}


@pytest.mark.parametrize("item", [(VISITORS,), (VISITORS, EVER)])
def test_a_day_that_is_patched_beside_a_whole_one_counts_what_the_day_alone_would(
    warehouse: Warehouse, item: tuple[ItemFeature, ...]
) -> None:
    settings = Settings(features=FeatureSettings(item=item))
    visits = [event(f"v{n}", START - 8 * DAY + n * 7 * HOUR, "ab"[n % 2]) for n in range(40)]
    append_events(warehouse, [replace(visit, user=f"u{n % 3}") for n, visit in enumerate(visits)], 0)
    assert run(warehouse, days(3), settings=settings) == [[0, 1], [2]]
    late = [replace(event("late", START + 5 * HOUR), user="late"), replace(event("new", START + 3 * DAY), user="new")]
    append_events(warehouse, late, 1)
    assert run(warehouse, days(4), settings=settings) == [[0, 1, 2, 3]]
    patched = {day: batches[2] for day, batches in written(warehouse).items()}
    assert patched == {0: {"a"}, 1: {"a"}, 2: {"a"}, 3: {"a", "b"}}
    found, every = rows(warehouse, settings), [replace(v, user=f"u{n % 3}") for n, v in enumerate(visits)] + late
    for feature in item:
        assert {key: row[name_of(feature)] for key, row in found.items()} == {
            (name, at): declared([e for e in every if e.item == name], at, feature, crowd_of(every))
            for name in "ab"
            for at in (START + hour * HOUR for hour in range(4 * 24))
            if there(every, name, at, item)
        }


def test_a_price_that_becomes_known_makes_the_days_from_then_on_wanted_again(warehouse: Warehouse) -> None:
    from recsys.features.covered import wanted

    def asked() -> list[int]:
        return [(one.day - FIRST).days for one in wanted(warehouse.view(), SETTINGS.features, days(2))]

    append_events(warehouse, log(3, 0, 2), 0)
    run(warehouse, days(2))
    assert asked() == []
    write_items(warehouse, PRICES, since=START + DAY, batch=1)
    assert asked() == [0, 1]  # gone from the days before
    run(warehouse, days(2))
    assert written(warehouse) == {0: {1: set(PRICES)}, 1: {1: set(PRICES)}}  # the former rows are gone
    assert {row["item_price_minor"] for (_, hour), row in rows(warehouse).items() if hour < START + DAY} == {None}
    write_items(warehouse, {**PRICES, "a": 1}, since=START + DAY, batch=2)
    assert asked() == [1]
