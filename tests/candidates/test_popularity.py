import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.candidates.popularity import popular, popularity_codes, unseen
from recsys.candidates.ragged import Ragged
from recsys.features.definitions import ITEM_FEATURES, names
from recsys.features.item import ItemSnapshot


def snapshot(day: list[float], week: list[float], in_stock: list[bool]) -> ItemSnapshot:
    columns = names(ITEM_FEATURES)
    features = np.zeros((len(day), len(columns)), dtype=np.float32)
    features[:, columns.index("item_engaged_count_1d")] = day
    features[:, columns.index("item_engaged_count_7d")] = week
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
    found = snapshot([1, 5, 1, np.nan, 0, 9], [4, 5, 7, np.nan, 2, 9], [True] * 5 + [False])
    assert popular(found, 99).tolist() == [1, 2, 0, 4, 3]
    assert popular(found, 2).tolist() == [1, 2]
    assert popularity_codes(found).tolist() == [0, 0, 0, 2, 1, 0]


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
