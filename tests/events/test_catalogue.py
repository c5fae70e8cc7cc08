"""The catalogue from a file and from events, and its spans of validity."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.config import parse
from recsys.errors import ConfigError, NoDataError
from recsys.events.catalogue import ATTRIBUTES, catalogue_file, changed, continued, from_events, from_file, valid_at
from recsys.events.mapping import Mapping
from recsys.tables import EVENTS, ITEMS

CATALOGUE: dict[str, Any] = {
    "format": {"type": "csv"},
    "item": "sku",
    "title": "name",
    "category": "path",
    "category_separator": ">",
    "price": {"column": "eur", "scale": 100},
    "sales": "sold",
    "stock": "stock",
    "launched": {"column": "since"},
}
FILE = """sku,name,path,eur,sold,stock,since
 a , Rote   Schuhe ,x>y,2.55,7,3,2026-01-02
b,,,,,0,
c,Hut,z,cheap,-,false,2026-01-03
c,Hut,z,cheap,-,false,2026-01-03
,nothing,,,,,
"""


def mapping(**more: Any) -> Mapping:
    base: dict[str, Any] = {"name": "shop", "format": {"type": "csv"}, "id": {"column": "i"}, "time": {"column": "t"}}
    return parse(Mapping, {**base, "behaviour": {"constant": "view"}, "item": {"column": "i"}, **more}, "test")


def at(day: int) -> datetime:
    return datetime(2026, 1, day)


def utc(day: int) -> datetime:
    return datetime(2026, 1, day, tzinfo=timezone.utc)


def test_from_a_file(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text(FILE)
    rows = from_file(spark, mapping(catalogue=CATALOGUE), str(tmp_path / "items.csv")).collect()
    columns = ("title", "category", "price_minor", "sales_volume", "in_stock", "since")
    assert {row["item_id"]: tuple(row[name] for name in columns) for row in rows} == {
        "a": ("Rote Schuhe", "x|y", 255, 7, True, at(2)),
        "b": (None, None, None, 0, False, None),
        "c": ("Hut", "z", None, 0, False, at(3)),
    }


def test_a_file_may_have_a_row_for_each_change(spark: SparkSession, tmp_path: Path) -> None:
    spec = {**CATALOGUE, "changed": {"column": "at"}}
    (tmp_path / "items.csv").write_text(
        "sku,name,path,eur,sold,stock,since,at\n"
        "a,A,x,2,0,1,2026-01-01,2026-01-02\n"
        "a,A,x,1,0,1,2026-01-01,2026-01-03\n"
        "a,A,x,1,0,1,2026-01-01,2026-01-03\n"
        "b,B,x,1,0,1,2026-01-04,\n"
        "c,C,x,1,0,0,,\n"
    )
    rows = from_file(spark, mapping(catalogue=spec), str(tmp_path / "items.csv")).collect()
    found = sorted((row["item_id"], row["since"], row["price_minor"]) for row in rows if row["since"])
    assert found == [("a", at(2), 200), ("a", at(3), 100), ("b", at(4), 100)]
    assert [row["item_id"] for row in rows if not row["since"]] == ["c"]


def test_what_a_file_lacks_is_said(spark: SparkSession, tmp_path: Path) -> None:
    file = tmp_path / "items.csv"
    file.write_text("sku,nam\na,b\n")
    with pytest.raises(ConfigError, match=r"catalogue \(title\): column 'name' is not in .*Did you mean 'nam'\?"):
        from_file(spark, mapping(catalogue={"format": {"type": "csv"}, "item": "sku", "title": "name"}), str(file))
    with pytest.raises(ConfigError, match="mapping 'shop' has no `catalogue` section"):
        from_file(spark, mapping(), str(file))


def test_where_the_file_lies(tmp_path: Path) -> None:
    with_path = mapping(catalogue=CATALOGUE, catalogue_path="items.csv")
    source = tmp_path / "events"
    source.mkdir()
    with pytest.raises(NoDataError, match=r"at none of .*events/items\.csv, .*/items\.csv\. Set `catalogue`"):
        catalogue_file(with_path, str(source), "")
    (tmp_path / "items.csv").touch()
    assert catalogue_file(with_path, str(source), "") == str(tmp_path / "items.csv")
    (source / "items.csv").touch()
    assert catalogue_file(with_path, str(source), "") == str(source / "items.csv")
    assert catalogue_file(with_path, str(source), "own.csv") == "own.csv"
    assert catalogue_file(with_path, "s3://b/events/", "") == "s3://b/events/items.csv"
    assert catalogue_file(mapping(), str(source), "") == ""


def test_from_events_the_newest_wins_and_returns_reduce(spark: SparkSession) -> None:
    base: dict[str, Any] = dict.fromkeys(EVENTS.names) | {"context": {}, "imputed": []}
    seen: list[dict[str, Any]] = [
        {
            "behaviour": "purchase",
            "quantity": 5,
            "price_minor": 200,
            "context": {"title": " old "},
            "event_time": utc(1),
        },
        {"behaviour": "return", "quantity": 2, "price_minor": None, "context": {"title": "new"}, "event_time": utc(3)},
        {"behaviour": "view", "quantity": 1, "price_minor": 180, "context": {"category": "x"}, "event_time": utc(2)},
        {"behaviour": "return", "quantity": 2, "item_id": "b", "event_time": utc(4)},
        {"behaviour": "search", "item_id": None, "event_time": utc(5)},
    ]
    rows = [base | {"item_id": "a", "event_id": str(n)} | row for n, row in enumerate(seen)]
    events = spark.createDataFrame([tuple(row[name] for name in EVENTS.names) for row in rows], EVENTS.ddl)
    found = {row["item_id"]: row for row in from_events(events).collect()}
    assert sorted(found) == ["a", "b"]
    columns = ("title", "category", "price_minor", "sales_volume", "in_stock", "since")
    assert [found["a"][name] for name in columns] == ["new", "x", 180, 3, True, at(1)]
    assert [found["b"][name] for name in columns] == [None, None, None, 0, True, at(4)]


NOW = f"item_id string, {', '.join(f'{n} {c.type}' for n in ATTRIBUTES for c in ITEMS.columns if c.name == n)}"


def state(spark: SparkSession, *items: tuple[str, int, int, datetime | None]) -> DataFrame:
    """A catalogue of (item, price, sales, since)."""
    rows = [(name, None, price, None, None, sales, True, None, since) for name, price, sales, since in items]
    return spark.createDataFrame(rows, f"{NOW}, since timestamp")


def spans(items: DataFrame) -> list[tuple[Any, ...]]:
    columns = ("item_id", "price_minor", "sales_volume", "valid_from", "valid_to")
    return sorted((tuple(r[n] for n in columns) for r in items.collect()), key=lambda r: (r[0], r[3]))


def test_spans_end_and_begin_where_something_changed(spark: SparkSession) -> None:
    first = changed(None, state(spark, ("a", 1, 1, None), ("b", 1, 1, utc(2)), ("c", 1, 1, utc(1))), F.lit(utc(5)))
    assert [row[3:] for row in spans(first)] == [(datetime(1970, 1, 1), None), (at(2), None), (at(1), None)]
    now = state(spark, ("a", 1, 9, None), ("b", 2, 1, utc(2)), ("d", 1, 0, None))
    assert spans(changed(first, now, F.lit(utc(6)))) == [
        ("a", 1, 9, datetime(1970, 1, 1), None),  # sales alone do not begin a span
        ("b", 1, 1, at(2), at(6)),
        ("b", 2, 1, at(6), None),
        ("c", 1, 1, at(1), at(6)),
        ("d", 1, 0, at(6), None),
    ]


def test_a_change_holds_until_the_next_one(spark: SparkSession) -> None:
    first = continued(
        None, state(spark, ("a", 1, 0, None), ("a", 2, 0, utc(3)), ("b", 5, 0, utc(2)), ("c", 7, 0, utc(1)))
    )
    known = [
        ("a", 1, 0, datetime(1970, 1, 1), at(3)),
        ("a", 2, 0, at(3), None),
        ("b", 5, 0, at(2), None),
        ("c", 7, 0, at(1), None),
    ]
    assert spans(first) == known
    later = continued(
        first, state(spark, ("a", 3, 0, utc(5)), ("a", 2, 0, utc(6)), ("b", 5, 0, utc(2)), ("d", 1, 0, utc(4)))
    )
    assert spans(later) == [
        known[0],
        ("a", 2, 0, at(3), at(5)),
        ("a", 3, 0, at(5), at(6)),
        ("a", 2, 0, at(6), None),
        known[2],
        known[3],  # the file does not name it: it goes on
        ("d", 1, 0, at(4), None),
    ]


def test_the_same_catalogue_changes_nothing(spark: SparkSession) -> None:
    now = state(spark, ("a", 1, 1, None), ("b", 1, 1, utc(2)))
    first = changed(None, now, F.lit(utc(5))).localCheckpoint()
    assert spans(changed(first, now, F.lit(utc(6)))) == spans(first)


def test_an_item_that_comes_back_begins_anew(spark: SparkSession) -> None:
    now = state(spark, ("a", 1, 1, utc(1)))
    first = changed(None, now, F.lit(utc(2)))
    gone = changed(first, state(spark), F.lit(utc(3)))
    again = changed(gone, now, F.lit(utc(4)))
    assert [row[3:] for row in spans(again)] == [(at(1), at(3)), (at(4), None)]


def test_a_change_before_the_launch_moves_nothing(spark: SparkSession) -> None:
    first = changed(None, state(spark, ("a", 1, 1, utc(9))), F.lit(utc(2)))
    later = changed(first, state(spark, ("a", 2, 1, utc(9))), F.lit(utc(3)))
    assert spans(later) == [("a", 2, 1, at(9), None)]


def test_spans_are_closed_at_the_left_and_open_at_the_right(spark: SparkSession) -> None:
    first = changed(None, state(spark, ("a", 1, 1, utc(1))), F.lit(utc(1)))
    items = changed(first, state(spark, ("a", 2, 1, utc(1))), F.lit(utc(3))).localCheckpoint()
    moments = (utc(1), utc(2), utc(3), utc(4))
    found = [[r["price_minor"] for r in valid_at(items, F.lit(moment)).collect()] for moment in moments]
    assert found == [[1], [1], [2], [2]]
    assert valid_at(items, F.lit(datetime(2025, 12, 31, tzinfo=timezone.utc))).isEmpty()
