"""The inverted lists against the exact search."""

import json
import logging
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import normalize

from recsys.candidates.approximate import SAMPLE, Inverted, _among, between
from recsys.candidates.neighbours import top_k
from recsys.candidates.ragged import Ragged
from recsys.errors import ConfigError
from recsys.features.history import F32, I64

BOUND, K, WIDTH = 0.95, 200, 16


def cloud(size: int, seed: int = 0) -> F32:
    """Unit vectors, half of them without any order, half around 50 centres."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((size, WIDTH))
    centres = rng.standard_normal((50, WIDTH))
    vectors[size // 2 :] = centres[rng.integers(0, 50, size - size // 2)] + 0.3 * vectors[size // 2 :]
    return np.asarray(normalize(vectors), dtype=np.float32)


def nothing(queries: int) -> Ragged:
    return Ragged(offsets=np.zeros(queries + 1, dtype=np.int64), values=np.zeros(0, dtype=np.int64))


def seen_by(queries: int, size: int, seed: int = 0) -> Ragged:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 9, queries)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(offsets=offsets, values=rng.integers(-1, size + 1, int(offsets[-1])))


@pytest.fixture(scope="module")
def lists() -> Inverted:
    torch.set_num_threads(1)
    return Inverted(VECTORS, K, BOUND)


VECTORS = cloud(50_000)


def test_recall_is_above_the_bound_for_users_that_it_was_not_measured_with(lists: Inverted) -> None:
    assert BOUND <= lists.recall <= 1
    assert lists.read < 0.3 * int(2 * len(VECTORS) ** 0.5)  # of the lists: otherwise there is nothing to gain
    rng = np.random.default_rng(7)
    users = np.asarray(normalize(VECTORS[rng.integers(0, 50_000, 300)] + VECTORS[rng.integers(0, 50_000, 300)]), "f4")
    for queries, least in ((users, BOUND - 0.02), (VECTORS[::200], BOUND)):
        right, _ = top_k(queries, VECTORS, K)
        found, scores = lists.top_k(queries, K, nothing(len(queries)))
        assert np.mean([len(np.intersect1d(a, b)) for a, b in zip(found, right, strict=True)]) / K > least
        np.testing.assert_allclose(scores, np.einsum("pd,pkd->pk", queries, VECTORS[found]), atol=1e-5)
        assert (np.diff(scores, axis=1) <= 0).all()
    again = Inverted(VECTORS, K, BOUND)
    np.testing.assert_array_equal(again.top_k(users, K, nothing(300))[0], lists.top_k(users, K, nothing(300))[0])


def test_what_was_seen_never_comes_back_and_every_place_is_filled(lists: Inverted) -> None:
    queries = VECTORS[:64]
    own, _ = lists.top_k(queries, 20, nothing(64))
    seen = Ragged(offsets=np.arange(0, 64 * 14 + 1, 14), values=own[:, :14].ravel())
    found, _ = lists.top_k(queries, K, seen)
    for row, forbidden in zip(found, own[:, :14], strict=True):
        assert not set(row.tolist()) & set(forbidden.tolist())
        assert len(set(row.tolist())) == K
        assert row.min() >= 0
    assert (found[:, 0] == own[:, 14]).all()  # the best that is left


def test_where_all_lists_are_read_it_equals_the_exact_search() -> None:
    vectors = cloud(3_000, 1)
    whole, queries, exclude = Inverted(vectors, 10, 1.0), cloud(40, 2), seen_by(40, 3_000)
    whole.read = 1 << 20
    for k in (1, 10, 100):
        assert np.array_equal(whole.top_k(queries, k, exclude)[0], top_k(queries, vectors, k, exclude=exclude)[0])


def test_equal_scores_come_by_ascending_index() -> None:
    """Each vector 40 times: lists end within a run of equal scores."""
    vectors = np.tile(cloud(60, 3), (40, 1))
    index, queries = Inverted(vectors, 10, 0.9), cloud(60, 3)
    found, scores = index.top_k(queries, 10, nothing(60))
    assert np.array_equal(found, np.arange(10) * 60 + np.arange(60)[:, None])
    assert scores == pytest.approx(1.0, abs=1e-5)


def test_a_query_whose_lists_are_too_short_is_answered_exactly(lists: Inverted) -> None:
    queries, wide = VECTORS[:5], 4_000
    lists_read, lists.read = lists.read, 1
    found, scores = lists.top_k(queries, wide, nothing(5))
    lists.read = lists_read
    right, best = top_k(queries, VECTORS, wide)
    np.testing.assert_array_equal(found, right)
    np.testing.assert_array_equal(scores, best)


def test_a_query_of_zeros_gets_nothing_and_no_query_no_row(lists: Inverted) -> None:
    queries = np.stack([VECTORS[0], np.zeros(WIDTH, np.float32)])
    found, scores = lists.top_k(queries, 3, nothing(2))
    assert found[0, 0] == 0
    assert found[1].tolist() == [-1, -1, -1]
    assert np.isneginf(scores[1]).all()
    assert lists.top_k(queries[:0], 3, nothing(0))[0].shape == (0, 3)
    assert lists.top_k(queries, 0, nothing(2))[0].shape == (2, 0)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_handful_of_vectors(size: int) -> None:
    vectors = cloud(size, 4)
    index = Inverted(vectors, K, BOUND)
    assert index.recall == 1
    found, _ = index.top_k(vectors, 3, nothing(size))
    assert np.array_equal(found, top_k(vectors, vectors, 3)[0])


def test_what_was_measured_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "recsys"):
        index = Inverted(cloud(2_000, 5), 20, 0.8)
    (record,) = (r for r in caplog.records if r.getMessage() == "approximate index built")
    told = vars(record)["fields"]
    assert (told["items"], told["k"], told["read"]) == (2_000, 20, index.read)
    assert told["recall"] == pytest.approx(index.recall, abs=1e-4)
    json.dumps(told)


def test_queries_lie_halfway_to_a_random_direction() -> None:
    queries = between(VECTORS, np.random.default_rng(0))
    assert queries.shape == (SAMPLE, WIDTH)
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, atol=1e-5)
    assert (queries @ VECTORS.T).max(axis=1).mean() == pytest.approx(0.8, abs=0.1)


@settings(max_examples=60)
@given(st.lists(st.lists(st.integers(-1, 6), max_size=5), min_size=1, max_size=4), st.integers(0, 99))
def test_membership_equals_a_plain_loop(rows: list[list[int]], seed: int) -> None:
    found: I64 = np.random.default_rng(seed).integers(-1, 6, (len(rows), 5))
    flat = [value for row in rows for value in row]
    lists = Ragged(offsets=np.cumsum([0, *map(len, rows)]).astype(np.int64), values=np.asarray(flat, np.int64))
    expected = [[value >= 0 and value in row for value in mine] for mine, row in zip(found.tolist(), rows, strict=True)]
    assert _among(found, lists, 6).tolist() == expected


def test_without_the_library_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(
        ConfigError, match=r"10 items are more than topn\.exact_items, .*pip install faiss-cpu, or raise"
    ):
        Inverted(cloud(10), 3, BOUND)


def test_one_who_has_seen_a_great_deal_is_answered_exactly(lists: Inverted) -> None:
    queries, seen = VECTORS[:2], top_k(VECTORS[:1], VECTORS, 30_000)[0][0]
    exclude = Ragged(offsets=np.asarray([0, len(seen), len(seen)]), values=seen)
    found, _ = lists.top_k(queries, K, exclude)
    assert np.array_equal(found[0], top_k(queries, VECTORS, K, exclude=exclude)[0][0])
    assert np.array_equal(found[1], lists.top_k(queries[1:], K, nothing(1))[0][0])
