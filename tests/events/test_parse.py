"""Typing and policies, worked by hand on single rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import Row, SparkSession

from recsys.config import Settings, parse
from recsys.errors import ConfigError
from recsys.events.mapping import Mapping
from recsys.events.parse import typed
from recsys.events.source import CORRUPT, FILE

BASE: dict[str, Any] = {
    "name": "shop",
    "format": {"type": "csv"},
    "id": {"column": "id"},
    "time": {"column": "at"},
    "known": {"delay_s": 0},
    "behaviour": {"column": "kind", "values": {"C*": "cart", "3": "purchase", "s": "search", "v": "view"}},
    "item": {"column": "item", "nulls": ["none"], "reject": ["POST*"]},
    "user": {"column": "user", "strip_suffix": ".0"},
    "price": {"column": "price", "scale": 100},
}
NAMES = ("id", "at", "kind", "item", "user", "price", "list", "prices")
GOOD = {"id": "1", "at": "2026-01-02T03:04:05Z", "kind": "v", "item": "a", "user": "7.0", "price": "2.55"}


def one(spark: SparkSession, changes: dict[str, Any], **row: str | None) -> Row:
    return every(spark, changes, **row)[0]


def every(spark: SparkSession, changes: dict[str, Any], **row: str | None) -> list[Row]:
    return table(spark, changes, [row])


def table(spark: SparkSession, changes: dict[str, Any], rows: Sequence[dict[str, str | None]]) -> list[Row]:
    mapping = parse(Mapping, BASE | changes, "test")
    schema = ", ".join(f"{name} string" for name in (*NAMES, CORRUPT, FILE))
    cells = [(*((GOOD | row).get(name) for name in NAMES), row.get(CORRUPT), "f") for row in rows]
    return typed(spark.createDataFrame(cells, schema).coalesce(1), mapping, Settings()).collect()


def test_a_good_row(spark: SparkSession) -> None:
    row = one(spark, {})
    assert row["reasons"] == []
    assert (row["behaviour"], row["item_id"], row["user_id"]) == ("view", "a", "7")
    assert (row["price_minor"], row["quantity"], row["imputed"]) == (255, 1, [])
    assert row["event_time"] == datetime(2026, 1, 2, 3, 4, 5)
    assert row["known_at"] == row["event_time"]


FAULTS: tuple[tuple[dict[str, str | None], list[str]], ...] = (
    ({"at": ""}, ["missing:event_time"]),
    ({"at": "yesterday"}, ["bad_time"]),
    ({"at": "2199-01-01T00:00:00Z"}, ["in_the_future"]),
    ({"kind": "x"}, ["unknown_behaviour"]),
    ({"item": "none"}, ["missing:item_id"]),
    ({"item": "none", "kind": "s"}, []),
    ({"item": "POSTAGE"}, ["excluded:item_id"]),
    ({"item": "a" * 513}, ["too_long:item_id"]),
    ({"price": "cheap"}, ["not_a_number:price_minor"]),
    ({"price": "NaN"}, ["not_a_number:price_minor"]),
    ({"price": "1e999"}, ["not_a_number:price_minor"]),
    ({"price": None}, []),
    ({"at": "x", "kind": "x", "item": None}, ["bad_time", "unknown_behaviour", "missing:item_id"]),
    ({CORRUPT: "{oops"}, ["unreadable"]),
    ({"id": None}, ["missing:event_id"]),
    ({"id": " "}, ["missing:event_id"]),
    ({"id": "x" * 513}, ["too_long:event_id"]),
)


@pytest.fixture(scope="module")
def faulty(spark: SparkSession) -> list[Row]:
    """The rows of FAULTS, typed by one plan."""
    return table(spark, {}, [cells for cells, _ in FAULTS])


@pytest.mark.parametrize("number", range(len(FAULTS)))
def test_every_fault_is_a_reason(faulty: list[Row], number: int) -> None:
    assert faulty[number]["reasons"] == FAULTS[number][1]


@pytest.mark.parametrize(
    ("policy", "price", "minor", "imputed", "reasons"),
    [
        ({"missing": 9}, None, 9, ["price_minor"], []),
        ({"missing": "reject"}, "", None, [], ["missing:price_minor"]),
        ({"outliers": [{"low": 0}]}, "-1", -100, [], ["out_of_range:price_minor"]),
        ({"outliers": [{"low": 1, "action": "missing"}]}, "0", None, ["price_minor"], []),
        ({"outliers": [{"high": 500, "action": "clip"}]}, "7.5", 500, ["price_minor"], []),
        ({"outliers": [{"high": 500, "action": "clip"}]}, "5", 500, [], []),
        ({"only_for": ["cart"]}, "1", None, [], []),
        ({"only_for": ["cart"], "missing": 9}, None, None, [], []),
        ({"only_for": ["cart"], "missing": "reject"}, None, None, [], []),
        ({"nulls": ["NA"], "missing": 9}, "NA", 9, ["price_minor"], []),
        ({"outliers": [{"low": 1, "action": "missing"}, {"low": 0}]}, "-1", None, ["price_minor"], []),
        ({"outliers": [{"low": 0}, {"low": 9}]}, "-1", -100, [], ["out_of_range:price_minor"]),
    ],
)
def test_number_policies(
    spark: SparkSession, policy: dict[str, Any], price: str, minor: int, imputed: list[str], reasons: list[str]
) -> None:
    row = one(spark, {"price": {"column": "price", "scale": 100, **policy}}, price=price)
    assert (row["price_minor"], row["imputed"], row["reasons"]) == (minor, imputed, reasons)


@pytest.mark.parametrize(
    ("form", "zone", "text"),
    [
        ("iso", "UTC", "2026-07-01T10:00:00Z"),
        ("iso", "Europe/London", "2026-07-01T11:00:00"),
        ("iso", "Europe/London", "2026-07-01T12:00:00+02:00"),
        ("epoch_s", "UTC", "1782900000"),
        ("epoch_ms", "UTC", "1782900000000"),
        ("epoch_us", "UTC", "1782900000000000"),
        ("dd.MM.yyyy HH:mm", "Europe/London", "01.07.2026 11:00"),
        ("HH:mm dd-MM-yyyy", "Europe/London", "11:00 01-07-2026"),
        ("yyyy-MM-dd HH:mm XXX", "Europe/London", "2026-07-01 12:00 +02:00"),
    ],
)
def test_times_and_zones(spark: SparkSession, form: str, zone: str, text: str) -> None:
    row = one(spark, {"time": {"column": "at", "format": form, "timezone": zone}}, at=text)
    assert row["event_time"] == datetime(2026, 7, 1, 10)


def test_too_late_is_measured_from_when_it_was_known(spark: SparkSession) -> None:
    live = one(spark, {"known": {}}, at="2001-01-01T00:00:00Z")
    history = one(spark, {}, at="2001-01-01T00:00:00Z")
    assert (live["reasons"], history["reasons"]) == (["too_late"], [])


def test_a_list_becomes_rows_with_places_and_prices(spark: SparkSession) -> None:
    changes = {
        "expand": {"column": "list", "prices": "prices"},
        "price": {"column": "prices", "scale": 100},
    }
    rows = every(spark, changes, item="b", kind="C1", list="a|b|c", prices="1|2|3")
    found = [(r["behaviour"], r["item_id"], r["position"], r["price_minor"]) for r in rows]
    assert found == [("cart", "b", None, 200), *[("impression", i, n, 100 * n) for n, i in enumerate("abc", 1)]]


def test_an_undeclared_behaviour_is_refused(spark: SparkSession) -> None:
    with pytest.raises(
        ConfigError, match=r"behaviour\.constant: behaviour 'veiw' is not declared\. Did you mean 'view'\?"
    ):
        one(spark, {"behaviour": {"constant": "veiw"}})


def test_sign_is_dropped_only_for_the_named_behaviours(spark: SparkSession, tmp_path: Path) -> None:
    changes = {"price": {"column": "price", "scale": 100, "absolute_for": ["cart"], "outliers": [{"low": 0}]}}
    assert one(spark, changes, kind="C9", price="-3")["price_minor"] == 300
    assert one(spark, changes, kind="v", price="-3")["reasons"] == ["out_of_range:price_minor"]


def test_a_list_may_be_json_and_keeps_what_the_source_wrote(spark: SparkSession) -> None:
    changes = {"expand": {"column": "list", "prices": "prices"}, "price": {"column": "prices"}}
    rows = every(spark, changes, item="b", list='["a", "b"]', prices="[1, 2]")
    assert [(r["item_id"], r["price_minor"]) for r in rows] == [("b", 2), ("a", 1), ("b", 2)]
    assert {(r["src_item"], r["src_prices"]) for r in rows} == {("b", "[1, 2]")}


@pytest.mark.parametrize("empty", [None, "", "[]"])
def test_an_empty_list_makes_no_rows(spark: SparkSession, empty: str | None) -> None:
    assert len(every(spark, {"expand": {"column": "list"}}, list=empty)) == 1


def test_a_text_may_be_required(spark: SparkSession) -> None:
    changes = {"user": {"column": "user", "nulls": ["0"], "missing": "reject"}}
    assert one(spark, changes, user="0")["reasons"] == ["missing:user_id"]
    assert one(spark, changes)["reasons"] == []


def test_each_behaviour_has_its_own_value(spark: SparkSession) -> None:
    changes = {"values": {"view": {"column": "price"}, "cart": {"column": "prices", "missing": 3}}}
    assert one(spark, changes, price="2.5", prices="7")["value"] == 2.5
    assert one(spark, changes, price="2.5", kind="C1", prices="7")["value"] == 7
    row = one(spark, changes, price="2.5", kind="C1")
    assert (row["value"], row["imputed"]) == (3, ["value"])
    assert one(spark, changes, kind="s")["value"] is None
