"""Bisection, selections, ranges and distinct counts against plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.days import microseconds
from recsys.errors import ConfigError
from recsys.features.history import MISSING, Histories, Points
from recsys.features.windows import (
    FEW,
    before,
    by_code,
    distinct,
    first_after,
    known,
    previous,
    reduce_ranges,
    select,
)


def _histories(times: list[list[int]]) -> Histories:
    flat = np.asarray([t for user in times for t in user], dtype=np.int64)
    n = len(flat)
    return Histories(
        offsets=np.cumsum([0, *map(len, times)]).astype(np.int64),
        time=flat,
        behaviour=np.zeros(n, dtype=np.int8),
        item=np.full(n, MISSING, dtype=np.int32),
        price=np.full(n, MISSING, dtype=np.int64),
        quantity=np.ones(n, dtype=np.int64),
        value=np.full(n, np.nan),
        items=(),
    )


def _ints(*values: int) -> np.typing.NDArray[np.int64]:
    return np.asarray(values, dtype=np.int64)


@pytest.mark.parametrize(("window", "expected"), [("15m", 900), ("1h", 3600), ("7d", 604_800)])
def test_window_lengths(window: str, expected: int) -> None:
    assert microseconds(window) == expected * 1_000_000


@pytest.mark.parametrize("window", ["", "7", "0d", "7w", "d", "-1d", "1.5h"])
def test_bad_window_is_refused_with_its_name(window: str) -> None:
    with pytest.raises(ConfigError, match="Window"):
        microseconds(window)


@settings(max_examples=200)
@given(st.lists(st.lists(st.integers(0, 9)), max_size=2 * FEW), st.integers(-1, 10))
def test_first_after(times: list[list[int]], moment: int) -> None:
    h = _histories([sorted(user) for user in times])
    start, end = h.offsets[:-1], h.offsets[1:]
    found = first_after(h.time, start, end, np.full(len(start), moment))
    assert found.tolist() == [int(s) + sum(t <= moment for t in u) for s, u in zip(start, times, strict=True)]


def test_known_stops_at_the_time() -> None:
    h = _histories([[1, 2, 2, 3]])
    p = known(h, Points(start=_ints(0, 0, 2), end=_ints(4, 4, 4), at=_ints(2, 0, 9)))
    assert p.end.tolist() == [3, 0, 4]


def test_before_leaves_out_ties_and_keeps_k() -> None:
    """Users [1, 2, 2, 3] and [2, 5]: positions 2 (tied with 1), 3, 4 (first of its user) and 5."""
    p = before(_histories([[1, 2, 2, 3], [], [2, 5]]), _ints(2, 3, 4, 5), k=2)
    assert p.start.tolist() == [0, 1, 4, 4]
    assert p.end.tolist() == [1, 3, 4, 5]
    assert p.at.tolist() == [2, 3, 2, 5]


def test_selection_sums_and_finds_the_last() -> None:
    rows = select(np.asarray([True, False, True, True]))
    assert rows.total(_ints(5, 7, -1), _ints(0, 1, 2), _ints(4, 2, 3)).tolist() == [11, 0, 7]
    assert rows.last(_ints(0, 1, 0), _ints(4, 2, 3)).tolist() == [3, -1, 2]
    assert select(np.zeros(3, dtype=np.bool_)).last(_ints(0), _ints(3)).tolist() == [-1]


@settings(max_examples=200)
@given(st.lists(st.floats(-5, 5), max_size=20), st.data())
def test_reduce_ranges(values: list[float], data: st.DataObject) -> None:
    bound = st.integers(0, len(values))
    ranges = [sorted((a, b)) for a, b in data.draw(st.lists(st.tuples(bound, bound), min_size=1))]
    low, high = np.asarray(ranges, dtype=np.int64).T
    found = reduce_ranges(np.minimum, np.asarray(values), low, high, empty=99.0)
    assert found.tolist() == [min(values[a:b], default=99.0) for a, b in ranges]


@settings(max_examples=200)
@given(st.lists(st.lists(st.integers(-1, 3), max_size=12), min_size=1), st.data(), st.sampled_from([1, 7, 1 << 22]))
def test_distinct(users: list[list[int]], data: st.DataObject, chunk: int) -> None:
    """Any ranges, in any order, in chunks of any size."""
    codes = np.asarray([code for user in users for code in user], dtype=np.int32)
    offsets = np.cumsum([0, *map(len, users)]).astype(np.int64)
    owners = data.draw(st.lists(st.integers(0, len(users) - 1), min_size=1))
    bounds = [
        sorted(data.draw(st.tuples(st.integers(0, len(users[u])), st.integers(0, len(users[u]))))) for u in owners
    ]
    low = offsets[owners] + _ints(*(b[0] for b in bounds))
    high = offsets[owners] + _ints(*(b[1] for b in bounds))
    found = distinct(previous(by_code(codes, offsets)), low, high, chunk)
    assert found.tolist() == [len(set(codes[a:b].tolist()) - {-1}) for a, b in zip(low, high, strict=True)]
