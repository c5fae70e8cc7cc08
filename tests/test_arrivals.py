"""What came into a table since one of its versions."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from delta.tables import DeltaTable
from pyspark.sql import SparkSession

from recsys.arrivals import arrived
from recsys.io import View, Warehouse
from recsys.tables import EVENTS
from tests.features.oracle import Event, S
from tests.features.shop import append_events

DAY = 86_400 * S


def event(name: str, day: int) -> Event:
    return Event(id=name, user="u", time=day * DAY, behaviour="view", item="i", price=None, quantity=1)


def found(view: View, since: int) -> set[tuple[str, date]] | None:
    rows = arrived(view, EVENTS, since)
    return None if rows is None else {(row["event_id"], row["event_date"]) for row in rows.collect()}


def test_rows_of_files_that_a_version_did_not_have(spark: SparkSession, tmp_path: Path) -> None:
    warehouse = Warehouse(spark, f"{tmp_path}/a place")  # its files are told URL-encoded
    append_events(warehouse, [event("a", 0), event("b", 1)], 0)
    first = warehouse.view().versions[EVENTS.name]
    append_events(warehouse, [event("c", 1), event("d", 2)], 1)
    view = warehouse.view()
    came = {("c", date(1970, 1, 2)), ("d", date(1970, 1, 3))}
    assert found(view, first) == came
    append_events(warehouse, [event("e", 0)], 2)
    assert found(view, first) == came  # the view does not know it
    newest = warehouse.view().versions[EVENTS.name]
    assert found(warehouse.view(), newest) == set()
    assert found(warehouse.view(), newest + 1) is None
    DeltaTable.forPath(spark, warehouse.path(EVENTS)).optimize().where("event_date = '1970-01-02'").executeCompaction()
    append_events(warehouse, [], 3)
    everything = found(warehouse.view(), first)  # `b` was moved to a new file
    assert everything == came | {("b", date(1970, 1, 2)), ("e", date(1970, 1, 1))}
    (tmp_path / "a place" / EVENTS.name / "_delta_log" / f"{first:020}.json").unlink()  # as Delta does after a month
    assert found(warehouse.view(), first) is None
