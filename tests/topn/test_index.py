"""The circle's catalogue as Top-N holds it: i0 to i5 have vectors, i6 and i7 have none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.candidates.ragged import Ragged
from recsys.config import TopNSettings
from recsys.features.history import F32, I32
from recsys.topn.index import build_index
from tests.topn.test_recommend import ITEMS, Circle, snapshot

STOCK = (True, False, True, True, False, True, True, False)


@dataclass(frozen=True)
class Listed(Circle):
    """The n-th item of a list has the vector (n, -n), counted from 1."""

    items: tuple[str, ...] = ()

    @property
    def vocabulary(self) -> Listed:
        return self

    def index(self, ids: Sequence[str]) -> I32:
        return np.asarray([self.items.index(i) + 1 if i in self.items else 0 for i in ids], dtype=np.int32)

    def item_vectors(self) -> F32:
        n = np.arange(1, len(self.items) + 1, dtype=np.float32)
        return np.stack([n, -n], axis=1)


def test_only_items_in_stock_with_a_vector_can_be_found() -> None:
    index = build_index(Circle(), snapshot(STOCK), TopNSettings())
    assert index.number.tolist() == [1, 2, 3, 4, 5, 6, 0, 0]
    assert index.known.tolist() == [True] * 6 + [False] * 2
    assert index.found.tolist() == [0, 2, 3, 5]
    assert index.found_place.tolist() == [0, -1, 1, 2, -1, 3, -1, -1, -1]
    angle = np.deg2rad([0, 60, 90, 150])
    np.testing.assert_allclose(index.found_vectors, np.stack([np.cos(angle), np.sin(angle)], axis=1), atol=1e-6)
    assert not index.vectors[6:].any()


def test_categories_are_numbered_by_name_and_none_is_unknown() -> None:
    shelf = replace(snapshot(), category=("toys", "home", None, "garden", "home", None, "toys", "zoo"))
    assert build_index(Circle(), shelf, TopNSettings()).category.tolist() == [2, 1, -1, 0, 1, -1, 2, 3]
    nameless = replace(snapshot(), category=(None,) * 8)
    assert build_index(Circle(), nameless, TopNSettings()).category.tolist() == [-1] * 8


def test_ids_are_looked_up_in_the_order_asked_and_strangers_are_in_no_search() -> None:
    index = build_index(Circle(), snapshot(STOCK), TopNSettings())
    rows = index.rows(["i5", "elsewhere", "i0", "i5", "i1", ""])
    assert rows.tolist() == [5, -1, 0, 5, 1, -1]
    assert index.found_place[rows].tolist() == [3, -1, 0, 3, -1, -1]  # row -1 reads the last place
    np.testing.assert_array_equal(index.rows([]), np.zeros(0, dtype=np.int64), strict=True)


@settings(max_examples=60)
@given(st.lists(st.sampled_from([*ITEMS, "gone", "new"]), unique=True), st.tuples(*[st.booleans()] * 8))
def test_each_row_has_the_vector_of_its_own_item(known: list[str], stock: tuple[bool, ...]) -> None:
    index = build_index(Listed(tuple(known)), snapshot(stock), TopNSettings())
    expected = [known.index(item) + 1 if item in known else 0 for item in ITEMS]
    assert index.number.tolist() == expected
    assert index.vectors.tolist() == [[n, -n] for n in expected]
    found = [row for row, n in enumerate(expected) if n and stock[row]]
    assert index.found.tolist() == found
    assert index.found_vectors.tolist() == [[expected[row], -expected[row]] for row in found]
    assert [index.found_place[row] for row in found] == list(range(len(found)))
    assert set(np.delete(index.found_place, found).tolist()) == {-1}
    assert index.rows(ITEMS).tolist() == list(range(8))


def test_an_encoder_that_knows_nothing_leaves_nothing_to_search() -> None:
    index = build_index(Listed(), snapshot(), TopNSettings())
    assert (index.vectors.shape, index.found_vectors.shape) == ((8, 2), (0, 2))
    assert not index.known.any()


def test_more_items_than_the_setting_are_searched_through_lists() -> None:
    few = build_index(Circle(), snapshot(STOCK), TopNSettings(exact_items=4))  # four can be found
    many = build_index(Circle(), snapshot(STOCK), TopNSettings(exact_items=3, recall=1.0))
    assert few.lists is None
    assert many.lists is not None
    nobody = Ragged(offsets=np.asarray([0, 0, 1]), values=np.asarray([0]))
    users = Circle().item_vectors()[[0, 0]]
    for index in (few, many):
        places, level = index.nearest(Circle(), users, 2, nobody)
        assert places.tolist() == [[0, 1], [1, 2]]
        np.testing.assert_array_equal(level, Circle().soft_maximum(users))  # of all items, not only what can be found


def test_vectors_are_contiguous_single_precision() -> None:
    index = build_index(Circle(), snapshot(STOCK), TopNSettings())
    for vectors in (index.vectors, index.found_vectors):
        assert vectors.dtype == np.float32
        assert vectors.flags.c_contiguous
