from math import exp, factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.monitor.bootstrap import bootstrap, interval, weights


def test_weights_are_poisson_with_mean_one() -> None:
    drawn = weights(np.arange(2000), seed=1, resamples=100)
    assert (drawn[:, 0] == 1).all()
    share = np.bincount(drawn[:, 1:].astype(np.int64).ravel(), minlength=5)[:5] / drawn[:, 1:].size
    assert share.tolist() == pytest.approx([exp(-1) / factorial(n) for n in range(5)], abs=0.005)
    between_users = np.corrcoef(drawn[:-1, 1:].ravel(), drawn[1:, 1:].ravel())[0, 1]
    assert abs(between_users) < 0.01


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=6), st.integers(0, 2**40))
def test_a_user_has_the_same_weights_in_any_split(users: list[int], seed: int) -> None:
    whole = weights(np.asarray(users), seed, 20)
    parts = [weights(np.asarray([user]), seed, 20) for user in users]
    assert np.array_equal(whole, np.concatenate(parts))


def test_another_seed_draws_other_weights() -> None:
    users = np.arange(50)
    assert not np.array_equal(weights(users, 1, 20), weights(users, 2, 20))


def test_interval_of_a_mean_has_the_width_of_theory() -> None:
    values = np.random.default_rng(3).normal(10, 2, 4000)
    found = bootstrap(values, np.arange(4000), seed=5)
    error = values.std() / 4000**0.5
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.4 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.4 * error)


def test_requests_of_one_user_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(3).normal(0, 1, 400)
    one = bootstrap(values, np.arange(400), seed=5)
    ten = bootstrap(np.repeat(values, 10), np.repeat(np.arange(400), 10), seed=5)
    assert (ten.low, ten.high) == pytest.approx((one.low, one.high))


def test_unknown_values_are_left_out() -> None:
    found = bootstrap(np.asarray([1.0, np.nan, 3.0]), np.asarray([1, 2, 3]), seed=1)
    assert found.value == 2
    assert 1 <= found.low <= found.high <= 3


def test_nothing_measured_is_unknown() -> None:
    assert np.isnan(bootstrap(np.asarray([]), np.asarray([], dtype=np.int64), seed=1).value)
    assert np.isnan(interval(np.zeros(3), np.zeros(3)).value)
