"""Figures against independent libraries, and what they can not see."""

import numpy as np
import pytest
from scipy import stats
from sklearn.feature_selection import mutual_info_classif

from recsys.features.history import F32
from recsys.ranking.filters import QUANTILES, buckets, measure, rank_correlation
from recsys.ranking.selected import Measured

NAMES = ("tells", "copy", "noise", "flag", "constant", "unknown")


def data(rows: int = 6000) -> tuple[F32, F32]:
    """The label follows `tells` and its copy, and more often comes with `flag`; the others say nothing."""
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 6)).astype(np.float32)
    y = (random.random(rows) < 1 / (1 + np.exp(-1.5 * x[:, 0]))).astype(np.float32)
    x[:, 1] = np.exp(-x[:, 0])
    x[:, 3] = random.random(rows) < 0.03 + 0.05 * y
    x[:, 4], x[:, 5] = 7, np.nan
    x[: rows // 4, 2] = np.nan
    return x, y


def figures() -> dict[str, Measured]:
    x, y = data()
    return {one.feature: one for one in measure(x, y, NAMES, rank_correlation(x))}


def test_rank_correlation_is_spearmans_of_what_both_know() -> None:
    x, _ = data()
    found = rank_correlation(x)
    both = ~np.isnan(x[:, 2])
    assert found[0, 2] == pytest.approx(stats.spearmanr(x[both, 0], x[both, 2]).statistic, abs=1e-9)
    assert found[0, 1] == pytest.approx(-1)
    assert np.isnan(found[0, 4])
    assert np.isnan(found[0, 5])
    assert (figures()["tells"].partner, figures()["copy"].partner) == ("copy", "tells")
    assert (figures()["constant"].partner, figures()["constant"].correlation) == ("", None)


def test_mutual_information_is_that_of_another_estimator() -> None:
    x, y = data()
    (oracle,) = mutual_info_classif(x[:, :1], y, random_state=0)  # by nearest neighbours
    assert figures()["tells"].mutual_information == pytest.approx(oracle, abs=0.01)
    assert oracle > 0.1
    for useless in ("noise", "constant", "unknown"):
        assert figures()[useless].mutual_information < 1e-3  # type: ignore[operator]


def test_chi2_is_pearsons_test_on_the_buckets() -> None:
    x, y = data()
    for column, name in enumerate(("tells", "copy", "noise", "flag")):
        codes = buckets(x)[:, column]
        observed = stats.contingency.crosstab(y, codes).count
        oracle = stats.chi2_contingency(observed, correction=False)
        assert figures()[name].chi2 == pytest.approx(oracle.statistic)
        assert figures()[name].p_value == pytest.approx(oracle.pvalue)
    assert figures()["flag"].p_value < 1e-6  # type: ignore[operator]
    assert figures()["noise"].p_value > 0.01  # type: ignore[operator]
    assert (figures()["constant"].chi2, figures()["constant"].p_value) == (0, 1)


def test_unknown_is_a_bucket_of_its_own() -> None:
    x, _ = data()
    assert set(buckets(x)[:1500, 2]) == {QUANTILES}
    assert set(buckets(x)[1500:, 2]) == set(range(QUANTILES))
    assert set(buckets(x)[:, 3]) == {0, 1}
