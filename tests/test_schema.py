"""Tables by hand: names, DDL, and longer tables that leave the shorter one as it was."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.schema import Column, Table

ID = Column(name="id", type="string", meaning="the event's id", person=True)
AT = Column(name="at", type="timestamp", meaning="when")
SEEN = Column(name="seen", type="array<struct<item: string, n: int>>", meaning="items with counts")
TYPES = ("int", "string", "decimal(30,6)", "map<string, string>", "array<struct<a: int, b: int>>")
COLUMNS = st.lists(
    st.builds(
        lambda name, kind: Column(name=name, type=kind, meaning="drawn"),
        st.text("abc_ ,", min_size=1, max_size=8),  # what only backticks make a name
        st.sampled_from(TYPES),
    ),
    max_size=5,
)


def table(*columns: Column) -> Table:
    return Table(name="t", row="one event", key=("id",), kind="append", columns=columns, partition_by=("day",))


def test_names_and_ddl_follow_the_columns() -> None:
    assert table(AT, ID, SEEN).names == ("at", "id", "seen")
    assert table(AT, ID, SEEN).ddl == "`at` timestamp, `id` string, `seen` array<struct<item: string, n: int>>"


def test_a_table_without_columns_has_an_empty_ddl() -> None:
    assert (table().names, table().ddl) == ((), "")


@given(COLUMNS)
def test_ddl_can_be_read_back(columns: list[Column]) -> None:
    found = re.findall(r"(?:^|, )`([^`]*)` ([^`]*?)(?=, `|$)", table(*columns).ddl)
    assert found == [(column.name, column.type) for column in columns]


@given(COLUMNS, COLUMNS, COLUMNS)
def test_tables_grow_at_their_end_in_one_step_or_in_two(own: list[Column], a: list[Column], b: list[Column]) -> None:
    base = table(*own)
    grown = base.extended(a).extended(tuple(b))
    assert grown == base.extended([*a, *b]) == table(*own, *a, *b)
    assert base == table(*own)  # the table that was extended stays what it was
    assert base.extended([]) == base


def test_a_longer_table_stays_a_key_of_dictionaries() -> None:
    longer = table(ID).extended([AT])  # a list of columns could not be hashed
    assert {longer: "found"}[table(ID, AT)] == "found"


def test_tables_and_columns_do_not_change_and_a_column_names_nobody_unless_it_says_so() -> None:
    assert [column.person for column in table(ID, AT).columns] == [True, False]
    with pytest.raises(FrozenInstanceError):
        AT.person = True  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        table(ID).columns = ()  # type: ignore[misc]
