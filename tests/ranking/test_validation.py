import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.calibration import calibration_curve

from recsys.errors import NoDataError
from recsys.ranking.validation import area_under_curve, logloss, reliability, split


def test_the_newest_requests_are_held_out_whole() -> None:
    request = np.asarray([7, 7, 3, 3, 5, 5, 9, 9])
    at = np.asarray([10, 10, 20, 20, 30, 30, 40, 40])
    assert split(request, at, 0.25).tolist() == [True] * 6 + [False] * 2
    assert split(request, at, 0.3).tolist() == [True] * 4 + [False] * 4  # the request at the cut is not divided


def test_two_moments_are_always_divided_between_them() -> None:
    assert split(np.asarray([0, 1, 2]), np.asarray([1, 1, 2]), 0.9).tolist() == [True, True, False]


@pytest.mark.parametrize("count", [0, 3])
def test_one_moment_cannot_be_divided(count: int) -> None:
    with pytest.raises(NoDataError, match="one moment"):
        split(np.arange(count), np.full(count, 5), 0.1)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=40))
def test_area_under_curve_and_logloss_agree_with_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    y = np.asarray([a for a, _ in rows], dtype=np.float32)
    score = np.asarray([(b + 1) / 8 for _, b in rows], dtype=np.float32)
    if y.min() == y.max():
        assert np.isnan(area_under_curve(y, score))
    else:
        assert area_under_curve(y, score) == pytest.approx(metrics.roc_auc_score(y, score))
        assert logloss(y, score) == pytest.approx(metrics.log_loss(y, score.astype(np.float64)), rel=1e-6)


def test_reliability_of_four_examples_by_hand() -> None:
    found = reliability(np.asarray([1, 0, 1, 0], dtype=np.float32), np.asarray([0.75, 0.25, 1, 0], dtype=np.float32), 2)
    assert found.predicted.tolist() == [0.125, 0.875]
    assert found.observed.tolist() == [0, 1]
    assert found.error == 0.125
    assert reliability(np.ones(1, dtype=np.float32), np.ones(1, dtype=np.float32)).examples.tolist() == [1]


def test_reliability_agrees_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    p = random.permutation(np.linspace(0, 0.9, 20_000)).astype(np.float32)
    y = (random.random(20_000) < p).astype(np.float32)
    observed, predicted = calibration_curve(y, p, n_bins=10, strategy="quantile")
    found = reliability(y, p)
    np.testing.assert_allclose(found.observed, observed, atol=1e-9)
    np.testing.assert_allclose(found.predicted, predicted, atol=1e-6)
    assert found.error < 0.03  # drawn with these chances
    assert reliability(y, (p / 3).astype(np.float32)).error > 0.2


def test_weights_count_examples() -> None:
    y, p = np.asarray([1, 0, 1, 0], np.float32), np.asarray([0.5, 0.5, 0.75, 0.75], np.float32)
    weight = np.asarray([3, 1, 1, 1], np.float32)
    # 4 of weight 6 cost ln 2; one each -ln .75 and -ln .25
    assert logloss(y, p, weight) == pytest.approx((4 * np.log(2) - np.log(0.75) - np.log(0.25)) / 6)
    found = reliability(y, p, bins=2, weight=weight)
    assert found.predicted.tolist() == [0.5, 0.75]
    assert found.observed.tolist() == [0.75, 0.5]
    assert found.examples.tolist() == [2, 2]
    assert found.error == pytest.approx(0.25)
