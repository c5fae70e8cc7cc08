from datetime import datetime, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import RequestError
from recsys.registry.request import MAX_RECENT, Requests, microseconds, read_requests

NOW = 1_760_000_000_000_000
NAMES = ("impression", "view", "click")
CLICK = {"behaviour": "click", "item_id": "a", "event_time": NOW - 5}


def read(*rows: dict[str, Any], k: int = 10) -> Requests:
    return read_requests(rows, NAMES, {"view", "click"}, k, 7, NOW)


def test_times_are_read_in_every_form() -> None:
    expected = 1_735_689_600_000_000  # 2025-01-01
    assert microseconds("2025-01-01T00:00:00Z") == expected
    assert microseconds("2025-01-01T01:00:00+01:00") == expected
    assert microseconds("2025-01-01") == expected
    assert microseconds(datetime(2025, 1, 1)) == expected
    assert microseconds(datetime(2025, 1, 1, tzinfo=timezone.utc)) == expected
    assert microseconds(expected) == microseconds(float(expected)) == microseconds(np.int64(expected)) == expected


@pytest.mark.parametrize(
    "value",
    ["yesterday", True, None, 1.5e15 + 0.5, [], 1_735_689_600, "1989-12-31", 10**30, float("inf"), "2200-01-01"],
)
def test_other_times_are_refused(value: object) -> None:
    with pytest.raises(ValueError):
        microseconds(value)


def test_histories_hold_the_newest_engaged_behaviours_in_order() -> None:
    asked = read(
        {
            "recent": [
                CLICK | {"item_id": "d"},
                CLICK | {"item_id": "e", "price_minor": 12, "quantity": 2, "value": 0.5},
                {"behaviour": "view", "event_time": NOW - 9},
                CLICK | {"item_id": "b", "event_time": NOW - 99},
                {"behaviour": "impression", "item_id": "z", "event_time": NOW - 1},
            ],
            "n": 2,
        },
        {"recent": None, "n": float("nan")},
        {},
        k=3,
    )
    h = asked.histories
    assert h.offsets.tolist() == [0, 3, 3, 3]
    assert [None if item < 0 else h.items[item] for item in h.item] == [None, "d", "e"]  # equal times as given
    assert h.time.tolist() == [NOW - 9, NOW - 5, NOW - 5]
    assert h.behaviour.tolist() == [1, 2, 2]
    assert (h.price.tolist(), h.quantity.tolist()) == ([-1, -1, 12], [1, 1, 2])
    np.testing.assert_array_equal(h.value, [np.nan, np.nan, 0.5])
    assert asked.n.tolist() == [2, 7, 7]
    assert asked.at.tolist() == [NOW] * 3


def test_the_moment_is_given_or_now_but_never_before_a_behaviour() -> None:
    ahead = CLICK | {"event_time": NOW + 30}
    assert read({"recent": [ahead]}).at.tolist() == [NOW + 30]
    assert read({"recent": [CLICK], "at": NOW - 5}, {"recent": [], "at": "2025-01-01"}).at.tolist() == [
        NOW - 5,
        1_735_689_600_000_000,
    ]
    with pytest.raises(RequestError, match=r"Row 1: a behaviour at 2025-10-09T08:53:19.*lies after `at`"):
        read({}, {"recent": [CLICK], "at": NOW - 6})


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"recent": [CLICK | {"behaviour": "clik"}]}, "behaviour 'clik' is unknown. Did you mean 'click'"),
        ({"recent": [{"behaviour": "click"}]}, r"Row 0, recent\.0\.event_time: Field required"),
        ({"recent": [CLICK | {"event_time": "soon"}]}, r"recent\.0\.event_time: Invalid isoformat"),
        ({"recent": [CLICK | {"item_id": 5}]}, r"recent\.0\.item_id: .*string"),
        ({"recent": [CLICK | {"price_minor": -1}]}, r"recent\.0\.price_minor: "),
        ({"recent": [CLICK | {"price_minor": float("nan")}]}, r"recent\.0\.price_minor: .*finite"),
        ({"recent": [CLICK | {"price": 1}]}, r"recent\.0\.price: Extra inputs"),
        ({"recent": [CLICK, 5]}, r"recent\.1: "),
        ({"recent": "abc"}, "recent: .*list"),
        ({"recent": [CLICK] * (MAX_RECENT + 1)}, "recent: List should have at most 4096"),
        ({"n": 0}, "n: .*greater than or equal to 1"),
        ({"n": 10_000}, "n: .*less than or equal to 1000"),
        ({"n": "many"}, "n: .*integer"),
        ({"at": 5}, "at: it lies before 1990"),
        ({"user": "u"}, "user: Extra inputs"),
    ],
)
def test_each_fault_is_one_sentence_with_its_place(row: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestError, match=says) as caught:
        read(row)
    assert "\n" not in str(caught.value)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["behaviour", "event_time"]), inner),
    max_leaves=8,
)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(["recent", "n", "at", "x"]), json))
def test_any_json_is_answered_or_refused_in_words(row: dict[str, Any]) -> None:
    try:
        moments = read(row).at
    except RequestError as error:
        moments, said = None, str(error)
    assert said.startswith("Row 0") if moments is None else len(moments) == 1
