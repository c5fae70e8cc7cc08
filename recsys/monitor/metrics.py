"""Metrics of ranked lists and of scores, one value a request, so that their means can be resampled. NumPy only.

Shape letters: R requests (a user at a time), K places of a list, I items of the catalogue, M scored pairs, G groups.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recsys.candidates.ragged import Ragged
from recsys.features.history import F64, I64
from recsys.features.windows import Bool


def hits(recommended: I64, truth: Ragged) -> Bool:
    """[R, K] whether each recommended item is one of the request's true items.

    `recommended` [R, K] are item indices, best first, -1 where a list ended; `truth` has R rows of distinct indices
    >= 0.
    """
    items = int(max(recommended.max(initial=0), truth.values.max(initial=0))) + 2
    wanted = np.sort(truth.rows * items + truth.values + 1)
    asked = np.arange(len(recommended), dtype=np.int64)[:, None] * items + recommended + 1
    place = np.minimum(np.searchsorted(wanted, asked), max(len(wanted) - 1, 0))
    return np.asarray(wanted[place] == asked) if len(wanted) else np.zeros(recommended.shape, dtype=np.bool_)


def recall_at(hit: Bool, relevant: I64, k: int) -> F64:
    """[R] hits among the first k, divided by |truth| (`relevant` [R], > 0); not by min(k, |truth|)."""
    return np.asarray(hit[:, :k].sum(axis=1) / relevant, dtype=np.float64)


def hit_rate_at(hit: Bool, k: int) -> F64:
    """[R] 1 where a hit is among the first k, else 0."""
    return np.asarray(hit[:, :k].any(axis=1), dtype=np.float64)


def ndcg_at(hit: Bool, relevant: I64, k: int) -> F64:
    """[R] DCG / ideal DCG with binary gain: DCG = sum over hits at place r = 1..k of 1 / log2(r + 1).

    The ideal list has min(k, |truth|) hits in front, so a list as good as any list of length k can be reaches 1
    (Järvelin and Kekäläinen 2002, with gain 1).
    """
    discount = 1 / np.log2(np.arange(k) + 2)
    gained = hit[:, :k] @ discount[: hit.shape[1]]
    ideal = np.concatenate([[0], np.cumsum(discount)])
    return np.asarray(gained / ideal[np.minimum(relevant, k)], dtype=np.float64)


def novelty_at(recommended: I64, popularity: I64, k: int) -> F64:
    """[R] mean over the first k items of -log2((n_i + 1) / (N + I)) bits; 0 for an empty list.

    `popularity` [I] are the items' counts n_i before the test, N their sum. The added 1 keeps unseen items finite.
    """
    bits = np.append(-np.log2((popularity + 1) / (popularity.sum() + len(popularity))), 0.0)
    first = recommended[:, :k]
    filled = np.maximum((first >= 0).sum(axis=1), 1)
    return np.asarray(bits[first].sum(axis=1) / filled, dtype=np.float64)


def coverage_at(recommended: I64, items: int, k: int) -> float:
    """Share of the `items` of the catalogue that stand among the first k of at least one list."""
    first = recommended[:, :k]
    return len(np.unique(first[first >= 0])) / items


def auc(score: npt.NDArray[np.floating], label: Bool) -> float:
    """Probability that a random positive scores above a random negative, ties count half; NaN without both kinds."""
    return float(group_auc(score, label, np.zeros(len(score), dtype=np.int64))[1][0]) if len(score) else float("nan")


def group_auc(score: npt.NDArray[np.floating], label: Bool, group: I64) -> tuple[I64, F64]:
    """Distinct groups [G], ascending, and the AUC within each [G]; NaN in a group that lacks positives or negatives.

    AUC = (sum of the positives' ranks - p (p + 1) / 2) / (p n), ranks within the group, ties at their mean
    (Mann and Whitney 1947).
    """
    groups, code = np.unique(group, return_inverse=True)
    order = np.lexsort((score, code))
    code, value, positive = code[order], score[order], label[order].astype(np.float64)
    fresh = np.ones(len(order), dtype=np.bool_)
    fresh[1:] = (code[1:] != code[:-1]) | (value[1:] != value[:-1])
    start = np.flatnonzero(fresh)
    tie = np.cumsum(fresh) - 1
    first = np.searchsorted(code, np.arange(len(groups)))  # row where each group starts
    mean_place = start + (np.diff(np.append(start, len(order))) - 1) / 2  # of each run of ties
    rank = mean_place[tie] - first[code] + 1
    total = np.bincount(code, weights=positive, minlength=len(groups))
    rest = np.bincount(code, minlength=len(groups)) - total
    ranks = np.bincount(code, weights=rank * positive, minlength=len(groups))
    with np.errstate(invalid="ignore"):
        return groups, (ranks - total * (total + 1) / 2) / (total * rest)
