"""The newest slice of the examples, and the figures that training watches on it. NumPy only.

Shape letters: N examples, B bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.errors import NoDataError
from recsys.features.history import F32, F64, I64

Bool = npt.NDArray[np.bool_]
BINS = 10  # of a reliability diagram


@dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """Predicted beside observed shares, in B bins of about equally many examples, by ascending probability."""

    predicted: F64  # [B] mean probability
    observed: F64  # [B] share of positives
    examples: I64  # [B]

    @property
    def error(self) -> float:
        """Expected calibration error (Naeini et al. 2015, section 3; here with bins of equal mass): 0 is calibrated."""
        return float(np.average(np.abs(self.predicted - self.observed), weights=self.examples))


def split(request: I64, at: I64, share: float) -> Bool:
    """[N] True for training. The newest `share` of the examples is held out; a request or a moment is never divided.

    NoDataError: all examples belong to one moment.
    """
    _, inverse = np.unique(request, return_inverse=True)
    newest = np.full(inverse.max(initial=-1) + 1, np.iinfo(np.int64).min)
    np.maximum.at(newest, inverse, at)
    moments = newest[inverse]  # [N] the request's time
    if not len(moments) or moments.min() == moments.max():
        raise NoDataError(f"{len(at)} examples at one moment cannot be divided by time: widen ranker.days.")
    cut = np.sort(moments)[min(int(len(moments) * (1 - share)), len(moments) - 1)]
    return np.asarray(moments < max(cut, moments.min() + 1))


def area_under_curve(y: F32, score: F32) -> float:
    """Share of (positive, negative) pairs in the right order, equal scores count one half; NaN without such pairs."""
    positives = y > 0.5
    pairs = int(positives.sum()) * int((~positives).sum())
    if not pairs:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    rank = (last - (counts - 1) / 2)[inverse]  # mean rank of equal scores, from 1
    count = int(positives.sum())
    return float((rank[positives].sum() - count * (count + 1) / 2) / pairs)


def logloss(y: F32, probability: F32, weight: F32 | None = None) -> float:
    """Mean binary cross-entropy, weighted by `weight` [N]; probabilities are kept 1e-7 away from 0 and 1."""
    p: F64 = np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-np.average(y * np.log(p) + (1 - y) * np.log1p(-p), weights=weight))


def reliability(y: F32, probability: F32, bins: int = BINS, weight: F32 | None = None) -> Reliability:
    """The diagram (Niculescu-Mizil and Caruana 2005) of N > 0 examples; fewer bins where there are fewer examples.

    With `weight` [N] an example counts that much in its bin's shares; bins hold equally many all the same.
    """
    parts = np.array_split(np.argsort(probability, kind="stable"), min(bins, len(y)))
    counts = np.ones(len(y)) if weight is None else weight.astype(np.float64)
    return Reliability(
        predicted=np.asarray([np.average(probability[part], weights=counts[part]) for part in parts]),
        observed=np.asarray([np.average(y[part], weights=counts[part]) for part in parts]),
        examples=np.asarray([len(part) for part in parts], dtype=np.int64),
    )
