import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.candidates import neighbours
from recsys.candidates.neighbours import largest, top_k, top_k_and
from recsys.candidates.ragged import Ragged
from recsys.features.history import F32, I64


def oracle(scores: F32, k: int) -> I64:
    """The definition: a stable sort by descending score, so that equal scores keep ascending index."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int64)


def whole_numbers(rng: np.random.Generator, rows: int, width: int, high: int = 2) -> F32:
    """Small integers: their products are exact and often equal, so that ties are common."""
    return rng.integers(-high, high + 1, (rows, width)).astype(np.float32)


@settings(max_examples=60)
@given(st.integers(0, 1 << 30), st.integers(1, 300), st.integers(1, 40), st.integers(1, 5))
def test_equals_a_stable_sort_with_many_ties(seed: int, count: int, k: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    queries, vectors = whole_numbers(rng, 7, width), whole_numbers(rng, count, width)
    indices, scores = top_k(queries, vectors, k)
    filled = min(k, count)
    expected = oracle(queries @ vectors.T, filled)
    assert np.array_equal(indices[:, :filled], expected)
    assert np.array_equal(scores[:, :filled], np.take_along_axis(queries @ vectors.T, expected, axis=1))
    assert (indices[:, filled:] == -1).all()
    assert np.isneginf(scores[:, filled:]).all()


def test_blocks_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    queries, vectors = whole_numbers(rng, 100, 8), whole_numbers(rng, 500, 8)
    whole, _ = top_k(queries, vectors, 10)
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", 1)
    assert np.array_equal(top_k(queries, vectors, 10)[0], whole)


def test_excluded_indices_never_come_back() -> None:
    queries = np.asarray([[1.0], [1.0], [1.0]], dtype=np.float32)
    vectors = np.asarray([[3.0], [2.0], [1.0]], dtype=np.float32)
    forbidden = Ragged(offsets=np.asarray([0, 1, 1, 5]), values=np.asarray([0, 0, 1, 2, 99]))
    indices, scores = top_k(queries, vectors, 2, exclude=forbidden)
    assert indices.tolist() == [[1, 2], [0, 1], [-1, -1]]
    assert scores.tolist() == [[2.0, 1.0], [3.0, 2.0], [-np.inf, -np.inf]]


def test_cosine_ignores_length() -> None:
    queries = np.asarray([[0.0, 2.0]], dtype=np.float32)
    vectors = np.asarray([[0.0, 5.0], [30.0, 40.0], [9.0, 0.0], [0.0, 0.0]], dtype=np.float32)
    indices, scores = top_k(queries, vectors, 4, metric="cosine")
    assert indices.tolist() == [[0, 1, 2, 3]]
    assert scores[0].tolist() == pytest.approx([1.0, 4 / 5, 0.0, 0.0])


@settings(max_examples=60)
@given(st.integers(0, 1 << 30), st.integers(1, 300), st.integers(0, 300), st.integers(0, 40))
def test_the_first_rows_are_searched_and_all_are_asked(seed: int, count: int, first: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    queries, vectors = whole_numbers(rng, 7, 3), whole_numbers(rng, count, 3)
    first = min(first, count)
    forbidden = Ragged(offsets=np.arange(8), values=rng.integers(-1, count, 7))
    indices, told = top_k_and(queries, vectors, first, k, forbidden, lambda product: product.amin(dim=1))
    assert np.array_equal(indices, top_k(queries, vectors[:first], k, exclude=forbidden)[0])
    assert np.array_equal(told, (queries @ vectors.T).min(axis=1))


@pytest.mark.parametrize(("queries", "vectors", "k"), [(0, 3, 2), (2, 0, 2), (2, 3, 0)])
def test_nothing_to_search(queries: int, vectors: int, k: int) -> None:
    indices, scores = top_k(np.zeros((queries, 4), np.float32), np.zeros((vectors, 4), np.float32), k)
    assert indices.shape == scores.shape == (queries, k)
    assert (indices == -1).all()


def test_largest_orders_signs_zeros_and_infinities() -> None:
    scores = torch.tensor([[-0.0, 0.0, -1.5, torch.inf, -torch.inf, 2.0]])
    columns, values = largest(scores, 6)
    assert columns.tolist() == [[3, 5, 0, 1, 2, 4]]
    assert values.tolist() == [[torch.inf, 2.0, 0.0, 0.0, -1.5, -torch.inf]]
