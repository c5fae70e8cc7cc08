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
from recsys.features.bots import is_bot
from recsys.features.definitions import USER_FEATURES, Feature
from recsys.features.history import F64, I64, Histories, Points
from recsys.features.windows import (
    SECOND,
    Selection,
    by_code,
    distinct,
    first_after,
    known,
    microseconds,
    previous,
    reduce_ranges,
    select,
)

Values = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What the operations share: the points, the first row of each window, rows by behaviour, sessions."""

    h: Histories
    p: Points
    s: FeatureSettings
    low: dict[str, I64]  # window -> [P] first row inside it; "" is the whole range
    rows: dict[str, Selection]  # behaviour -> its rows; also "price": rows with a known price
    session: I64  # [E] number of the session, ascending over all users
    session_start: I64  # [E] first row of the behaviour's session
    same_item: I64  # [E] the user's previous row with the same item

    def count(self, of: str, window: str) -> I64:
        """[P] behaviours of a kind in a window."""
        low, high = self.low[window], self.p.end
        if of == "engaged":
            return high - low
        rows = self.rows[of]
        return rows.rank(high) - rows.rank(low)

    def since(self, row: I64) -> F64:
        """[P] seconds from a row's time to the point's; NaN where row is -1."""
        if not len(self.h.time):
            return np.full(len(row), np.nan)
        return np.where(row >= 0, (self.p.at - self.h.time[row]) / SECOND, np.nan)


def user_features(h: Histories, p: Points, behaviours: tuple[str, ...], s: FeatureSettings) -> dict[str, Values]:
    """All USER_FEATURES at the points: name -> [P], int64, float64 (NaN: unknown) or bool as declared.

    Only behaviours of [start, end) with time <= at count, windows are (at - w, at]. A behaviour type that is not among
    `behaviours` has no rows: its counts are 0. Integer features are exact whatever the order of summation.
    """
    frame = _frame(h, known(h, p), behaviours, s)
    return {feature.name: OPERATIONS[feature.operation](frame, feature) for feature in USER_FEATURES}


def _frame(h: Histories, p: Points, behaviours: tuple[str, ...], s: FeatureSettings) -> Frame:
    wanted = {f.of for f in USER_FEATURES} | {"purchase"}
    rows = {name: select(h.behaviour == code) for code, name in enumerate(behaviours) if name in wanted}
    nothing = Selection(np.zeros(0, dtype=np.int64))
    windows = {w for f in USER_FEATURES for w in (f.window, f.reference) if w}
    opens = np.ones(len(h.time), dtype=np.bool_)
    opens[1:] = np.diff(h.time) > s.session_gap_minutes * 60 * SECOND
    opens[h.offsets[:-1][h.lengths > 0]] = True
    index = np.arange(len(h.time), dtype=np.int64)
    return Frame(
        h=h,
        p=p,
        s=s,
        low={"": p.start} | {w: first_after(h.time, p.start, p.end, p.at - microseconds(w)) for w in windows},
        rows=dict.fromkeys(wanted, nothing) | rows | {"price": select(h.price >= 0)},
        session=np.cumsum(opens),
        session_start=np.maximum.accumulate(np.where(opens, index, 0)),
        same_item=previous(by_code(h.item, h.offsets)),
    )


def _newest(frame: Frame) -> I64:
    return np.where(frame.p.end > frame.p.start, frame.p.end - 1, -1)


def _spend(frame: Frame, feature: Feature) -> Values:
    rows, h = frame.rows[feature.of], frame.h
    price, quantity = h.price[rows.positions], h.quantity[rows.positions]
    return rows.total(np.where(price >= 0, price * quantity, 0), frame.low[feature.window], frame.p.end)


def _price(frame: Frame, feature: Feature) -> Values:
    rows, low, high = frame.rows["price"], frame.low[feature.window], frame.p.end
    price = frame.h.price[rows.positions]
    if feature.operation == "price_mean":
        return ratio(rows.total(price, low, high), rows.rank(high) - rows.rank(low))
    if feature.operation == "price_last":
        last = rows.last(low, high)
        return np.where(last >= 0, frame.h.price[last] if len(price) else np.nan, np.nan)
    ufunc = np.minimum if feature.operation == "price_min" else np.maximum
    return reduce_ranges(ufunc, price.astype(np.float64), rows.rank(low), rows.rank(high))


def _recency(frame: Frame, feature: Feature) -> Values:
    return frame.since(frame.rows[feature.of].last(frame.p.start, frame.p.end) if feature.of else _newest(frame))


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


def _mean(frame: Frame, feature: Feature) -> Values:
    rows = frame.rows[feature.of]
    given = Selection(rows.positions[~np.isnan(frame.h.value[rows.positions])])
    low, high = given.rank(frame.low[feature.window]), given.rank(frame.p.end)
    return ratio(reduce_ranges(np.add, frame.h.value[given.positions], low, high, 0.0), high - low)


def ratio(above: Values, below: Values) -> F64:
    """[P] above / below in float64; NaN where below is 0."""
    result: F64 = np.divide(above, below, out=np.full(len(below), np.nan), where=below != 0)
    return result


def trend(short: Values, long: Values, window: str, reference: str) -> F64:
    """[P] (short + 1) / (long scaled to the shorter window + 1): 1: steady, or no behaviour."""
    return (short + 1) / (long * (microseconds(window) / microseconds(reference)) + 1)


OPERATIONS: dict[str, Callable[[Frame, Feature], Values]] = {
    "count": lambda frame, f: frame.count(f.of, f.window),
    "distinct_items": lambda frame, f: distinct(frame.same_item, frame.low[f.window], frame.p.end),
    "spend": _spend,
    "price_mean": _price,
    "price_min": _price,
    "price_max": _price,
    "price_last": _price,
    "recency_s": _recency,
    "age_s": lambda frame, f: frame.since(np.where(frame.p.end > frame.p.start, frame.p.start, -1)),
    "session_position": _session_position,
    "session_s": lambda frame, f: frame.since(_running_start(frame)),
    "session_count": _session_count,
    "session_mean": lambda frame, f: ratio(frame.count("engaged", f.window), _session_count(frame, f)),
    "mean": _mean,
    "trend": lambda frame, f: trend(frame.count(f.of, f.window), frame.count(f.of, f.reference), f.window, f.reference),
    "is_bot": lambda frame, f: is_bot(frame.h, frame.p, frame.s),
}
