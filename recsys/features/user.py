"""User features: pure columnar functions of a ragged history and points in it. NumPy only.

Shape letters: U users, E behaviours of all users, P points, S selected behaviours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.config import FeatureSettings
from recsys.days import SECOND, microseconds
from recsys.features.bots import is_bot
from recsys.features.definitions import user_features_of
from recsys.features.feature import Feature
from recsys.features.history import F64, I64, Histories, Points
from recsys.features.keyed import distinct_keys, keyed, of_behaviour
from recsys.features.windows import (
    Selection,
    by_code,
    distinct,
    first_after,
    known,
    previous,
    reduce_ranges,
    select,
    spread,
)

Values = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What the operations share: the points, the first row of each window, rows by behaviour, sessions."""

    h: Histories
    p: Points
    behaviours: tuple[str, ...]
    s: FeatureSettings
    low: dict[str, I64]  # window -> [P] first row inside it; "" is the whole range
    rows: dict[str, Selection]  # behaviour -> its rows; "engaged" and "" are all
    values: dict[str, Values]  # value -> [E], int64 or float64
    given: dict[str, Selection]  # value -> the rows that have it
    session: I64  # [E] number of the session, ascending over all users
    session_start: I64  # [E] first row of the behaviour's session
    same_item: I64  # [E] the user's previous row with the same item

    def count(self, of: str, window: str) -> I64:
        """[P] behaviours of a kind in a window."""
        rows = self.rows[of]
        return rows.rank(self.p.end) - rows.rank(self.low[window])

    def since(self, row: I64) -> F64:
        """[P] seconds from a row's time to the point's; NaN where row is -1."""
        if not len(self.h.time):
            return np.full(len(row), np.nan)
        return np.where(row >= 0, (self.p.at - self.h.time[row]) / SECOND, np.nan)


def user_features(h: Histories, p: Points, behaviours: tuple[str, ...], s: FeatureSettings) -> dict[str, Values]:
    """Features of users (definitions.user_features_of) at the points: name -> [P], int64, float64 or bool.

    NaN: unknown. Only behaviours of [start, end) with time <= at count, windows are (at - w, at]. A behaviour type that
    is not among `behaviours` has no rows: its counts are 0. Integer features are exact whatever the order of summation.
    """
    features = user_features_of(s)
    frame = _frame(h, known(h, p), behaviours, s, features)
    return {feature.name: OPERATIONS[feature.operation](frame, feature) for feature in features}


def _frame(
    h: Histories, p: Points, behaviours: tuple[str, ...], s: FeatureSettings, features: tuple[Feature, ...]
) -> Frame:
    everything = select(np.ones(len(h.time), dtype=np.bool_))
    rows = dict.fromkeys((name for f in features for name in (f.of, f.per)), Selection(np.zeros(0, dtype=np.int64)))
    rows |= {name: select(h.behaviour == code) for code, name in enumerate(behaviours) if name in rows}
    priced = h.price >= 0
    windows = {w for f in features for w in (f.window, f.reference) if w}
    opens = np.ones(len(h.time), dtype=np.bool_)
    opens[1:] = np.diff(h.time) > s.session_gap_minutes * 60 * SECOND
    opens[h.offsets[:-1][h.lengths > 0]] = True
    index = np.arange(len(h.time), dtype=np.int64)
    return Frame(
        h=h,
        p=p,
        behaviours=behaviours,
        s=s,
        low={"": p.start} | {w: first_after(h.time, p.start, p.end, p.at - microseconds(w)) for w in windows},
        rows=rows | {"engaged": everything, "": everything},
        values={"price": h.price, "quantity": h.quantity, "spend": h.price * h.quantity, "value": h.value},
        given={
            "price": select(priced),
            "quantity": everything,
            "spend": select(priced),
            "value": select(~np.isnan(h.value)),
        },
        session=np.cumsum(opens),
        session_start=np.maximum.accumulate(np.where(opens, index, 0)),
        same_item=previous(by_code(h.item, h.offsets)),
    )


def _newest(frame: Frame) -> I64:
    return np.where(frame.p.end > frame.p.start, frame.p.end - 1, -1)


def _of_values(frame: Frame, feature: Feature) -> Values:
    """[P] one of VALUES over the rows of the feature's behaviour that have the value."""
    given = frame.given[feature.value]
    if feature.of:
        positions = np.intersect1d(given.positions, frame.rows[feature.of].positions, assume_unique=True)
        given = Selection(positions)
    low, high = given.rank(frame.low[feature.window]), given.rank(frame.p.end)
    return VALUES[feature.operation](frame.values[feature.value][given.positions], low, high)


def _sum(values: Values, low: I64, high: I64) -> Values:
    if values.dtype != np.int64:
        return reduce_ranges(np.add, values, low, high, 0.0)
    prefix = np.append(0, np.cumsum(values))  # exact: whole numbers
    return np.asarray(prefix[high] - prefix[low])


def _std(values: Values, low: I64, high: I64) -> Values:
    """Of the distances from the range's lowest value, so that large values lose no digits."""
    lowest = reduce_ranges(np.minimum, values.astype(np.float64), low, high)
    squares = np.full(len(low), np.nan)
    for part, rows, ends in spread(low, high):
        sizes = high[part] - low[part]
        shifted = values[rows] - np.repeat(lowest[part], sizes)
        mean = ratio(reduce_ranges(np.add, shifted, ends - sizes, ends, 0.0), sizes)
        squares[part] = reduce_ranges(np.add, (shifted - np.repeat(mean, sizes)) ** 2, ends - sizes, ends)
    return np.sqrt(ratio(squares, high - low))


def _edge(values: Values, row: I64, low: I64, high: I64) -> Values:
    if not len(values):
        return np.full(len(low), np.nan)
    return np.where(high > low, values[np.clip(row, 0, len(values) - 1)], np.nan)


def _recency(frame: Frame, feature: Feature) -> Values:
    return frame.since(frame.rows[feature.of].last(frame.low[feature.window], frame.p.end))


def _rate(frame: Frame, feature: Feature) -> Values:
    good, prior = feature.prior or (0, 0)
    reached, asked = frame.count(feature.of, feature.window), frame.count(feature.per, feature.window)
    return np.asarray((reached + good) / (np.maximum(reached, asked) + prior))


def _distinct(frame: Frame, feature: Feature) -> Values:
    found = of_behaviour(keyed(frame.h, feature.key, frame.behaviours, {}), frame.h, frame.behaviours, feature.of)
    return distinct_keys(frame.h, found, frame.low[feature.window], frame.p.end)


def _decayed(frame: Frame, feature: Feature) -> Values:
    rows = frame.rows[feature.of]
    low, high = rows.rank(frame.p.start), rows.rank(frame.p.end)
    result = np.zeros(len(low))
    for part, place, ends in spread(low, high):
        sizes = high[part] - low[part]
        age = np.repeat(frame.p.at[part], sizes) - frame.h.time[rows.positions[place]]
        weight = np.exp2(-age / microseconds(feature.window))
        result[part] = reduce_ranges(np.add, weight, ends - sizes, ends, 0.0)
    return result


def _running_start(frame: Frame) -> I64:
    newest = _newest(frame)
    running = frame.since(newest) <= frame.s.session_gap_minutes * 60
    if not len(frame.session_start):
        return newest
    return np.where(running, np.maximum(frame.session_start[newest], frame.p.start), -1)


def _session_position(frame: Frame, feature: Feature) -> Values:
    first = _running_start(frame)
    return np.where(first >= 0, frame.p.end - first, 0)


def _session_count(frame: Frame, feature: Feature) -> Values:
    low, high = frame.low[feature.window], frame.p.end
    if not len(frame.session):
        return np.zeros(len(low), dtype=np.int64)
    first, last = frame.session[np.minimum(low, len(frame.session) - 1)], frame.session[high - 1]
    return np.where(high > low, last - first + 1, 0)


def ratio(above: Values, below: Values) -> F64:
    """[P] above / below in float64; NaN where below is 0."""
    result: F64 = np.divide(above, below, out=np.full(len(below), np.nan), where=below != 0)
    return result


def trend(short: Values, long: Values, window: str, reference: str) -> F64:
    """[P] (short + 1) / (long scaled to the shorter window + 1): 1: steady, or no behaviour."""
    return (short + 1) / (long * (microseconds(window) / microseconds(reference)) + 1)


VALUES: dict[str, Callable[[Values, I64, I64], Values]] = {
    "sum": _sum,
    "mean": lambda values, low, high: ratio(_sum(values, low, high), high - low),
    "min": lambda values, low, high: reduce_ranges(np.minimum, values.astype(np.float64), low, high),
    "max": lambda values, low, high: reduce_ranges(np.maximum, values.astype(np.float64), low, high),
    "std": _std,
    "first": lambda values, low, high: _edge(values, low, low, high),
    "last": lambda values, low, high: _edge(values, high - 1, low, high),
}
OPERATIONS: dict[str, Callable[[Frame, Feature], Values]] = {
    "count": lambda frame, f: frame.count(f.of, f.window),
    "decayed_count": _decayed,
    "trend": lambda frame, f: trend(frame.count(f.of, f.window), frame.count(f.of, f.reference), f.window, f.reference),
    "distinct_items": lambda frame, f: distinct(frame.same_item, frame.low[f.window], frame.p.end),
    "distinct": _distinct,
    "rate": _rate,
    "recency_s": _recency,
    **dict.fromkeys(VALUES, _of_values),
    "age_s": lambda frame, f: frame.since(np.where(frame.p.end > frame.p.start, frame.p.start, -1)),
    "session_position": _session_position,
    "session_s": lambda frame, f: frame.since(_running_start(frame)),
    "session_count": _session_count,
    "session_mean": lambda frame, f: ratio(frame.count("engaged", f.window), _session_count(frame, f)),
    "is_bot": lambda frame, f: is_bot(frame.h, frame.p, frame.s),
}
