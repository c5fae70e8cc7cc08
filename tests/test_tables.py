"""Names, keys and persons of all tables."""

from __future__ import annotations

import re

import pytest

from recsys.schema import Column, Table
from recsys.tables import ALL, EVENTS, RECENT_FIELDS, RECENT_TYPE, REJECTED_EVENTS

SNAKE = re.compile(r"[a-z][a-z0-9_]*")


def test_table_names_are_distinct() -> None:
    assert len({table.name for table in ALL}) == len(ALL) == 13


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_a_table_is_complete(table: Table) -> None:
    assert len(set(table.names)) == len(table.names)
    assert {*table.key, *table.partition_by, *table.skip_by} <= set(table.names)
    assert all(SNAKE.fullmatch(name) for name in (table.name, *table.names))
    assert all(column.meaning for column in table.columns)
    assert table.row
    if table.kind == "newest wins":
        assert {"epoch", "batch"} <= set(table.names)


def test_every_column_that_names_a_person_says_so() -> None:
    told = {(table.name, column.name) for table in ALL for column in table.columns if column.person}
    users = {(table.name, "user_id") for table in ALL if "user_id" in table.names}
    assert told == users | {(EVENTS.name, "session_id"), (REJECTED_EVENTS.name, "raw")}


def test_recent_has_the_fields_of_events() -> None:
    types = {column.name: column.type for column in EVENTS.columns}
    fields = ", ".join(f"{name}: {types[name]}" for name in RECENT_FIELDS)
    assert f"array<struct<{fields}>>" == RECENT_TYPE


def test_an_extended_table_keeps_what_it_had() -> None:
    more = EVENTS.extended([Column(name="x", type="int", meaning="one more")])
    assert more.names == (*EVENTS.names, "x")
    assert more.ddl == EVENTS.ddl + ", `x` int"
    assert (more.key, more.partition_by) == (EVENTS.key, EVENTS.partition_by)
