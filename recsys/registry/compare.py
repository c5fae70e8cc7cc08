"""Is the challenger better? Paired scores on the same requests, resampled by user. NumPy only.

Shape letters: Q requests, U users, B resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.errors import NoDataError
from recsys.features.history import F64, I64


@dataclass(frozen=True, kw_only=True, eq=False)
class Paired:
    """One metric of two models on the same requests of the newest time slice."""

    metric: str  # a larger value is better
    challenger: F64  # [Q]
    champion: F64  # [Q]
    user: I64  # [Q] a number of the user: requests of one user are resampled together


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Means of both, the gain with its 95% bootstrap interval, and the share of resamples with a gain above 0."""

    metric: str
    requests: int
    users: int
    challenger: float
    champion: float
    gain: float
    low: float
    high: float
    ahead: float

    def sentence(self) -> str:
        """The figures in words."""
        return (
            f"{self.metric} {self.challenger:.4f} against {self.champion:.4f} on {self.requests} requests of "
            f"{self.users} users: gain {self.gain:+.4f} [{self.low:+.4f}, {self.high:+.4f}], "
            f"ahead in {self.ahead:.1%} of resamples"
        )


def compare(paired: Paired, seed: int, resamples: int) -> Comparison:
    """Resample users with replacement; a resample's gain is the mean difference over its requests.

    Raises NoDataError: no request.
    """
    if not len(paired.challenger):
        raise NoDataError("There is no request in the newest time slice to compare the models on.")
    difference = paired.challenger - paired.champion
    users, inverse = np.unique(paired.user, return_inverse=True)
    total = np.bincount(inverse, weights=difference)  # [U]
    count = np.bincount(inverse)  # [U]
    random = np.random.default_rng(seed)
    gains = np.empty(resamples)
    for place in range(resamples):  # one resample at a time: memory of U, not of U x B
        drawn = random.integers(0, len(users), len(users))
        gains[place] = total[drawn].sum() / count[drawn].sum()
    low, high = np.quantile(gains, [0.025, 0.975])
    return Comparison(
        metric=paired.metric,
        requests=len(difference),
        users=len(users),
        challenger=float(paired.challenger.mean()),
        champion=float(paired.champion.mean()),
        gain=float(difference.mean()),
        low=float(low),
        high=float(high),
        ahead=float((gains > 0).mean()),
    )
