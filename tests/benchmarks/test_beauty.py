"""The leave-one-out test on vectors that can be ranked by hand, and the cut of histories."""

from __future__ import annotations

import numpy as np

from benchmarks._beauty import BLOCK, histories, moments, ranked
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


def test_a_rank_counts_the_better_unseen_items() -> None:
    items = np.eye(4, dtype=np.float32)
    query = np.array([[0.9, 0.5, 0.7, 0.1]], dtype=np.float32)
    users = np.repeat(query, 4, axis=0)
    index = np.array(
        [0, 1, 2, 3, 3, -1, 1], dtype=np.int32
    )  # histories [0, 1], [2], [3, 3], [-1, 1]; the last is the test
    offsets = np.array([0, 2, 3, 5, 7], dtype=np.int64)
    # User 0 has seen item 0, so only 0.7 beats 0.5. User 1 has 0.9 ahead. User 3: 0.9 and 0.7.
    assert ranked(users, items, index, offsets)[[0, 1, 3]].tolist() == [1, 1, 2]


def test_blocks_change_no_rank() -> None:
    rng = np.random.default_rng(0)
    size = BLOCK + 3
    queries = rng.normal(size=(size, 5)).astype(np.float32)
    items = rng.normal(size=(20, 5)).astype(np.float32)
    index = rng.integers(0, 20, size).astype(np.int32)
    scores = queries @ items.T
    expected = (scores > scores[np.arange(size), index][:, None]).sum(axis=1)
    assert ranked(queries, items, index, np.arange(size + 1)).tolist() == expected.tolist()


def test_a_subset_drops_users_and_items_that_it_no_longer_has() -> None:
    h = histories(ROWS, np.arange(9, dtype=np.int64))
    keep = np.array([1, 0, 1, 0, 0, 0, 1, 0, 1], dtype=np.bool_)
    part = subset(h, keep)
    assert part.offsets.tolist() == [0, 2, 4]
    assert [part.items[i] for i in part.item] == ["a", "c", "d", "a"]
    assert part.items == ("a", "c", "d")
    assert part.time.tolist() == [0, 2, 6, 8]
