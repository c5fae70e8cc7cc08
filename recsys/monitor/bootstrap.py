"""Bootstrap intervals over users whose sums can be added up on many machines. NumPy only.

A user's weight in resample b is a Poisson(1) number that depends on (user, b, seed) alone. It approaches the
multinomial bootstrap as users grow (Chamandy et al. 2012, "Estimating Uncertainty for Massive Data Streams"), needs no
list of all users, and any split of the requests gives the same weights. All requests of a user share them, so requests
of one user count as what they are: not independent.

Shape letters: R requests, B resamples, M metrics.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.features.history import F64, I64

RESAMPLES = 500
LEVEL = 0.95
U64 = npt.NDArray[np.uint64]
# P(Poisson(1) <= n) for n = 0..15; beyond lies less than 1e-14.
_CUMULATIVE = np.cumsum(np.exp(-1.0) / np.cumprod(np.concatenate([[1.0], np.arange(1.0, 16.0)])))


@dataclass(frozen=True)
class Interval:
    """A mean with the bounds of its bootstrap interval."""

    value: float
    low: float
    high: float


def weights(users: I64, seed: int, resamples: int = RESAMPLES) -> F64:
    """[R, B + 1] how often each request counts: column 0 is 1 (the estimate itself), the others Poisson(1) by user.

    `users` [R] are any 64-bit hashes or numbers of the users.
    """
    base = _mix(users.astype(np.int64).view(np.uint64) ^ _mix(np.asarray([seed], dtype=np.int64).view(np.uint64)))
    drawn = _mix(base[:, None] + _mix(np.arange(resamples, dtype=np.uint64) + np.uint64(1)))
    uniform = (drawn >> np.uint64(11)).astype(np.float64) / 2.0**53
    counts = np.searchsorted(_CUMULATIVE, uniform, side="right").astype(np.float64)
    return np.concatenate([np.ones((len(users), 1)), counts], axis=1)


def interval(totals: F64, counts: F64, level: float = LEVEL) -> Interval:
    """The mean totals[0] / counts[0], and the percentile interval of the resamples' means.

    `totals` [B + 1] are weighted sums of a metric, `counts` [B + 1] the sums of the weights. Resamples that drew nobody
    are left out; NaN where nothing was measured.
    """
    if not len(counts) or counts[0] == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    drawn = counts[1:] > 0
    means = totals[1:][drawn] / counts[1:][drawn]
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail]) if len(means) else (np.nan, np.nan)
    return Interval(float(totals[0] / counts[0]), float(low), float(high))


def bootstrap(values: F64, users: I64, seed: int, resamples: int = RESAMPLES) -> Interval:
    """Mean of `values` [R] with its 95% interval; `values` may be a paired difference. NaN values are left out."""
    known = ~np.isnan(values)
    weight = weights(users[known], seed, resamples)
    return interval(values[known] @ weight, weight.sum(axis=0))


def _mix(x: U64) -> U64:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014): neighbouring numbers become unrelated ones."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(x ^ (x >> np.uint64(31)))
