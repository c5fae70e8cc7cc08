import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.candidates.popularity import popular, popularity_codes, unseen
from recsys.candidates.ragged import Ragged
from recsys.features.definitions import ITEM_FEATURES, names
from recsys.features.item import ItemSnapshot


def snapshot(hour: list[float], day: list[float], week: list[float], in_stock: list[bool]) -> ItemSnapshot:
    columns = names(ITEM_FEATURES)
    features = np.zeros((len(day), len(columns)), dtype=np.float32)
    for window, counts in (("1h", hour), ("1d", day), ("7d", week)):
        features[:, columns.index(f"item_engaged_count_{window}")] = counts
    return ItemSnapshot(
        items=tuple(f"i{n}" for n in range(len(day))),
        features=features,
        price=np.full(len(day), -1, dtype=np.int64),
        category=(None,) * len(day),
        title=(None,) * len(day),
        in_stock=np.asarray(in_stock),
        at=0,
    )


def test_orders_by_day_then_week_then_index_and_skips_what_is_out_of_stock() -> None:
    found = snapshot([0] * 6, [1, 5, 1, np.nan, 0, 9], [4, 5, 7, np.nan, 2, 9], [True] * 5 + [False])
    assert popular(found, 99).tolist() == [1, 2, 0, 4, 3]
    assert popular(found, 2).tolist() == [1, 2]
    assert popularity_codes(found).tolist() == [1, 1, 1, 3, 2, 1]


def test_the_hour_and_the_day_take_turns() -> None:
    # The hour's order is 3, 2, 5 (the rest had none), the day's 0, 1, 2, 3, 4, 5.
    found = snapshot([0, 0, 2, 4, 0, 1], [9, 8, 7, 6, 5, 4], [9, 9, 9, 9, 9, 9], [True] * 6)
    assert popular(found, 99).tolist() == [3, 0, 2, 1, 5, 4]
    assert popularity_codes(found).tolist() == [1, 1, 0, 0, 1, 0]
    sold_out = snapshot([0, 0, 2, 4, 0, 1], [9, 8, 7, 6, 5, 4], [9] * 6, [True, True, True, False, True, True])
    assert popular(sold_out, 99).tolist() == [2, 0, 5, 1, 4]


ROW = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.booleans())


@given(st.lists(ROW, min_size=1, max_size=9), st.integers(0, 9))
def test_popular_equals_a_draw_from_two_sorted_lists(rows: list[tuple[int, int, int, bool]], k: int) -> None:
    first, second, third = ([float(row[n]) for row in rows] for n in range(3))
    found = popular(snapshot(first, second, third, [row[3] for row in rows]), k)
    stock = [n for n, row in enumerate(rows) if row[3]]
    hour = sorted((n for n in stock if rows[n][0]), key=lambda n: (-rows[n][0], -rows[n][1], -rows[n][2], n))
    day = sorted(stock, key=lambda n: (-rows[n][1], -rows[n][2], n))
    drawn: list[int] = []
    for place in range(len(stock)):
        for order in (hour, day):
            drawn += [n for n in order[place : place + 1] if n not in drawn]
    assert found.tolist() == drawn[:k]


def test_unseen_fills_from_the_rest_of_the_list() -> None:
    seen = Ragged(offsets=np.asarray([0, 2, 2, 5]), values=np.asarray([7, 3, 3, 7, -1]))
    found = unseen(np.asarray([3, 5, 7, 1]), seen, items=8, k=2)
    assert found.tolist() == [[5, 1], [3, 5], [5, 1]]
    assert unseen(np.asarray([], dtype=np.int64), seen, items=8, k=2).tolist() == [[-1, -1]] * 3


@given(
    st.lists(
        st.tuples(st.permutations(range(-1, 6)), st.lists(st.integers(-1, 5), max_size=4)), min_size=1, max_size=4
    ),
    st.integers(0, 8),
)
def test_unseen_equals_a_filter_of_each_list(users: list[tuple[list[int], list[int]]], k: int) -> None:
    offsets = np.concatenate([[0], np.cumsum([len(s) for _, s in users])]).astype(np.int64)
    seen = Ragged(offsets=offsets, values=np.asarray([i for _, s in users for i in s], dtype=np.int64))
    found = unseen(np.asarray([row for row, _ in users], dtype=np.int64), seen, items=6, k=k)
    for row, (wanted, gone) in zip(found.tolist(), users, strict=True):
        expected = [i for i in wanted if i >= 0 and i not in gone][:k]
        assert row == expected + [-1] * (k - len(expected))
