"""The leave-one-out test on vectors that can be ranked by hand, and the cut of histories."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks._beauty import BLOCK, histories, moments, nearest, quality
from benchmarks.encoder_speed import subset

ROWS = [["a", "b", "c"], ["c", "a"], ["b", "d", "e", "a"]]


def test_rows_become_histories() -> None:
    h = histories(ROWS)
    assert h.offsets.tolist() == [0, 3, 5, 9]
    assert [h.items[i] for i in h.item] == ["a", "b", "c", "c", "a", "b", "d", "e", "a"]


def test_moments_keep_each_users_order() -> None:
    rows = [["x"] * 50, ["y"] * 30]
    time = moments(rows, 1)
    assert np.all(np.diff(time[:50]) >= 0)
    assert np.all(np.diff(time[50:]) >= 0)
    assert np.array_equal(time, moments(rows, 1))
    assert not np.array_equal(time, moments(rows, 2))


def test_the_nearest_unseen_items_come_first() -> None:
    items = np.eye(4, dtype=np.float32)
    users = np.repeat(np.array([[0.9, 0.5, 0.7, 0.1]], dtype=np.float32), 4, axis=0)
    # histories [0, 1], [2], [3, 3], [-1, 1]; the last of each is the test
    index = np.array([0, 1, 2, 3, 3, -1, 1], dtype=np.int32)
    offsets = np.array([0, 2, 3, 5, 7], dtype=np.int64)
    assert nearest(users, items, index, offsets, 2).tolist() == [[2, 1], [0, 2], [0, 2], [0, 2]]


def test_blocks_change_no_list() -> None:
    rng = np.random.default_rng(0)
    size = BLOCK + 3
    queries = rng.normal(size=(size, 5)).astype(np.float32)
    items = rng.normal(size=(20, 5)).astype(np.float32)
    index = rng.integers(0, 20, size).astype(np.int32)
    expected = np.argsort(-(queries @ items.T), axis=1)[:, :3]
    assert nearest(queries, items, index, np.arange(size + 1), 3).tolist() == expected.tolist()


def test_quality_by_hand() -> None:
    # wanted: c (2), a (0), a (0); found at the 1st place, the 3rd, nowhere; 4 of 5 items are in a list
    top = np.array([[2, 1, 3], [3, 1, 0], [3, 1, 2]])
    found = quality(top, ROWS)
    assert (found.recall, found.ndcg, found.coverage) == pytest.approx((2 / 3, (1 + 1 / 2) / 3, 4 / 5))


def test_a_subset_drops_users_and_items_that_it_no_longer_has() -> None:
    h = histories(ROWS, np.arange(9, dtype=np.int64))
    keep = np.array([1, 0, 1, 0, 0, 0, 1, 0, 1], dtype=np.bool_)
    part = subset(h, keep)
    assert part.offsets.tolist() == [0, 2, 4]
    assert [part.items[i] for i in part.item] == ["a", "c", "d", "a"]
    assert part.items == ("a", "c", "d")
    assert part.time.tolist() == [0, 2, 6, 8]
