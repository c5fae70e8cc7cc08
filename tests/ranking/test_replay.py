"""Whole requests are drawn from what is stored, as many as asked for, and the same again."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from recsys.ranking.job import SCHEMA
from recsys.ranking.replay import drawn

START = datetime(2026, 3, 2, tzinfo=timezone.utc)


def table(requests: list[int], letter: str, features: int = 3) -> pa.Table:
    """Request n has `requests[n]` rows."""
    places = [(n, place) for n, size in enumerate(requests) for place in range(size)]
    rows = [
        {
            "request_id": f"{letter}{n}",
            "item_id": f"i{p}",
            "at": START + timedelta(minutes=n),
            "features": [0.0] * features,
        }
        for n, p in places
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


@given(st.lists(st.integers(1, 4), max_size=12), st.lists(st.integers(1, 4), min_size=1, max_size=12), st.floats(0, 3))
def test_whole_requests_in_their_order(older: list[int], new: list[int], share: float) -> None:
    found = drawn(table(older, "o"), table(new, "n"), share, 3, 7)
    kept = dict.fromkeys(found["request_id"].to_pylist())
    assert len(kept) == min(round(share * len(new)), len(older))
    expected = [row for row in table(older, "o").to_pylist() if row["request_id"] in kept]
    assert found.to_pylist() == expected
    assert found.equals(drawn(table(older, "o"), table(new, "n"), share, 3, 7))


def test_another_seed_draws_others() -> None:
    older, new = table([1] * 50, "o"), table([1] * 20, "n")
    assert not drawn(older, new, 0.5, 3, 1).equals(drawn(older, new, 0.5, 3, 2))


def test_rows_of_other_features_are_left_out() -> None:
    older = pa.concat_tables([table([2, 2], "o", features=4), table([1], "p")])
    assert drawn(older, table([1, 1], "n"), 5, 3, 1)["request_id"].to_pylist() == ["p0"]
