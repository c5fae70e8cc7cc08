"""Users who behave like programs, by rate and by gap. NumPy only.

Shape letters: E behaviours, P points.
"""

from __future__ import annotations

import numpy as np

from recsys.config import FeatureSettings
from recsys.days import SECOND
from recsys.features.history import I64, Histories, Points
from recsys.features.windows import Bool

SPAN = 600 * SECOND


def is_bot(h: Histories, p: Points, s: FeatureSettings) -> Bool:
    """[P] whether behaviours [start, end) look like a program's; either rule is enough.

    Rate: some half-open 10 minutes hold at least `bot_events_per_10m` behaviours (silent where that is more than K).
    Gap: there are at least `bot_min_events` behaviours and more than half of the gaps between successive ones are
    shorter than `bot_median_gap_s`, so their (upper) median is.
    """
    n = s.bot_events_per_10m
    dense = np.zeros(len(h.time), dtype=np.bool_)
    dense[n - 1 :] = h.time[n - 1 :] - h.time[: max(len(h.time) - n + 1, 0)] < SPAN
    quick = np.zeros(len(h.time), dtype=np.bool_)
    quick[1:] = np.diff(h.time) < s.bot_median_gap_s * SECOND
    fast = _between(dense, np.minimum(p.start + n - 1, p.end), p.end) > 0
    gaps = np.maximum(p.end - p.start - 1, 0)
    short = 2 * _between(quick, np.minimum(p.start + 1, p.end), p.end) > gaps
    found: Bool = fast | (short & (p.end - p.start >= s.bot_min_events))
    return found


def _between(flags: Bool, low: I64, high: I64) -> I64:
    prefix = np.zeros(len(flags) + 1, dtype=np.int64)
    np.cumsum(flags, out=prefix[1:])
    return prefix[high] - prefix[low]


def precision_recall(found: Bool, truth: Bool) -> tuple[float, float]:
    """Precision and recall of the flag [U] against the known truth [U]; NaN where a ratio has no denominator."""
    hits = int((found & truth).sum())
    marked, real = int(found.sum()), int(truth.sum())
    return hits / marked if marked else float("nan"), hits / real if real else float("nan")
