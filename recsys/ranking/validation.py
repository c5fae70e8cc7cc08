"""The newest slice of the examples, and the figures that training watches on it. NumPy only.

Shape letters: N examples.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recsys.errors import NoDataError
from recsys.features.history import F32, F64, I64

Bool = npt.NDArray[np.bool_]


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


def logloss(y: F32, probability: F32) -> float:
    """Mean binary cross-entropy; probabilities are kept 1e-7 away from 0 and 1."""
    p: F64 = np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-np.mean(y * np.log(p) + (1 - y) * np.log1p(-p)))
