import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.candidates.fuse import fuse
from recsys.candidates.ragged import Ragged

ITEMS = 6
ROW = st.lists(st.integers(-1, ITEMS - 1), min_size=3, max_size=3)


def matrix(*rows: list[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.asarray(rows, dtype=np.int64)


def test_merges_repetitions_and_keeps_every_source() -> None:
    seen = Ragged(offsets=np.asarray([0, 1, 2]), values=np.asarray([4, -1]))
    in_stock = np.asarray([True, True, True, False, True])
    found = fuse({"neighbours": matrix([2, 0, -1], [3, 4, 4]), "popular": matrix([0, 4], [-1, 1])}, in_stock, seen)
    # user 0: {0, 2} and {0, 4} without the seen 4; user 1: {3, 4} and {1} without 3, which is out of stock
    assert found.items.offsets.tolist() == [0, 2, 4]
    assert found.items.values.tolist() == [0, 2, 1, 4]
    assert [found.label(int(mask)) for mask in found.sources] == [
        "neighbours+popular",
        "neighbours",
        "popular",
        "neighbours",
    ]


def test_no_proposals_give_empty_rows() -> None:
    seen = Ragged(offsets=np.asarray([0, 0, 0]), values=np.asarray([], dtype=np.int64))
    found = fuse({"popular": matrix([-1], [-1])}, np.ones(3, dtype=np.bool_), seen)
    assert found.items.offsets.tolist() == [0, 0, 0]
    assert len(found.sources) == 0


@given(st.lists(st.tuples(ROW, ROW, ROW), min_size=1, max_size=5), st.lists(st.booleans(), min_size=6, max_size=6))
def test_equals_sets_for_each_user(users: list[tuple[list[int], list[int], list[int]]], stock: list[bool]) -> None:
    offsets = np.arange(len(users) + 1, dtype=np.int64) * 3
    seen = Ragged(offsets=offsets, values=matrix(*[s for _, _, s in users]).ravel())
    found = fuse(
        {"a": matrix(*[a for a, _, _ in users]), "b": matrix(*[b for _, b, _ in users])}, np.asarray(stock), seen
    )
    for user, (a, b, gone) in enumerate(users):
        rows = slice(found.items.offsets[user], found.items.offsets[user + 1])
        expected = sorted(i for i in {*a, *b} - set(gone) if i >= 0 and stock[i])
        assert found.items.values[rows].tolist() == expected
        assert found.sources[rows].tolist() == [(i in a) + 2 * (i in b) for i in expected]
