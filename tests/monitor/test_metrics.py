from fractions import Fraction
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from recsys.candidates.ragged import Ragged, from_padded
from recsys.monitor import metrics

# request 0: true {1, 2, 9}, hits at places 1 and 3; request 1: true {5}, no hit; request 2: true {7}, list of one, hit
RECOMMENDED = np.asarray([[2, 4, 1, 0], [1, 2, 3, 4], [7, -1, -1, -1]])
TRUTH = Ragged(offsets=np.asarray([0, 3, 4, 5]), values=np.asarray([1, 2, 9, 5, 7]))
HIT = metrics.hits(RECOMMENDED, TRUTH)


def fractions(values: list[float]) -> list[Fraction]:
    return [Fraction(v).limit_denominator(1000) for v in values]


def test_hits() -> None:
    assert HIT.tolist() == [[True, False, True, False], [False] * 4, [True, False, False, False]]
    nobody = Ragged(offsets=np.asarray([0, 0]), values=np.asarray([], dtype=np.int64))
    assert metrics.hits(np.asarray([[1, -1]]), nobody).tolist() == [[False, False]]


def test_recall_divides_by_all_true_items() -> None:
    assert fractions(metrics.recall_at(HIT, TRUTH.lengths, 2).tolist()) == [Fraction(1, 3), 0, 1]
    assert fractions(metrics.recall_at(HIT, TRUTH.lengths, 4).tolist()) == [Fraction(2, 3), 0, 1]
    assert fractions(metrics.recall_at(HIT, TRUTH.lengths, 20).tolist()) == [Fraction(2, 3), 0, 1]


def test_hit_rate() -> None:
    assert metrics.hit_rate_at(HIT, 1).tolist() == [1, 0, 1]


def test_ndcg_by_hand() -> None:
    second, third = 1 / log2(3), Fraction(1, 2)  # discounts of places 2 and 3
    at_4 = (1 + third) / (1 + second + third)  # three true items, ideal places 1, 2, 3
    assert metrics.ndcg_at(HIT, TRUTH.lengths, 4).tolist() == pytest.approx([at_4, 0, 1])
    at_2 = 1 / (1 + second)  # ideal is cut at k = 2
    assert metrics.ndcg_at(HIT, TRUTH.lengths, 2).tolist() == pytest.approx([at_2, 0, 1])


def test_coverage_counts_items_once() -> None:
    assert Fraction(metrics.coverage_at(RECOMMENDED, 10, 2)).limit_denominator(100) == Fraction(4, 10)  # 2 4 1 7
    assert Fraction(metrics.coverage_at(RECOMMENDED, 10, 4)).limit_denominator(100) == Fraction(6, 10)


def test_novelty_in_bits() -> None:
    popularity = np.asarray([3, 1, 0])  # (n + 1) / (4 + 3): 4/7, 2/7, 1/7
    found = metrics.novelty_at(np.asarray([[0, 1, 2], [2, -1, -1], [-1, -1, -1]]), popularity, 2)
    assert found.tolist() == pytest.approx([(log2(7 / 4) + log2(7 / 2)) / 2, log2(7), 0])


def test_auc_by_hand() -> None:
    score, label = np.asarray([0.9, 0.5, 0.5, 0.1]), np.asarray([True, True, False, False])
    # pairs: 0.9 beats both; 0.5 ties one (half) and beats one: 3.5 of 4
    assert Fraction(metrics.auc(score, label)) == Fraction(7, 8)
    assert np.isnan(metrics.auc(score, np.ones(4, dtype=np.bool_)))
    assert np.isnan(metrics.auc(score[:0], label[:0]))


def test_group_auc_leaves_one_sided_groups_unknown() -> None:
    score = np.asarray([0.2, 0.8, 0.6, 0.3, 0.7])
    label = np.asarray([False, True, True, True, False])
    groups, found = metrics.group_auc(score, label, np.asarray([7, 7, 5, 3, 3]))
    assert groups.tolist() == [3, 5, 7]
    assert found[[0, 2]].tolist() == [0, 1]
    assert np.isnan(found[1])


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.integers(0, 2)), min_size=1, max_size=40))
def test_auc_equals_sklearn_in_every_group(rows: list[tuple[int, bool, int]]) -> None:
    score, label, group = (np.asarray(column) for column in zip(*rows, strict=True))
    for g, found in zip(*metrics.group_auc(score / 7, label, group), strict=True):
        inside = group == g
        both = len(set(label[inside].tolist())) == 2
        expected = roc_auc_score(label[inside], score[inside]) if both else np.nan
        assert found == pytest.approx(expected, nan_ok=True)


@settings(max_examples=50)
@given(st.permutations(range(8)), st.sets(st.integers(0, 7), min_size=1), st.integers(1, 8))
def test_ndcg_equals_sklearn(order: list[int], relevant: set[int], k: int) -> None:
    truth = from_padded(np.asarray([sorted(relevant)]))
    found = metrics.ndcg_at(metrics.hits(np.asarray([order]), truth), truth.lengths, k)
    gains = np.isin(np.arange(8), list(relevant))
    scores = -np.argsort(order).astype(np.float64)
    assert found[0] == pytest.approx(ndcg_score([gains], [scores], k=k))
