from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import settings as rounds
from hypothesis import strategies as st

from recsys.features.history import I64, Histories
from recsys.ranking.known import Known, as_known

Event = tuple[int, int]  # time, known


def ints(*values: int) -> I64:
    return np.asarray(values, dtype=np.int64)


def asked(users: list[list[Event]], requests: list[tuple[int, int]], k: int) -> Known:
    """Each event's price is its place among all, so that a request tells which ones it sees."""
    flat = [event for events in users for event in events]
    h = Histories(
        offsets=np.cumsum([0, *(len(events) for events in users)], dtype=np.int64),
        time=np.asarray([time for time, _ in flat], dtype=np.int64),
        behaviour=np.zeros(len(flat), dtype=np.int8),
        item=np.zeros(len(flat), dtype=np.int32),
        price=np.arange(len(flat)),
        quantity=np.ones(len(flat), dtype=np.int64),
        value=np.full(len(flat), np.nan),
        items=("a",),
    )
    known = np.asarray([known for _, known in flat], dtype=np.int64)
    user, at = (np.asarray(column, dtype=np.int64) for column in np.reshape(requests, (-1, 2)).T)
    return as_known(h, known, user, at, k)


def seen(found: Known) -> list[list[int]]:
    points = zip(found.points.start, found.points.end, strict=True)
    return [found.h.price[start:end].tolist() for start, end in points]


def test_a_request_sees_what_lies_strictly_before_it_in_both_times() -> None:
    on_time = [[(1, 1), (2, 2), (2, 2), (3, 3)], [], [(5, 5)]]
    requests = [(0, 2), (0, 3), (0, 9), (1, 9), (2, 5)]
    assert seen(asked(on_time, requests, 10)) == [[0], [0, 1, 2], [0, 1, 2, 3], [], []]  # ties at 2 hide each other
    assert seen(asked(on_time, [(0, 9)], 2)) == [[2, 3]]
    late = [[(1, 1), (2, 6), (3, 3), (4, 5)]]  # the second is known at 6, the last at 5
    moments = [(0, at) for at in (4, 5, 6, 7)]
    assert seen(asked(late, moments, 10)) == [[0, 2], [0, 2], [0, 2, 3], [0, 1, 2, 3]]
    assert seen(asked(late, moments, 2)) == [[0, 2], [0, 2], [2, 3], [2, 3]]


def test_a_steady_delay_makes_no_copies() -> None:
    steady = [[(time, time + 3) for time in range(50)]]
    found = asked(steady, [(0, 10), (0, 2), (0, 99)], 4)
    assert seen(found) == [[3, 4, 5, 6], [], [46, 47, 48, 49]]
    assert len(found.h.time) == 50


users_of = st.lists(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9) | st.just(0)), max_size=10), min_size=1, max_size=3
)


@rounds(max_examples=400)
@given(users_of, st.lists(st.tuples(st.integers(0, 2), st.integers(0, 22)), min_size=1, max_size=6), st.integers(1, 5))
def test_it_agrees_with_a_plain_filter(users: list[list[Event]], requests: list[tuple[int, int]], k: int) -> None:
    told = [sorted((time, time + delay) for time, delay in events) for events in users]
    requests = [(user % len(told), at) for user, at in requests]
    places = np.cumsum([0, *map(len, told)])
    found = asked(told, requests, k)
    expected = [
        [places[user] + n for n, (time, known) in enumerate(told[user]) if time < at and known < at][-k:]
        for user, at in requests
    ]
    assert seen(found) == expected
    assert all(since <= row for since, rows in zip(found.since, expected, strict=True) for row in rows)
