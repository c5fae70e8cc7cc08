import numpy as np
import pytest

from recsys.errors import BundleError, NoDataError
from recsys.features.history import F32
from recsys.ranking.standardise import LIMIT, fit, signed_log1p

E1 = float(np.e - 1)  # log1p of it is 1


def column(*values: float) -> F32:
    return np.asarray(values, dtype=np.float32)[:, None]


def test_signed_log1p_keeps_signs_and_zero() -> None:
    assert signed_log1p(np.asarray([0.0, E1, -E1], dtype=np.float32)).tolist() == pytest.approx([0.0, 1.0, -1.0])


def test_mean_and_scale_ignore_missing_values_and_an_indicator_marks_them() -> None:
    s = fit(column(-E1, E1, np.nan), ("a",))
    assert s.mean.tolist() == pytest.approx([0.0])
    assert s.scale.tolist() == pytest.approx([1.0])
    assert s.indicator.tolist() == [0]
    assert s.inputs == 2
    # ln(1 + (e^2 - 1)) = 2 standard deviations; the missing one becomes the mean
    assert s.apply(column(np.e**2 - 1, np.nan)).tolist() == [pytest.approx([2.0, 0.0]), [0.0, 1.0]]


def test_a_constant_and_a_never_known_feature_become_zero_without_indicator() -> None:
    s = fit(np.asarray([[5.0, np.nan], [5.0, np.nan]], dtype=np.float32), ("a", "b"))
    assert s.indicator.tolist() == []
    assert s.apply(np.asarray([[5.0, np.nan]], dtype=np.float32)).tolist() == [[0.0, 0.0]]


def test_extreme_values_are_limited() -> None:
    s = fit(column(-E1, E1), ("a",))
    assert s.apply(column(1e30, -np.inf, np.inf)).ravel().tolist() == [LIMIT, -LIMIT, LIMIT]


def test_faults_are_named() -> None:
    with pytest.raises(NoDataError, match="no examples"):
        fit(np.zeros((0, 1), dtype=np.float32), ("a",))
    with pytest.raises(BundleError, match="2 feature names"):
        fit(column(1.0), ("a", "b"))
    with pytest.raises(BundleError, match="reads 1 features"):
        fit(column(1.0), ("a",)).apply(np.zeros((1, 2), dtype=np.float32))
