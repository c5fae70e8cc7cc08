"""Histories from Arrow lists: what is missing, sliced and chunked, against the lists in plain Python."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.features.history import FIELDS, MISSING, Histories, at_end, from_arrow, from_columns

NAMES = ("view", "click", "purchase")
TYPE = pa.list_(
    pa.struct(
        {
            "event_id": pa.string(),
            "event_time": pa.timestamp("us", tz="UTC"),
            "behaviour": pa.string(),
            "item_id": pa.string(),
            "price_minor": pa.int64(),
            "quantity": pa.int64(),
            "value": pa.float64(),
        }
    )
)
Row = dict[str, Any]
behaviours = st.fixed_dictionaries(
    {
        "event_id": st.just("e"),
        "event_time": st.integers(0, 2**51),
        "behaviour": st.sampled_from([*NAMES, "unknown"]),
        "item_id": st.sampled_from(["a", "ü", "", None]),
        "price_minor": st.one_of(st.none(), st.integers(0, 2**40)),
        "quantity": st.one_of(st.none(), st.integers(-3, 3)),
        "value": st.one_of(st.none(), st.just(0.0), st.floats(0.5, 5)),
    }
)
users = st.lists(st.one_of(st.none(), st.lists(behaviours, max_size=4)), max_size=6)


def rows(h: Histories) -> list[list[tuple[Any, ...]]]:
    """Each user's behaviours as (time, name, item, price, quantity, value), None where unknown."""
    found = []
    for start, end in zip(h.offsets[:-1].tolist(), h.offsets[1:].tolist(), strict=True):
        found.append(
            [
                (
                    int(h.time[row]),
                    None if h.behaviour[row] == MISSING else NAMES[h.behaviour[row]],
                    None if h.item[row] == MISSING else h.items[h.item[row]],
                    None if h.price[row] == MISSING else int(h.price[row]),
                    int(h.quantity[row]),
                    None if np.isnan(h.value[row]) else float(h.value[row]),
                )
                for row in range(start, end)
            ]
        )
    return found


def expected(lists: list[list[Row] | None]) -> list[list[tuple[Any, ...]]]:
    def one(row: Row) -> tuple[Any, ...]:
        name = row["behaviour"] if row["behaviour"] in NAMES else None
        pieces = 1 if row["quantity"] is None else row["quantity"]
        return (row["event_time"], name, row["item_id"], row["price_minor"], pieces, row["value"])

    return [[one(row) for row in user or []] for user in lists]


@settings(max_examples=60)
@given(users, st.integers(0, 3), st.integers(0, 3))
def test_histories_are_the_lists(lists: list[list[Row] | None], skipped: int, cut: int) -> None:
    whole = pa.array(lists, TYPE)
    assert rows(from_arrow(whole, NAMES)) == expected(lists)
    part = whole.slice(skipped)
    assert rows(from_arrow(part, NAMES)) == expected(lists[skipped:])
    chunked = pa.chunked_array([part.slice(0, cut), part.slice(cut)])
    assert rows(from_arrow(chunked, NAMES)) == expected(lists[skipped:])


def test_unknown_is_not_zero() -> None:
    nothing = dict.fromkeys(FIELDS) | {"event_time": 5, "behaviour": "view"}
    zero = nothing | {"price_minor": 0, "quantity": 0, "value": 0.0, "item_id": ""}
    h = from_arrow(pa.array([[nothing, zero]], TYPE), NAMES)
    assert (h.price.tolist(), h.quantity.tolist(), h.item.tolist()) == ([-1, 0], [1, 0], [-1, 0])
    np.testing.assert_array_equal(h.value, [np.nan, 0.0])


def test_what_is_not_told_of_behaviours_is_unknown() -> None:
    row = dict.fromkeys(FIELDS) | {"event_time": 5, "behaviour": "view", "item_id": "a"}
    flat = pa.array([row, row], TYPE.value_type)
    offsets = np.asarray([0, 2])
    whole = from_columns({name: flat.field(name) for name in FIELDS}, offsets, NAMES)
    part = from_columns({name: flat.field(name) for name in ("event_time", "behaviour", "item_id")}, offsets, NAMES)
    for name in ("time", "behaviour", "item", "price", "quantity", "value"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name))
        assert getattr(part, name).dtype == getattr(whole, name).dtype


@pytest.mark.parametrize("empty", [pa.array([], TYPE), pa.chunked_array([], TYPE)])
def test_no_user_is_no_fault(empty: pa.Array) -> None:
    h = from_arrow(empty, NAMES)
    assert (h.users, h.offsets.tolist(), h.items) == (0, [0], ())
    assert len(at_end(h, 5).at) == 0


def test_times_of_any_unit_and_zone_become_microseconds() -> None:
    moment = datetime(2026, 3, 2, 12, tzinfo=timezone.utc)
    wanted = int(moment.timestamp()) * 1_000_000
    for stamp in (pa.timestamp("s", tz="UTC"), pa.timestamp("ms", tz="Europe/Berlin"), pa.timestamp("us")):
        kind = pa.list_(
            pa.struct([pa.field(f.name, stamp if f.name == "event_time" else f.type) for f in TYPE.value_type])
        )
        told = moment.replace(tzinfo=None) if stamp.tz is None else moment
        row = dict.fromkeys(FIELDS) | {"event_time": told, "behaviour": "view"}
        assert from_arrow(pa.array([[row]], kind), NAMES).time.tolist() == [wanted]


def test_points_at_the_end_cover_each_whole_history() -> None:
    row = dict.fromkeys(FIELDS) | {"event_time": 5, "behaviour": "view"}
    h = from_arrow(pa.array([[row, row], None, [row]], TYPE), NAMES)
    assert (h.users, h.lengths.tolist()) == (3, [2, 0, 1])
    same = at_end(h, 9)
    assert (same.start.tolist(), same.end.tolist(), same.at.tolist()) == ([0, 2, 2], [2, 2, 3], [9, 9, 9])
    assert at_end(h, np.asarray([7, 8, 9])).at.tolist() == [7, 8, 9]
