"""Figures of features that need no model: rank correlation, mutual information and chi² with the label. No Spark.

Mutual information and chi² are of the feature in QUANTILES buckets, unknown being one more (Cover and Thomas 2006,
section 2.3, less the bias of a finite sample, Miller 1955; Pearson's test of independence). They look at one feature at
a time: what matters only together with another one, as whatever is the same for all items of a request does, looks
useless to them.

Shape letters: N examples, F features.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency
from sklearn.metrics import mutual_info_score

from recsys.features.history import F32, F64, I64
from recsys.features.windows import Bool
from recsys.ranking.fit import bucketise
from recsys.ranking.selected import Measured
from recsys.ranking.steps import known

QUANTILES = 16


def measure(x: F32, y: F32, names: tuple[str, ...], correlation: F64) -> tuple[Measured, ...]:
    """The figures of every column of [N, F] plain values beside the labels [N], and its `rank_correlation` [F, F]."""
    strength = np.where(np.eye(len(names), dtype=bool) | np.isnan(correlation), -1.0, np.abs(correlation))
    codes = buckets(x)
    return tuple(
        _measured(name, names, correlation[place], strength[place], codes[:, place], y > 0.5)
        for place, name in enumerate(names)
    )


def rank_correlation(x: F32) -> F64:
    """[F, F] Spearman's, each of the examples in which both are known; NaN where one does not vary there."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = pd.DataFrame(known(x)).corr(method="spearman", min_periods=2)
    return np.asarray(found, dtype=np.float64)


def buckets(x: F32) -> I64:
    """[N, F] number of the quantile bucket, QUANTILES where unknown."""
    values = known(x)
    codes = bucketise(values, QUANTILES).apply(values)
    return np.where(np.isnan(codes), QUANTILES, codes).astype(np.int64)


def _measured(name: str, names: tuple[str, ...], signed: F64, strength: F64, codes: I64, y: Bool) -> Measured:
    table = np.stack([np.bincount(codes[y == label], minlength=QUANTILES + 1) for label in (False, True)])
    table = table[:, table.sum(axis=0) > 0]
    varies = table.shape[1] > 1 and bool((table.sum(axis=1) > 0).all())
    statistic, p_value = chi2_contingency(table, correction=False)[:2] if varies else (0.0, 1.0)
    information = float(mutual_info_score(None, None, contingency=table)) if varies else 0.0
    bias = (table.shape[1] - 1) / (2 * table.sum())  # of (rows - 1) (columns - 1) degrees of freedom, 2 rows
    partner = int(strength.argmax())
    return Measured(
        feature=name,
        partner=names[partner] if strength[partner] >= 0 else "",
        correlation=_number(signed[partner]) if strength[partner] >= 0 else None,
        mutual_information=max(information - bias, 0.0),
        chi2=float(statistic),
        p_value=float(p_value),
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
