"""Item features from time tiles: pure functions of counts and sums by item, behaviour and tile. NumPy only.

Shape letters: I items, T tiles of single items, P points (item, hour).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.days import SECOND, microseconds
from recsys.features.definitions import CTR_PRIOR
from recsys.features.feature import Feature
from recsys.features.history import F64, I8, I64, Points
from recsys.features.item_feature import ACTIVE, DISTINCT, SHARE, SHARE_PRIOR
from recsys.features.user import ratio, trend
from recsys.features.windows import Bool, Selection, first_after, reduce_ranges, select, spread
from recsys.settings.item import ENGAGED, EVENT, HOUR

NOTHING = Selection(np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, kw_only=True, eq=False)
class Tiles:
    """Counts and sums of I items by tile and behaviour, flattened; each item's rows ascend by tile.

    What lies before every window may be one row of a behaviour, with any tile before them.
    """

    offsets: I64  # [I + 1]
    tile: I64  # [T] first moment of the tile, microseconds since 1970 UTC
    behaviour: I8  # [T] index into the behaviour names; -1: another
    events: I64  # [T]
    pieces: I64  # [T]
    revenue: I64  # [T] minor units


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """What the operations share."""

    t: Tiles
    p: Points
    rows: Mapping[str, Selection]  # behaviours -> their rows
    low: Mapping[str, I64]  # window -> [P] first row inside it; "" is the item's whole life
    high: I64  # [P] first row at or after the hour
    everyone: Mapping[str, I64]  # name of a share -> [P] the same count over all items

    def total(self, of: str, window: str, values: I64) -> I64:
        """[P] sum of `values` [T] over a kind of behaviours in a window."""
        rows = self.rows.get(of, NOTHING)
        return rows.total(values[rows.positions], self.low[window], self.high)

    def count(self, of: str, window: str) -> I64:
        """[P] behaviours of a kind in a window."""
        return self.total(of, window, self.t.events)


def item_features(
    t: Tiles,
    p: Points,
    behaviours: Sequence[str],
    engaged: Sequence[str],
    prices: Mapping[str, F64],
    first: I64,
    everyone: Mapping[str, I64],
    features: Sequence[Feature],
) -> dict[str, npt.NDArray[Any]]:
    """The features at the points, but those that are read off sketches: name -> [P].

    `p` holds ranges of rows of `t` and hours (`at`); windows are [hour - w, hour). Exact where both ends of all windows
    lie on borders of tiles, so tiles may be as wide as `item_feature.cell`. `prices` are the features that come from
    the catalogue (name -> [P], NaN: unknown); `first` [P] the start of the hour with the item's first event ever, at or
    after the hour: unknown. `everyone` has each share's count over all items (name -> [P]).
    """
    windows = {w for f in features for w in (f.window, f.reference) if w} | {ACTIVE}
    high = first_after(t.tile, p.start, p.end, p.at - 1)
    frame = Frame(
        t=t,
        p=p,
        rows=_rows(t, behaviours, engaged),
        low={"": p.start} | {w: first_after(t.tile, p.start, high, p.at - microseconds(w) - 1) for w in windows},
        high=high,
        everyone=everyone,
    )
    active = frame.count(EVENT, ACTIVE) > 0
    given = {**prices, "item_age_s": np.where(active & (first < p.at), (p.at - first) / SECOND, np.nan)}
    computed = [f for f in features if f.operation != DISTINCT]
    return {f.name: given[f.name] if f.name in given else OPERATIONS[f.operation](frame, f) for f in computed}


def present(t: Tiles, p: Points, reach: int | None) -> Bool:
    """[P] whether the item has an event in the `reach` microseconds before the hour; None: ever before it."""
    high = first_after(t.tile, p.start, p.end, p.at - 1)
    low = p.start if reach is None else first_after(t.tile, p.start, high, p.at - reach - 1)
    return select(t.events > 0).total(t.events[t.events > 0], low, high) > 0


def _rows(t: Tiles, behaviours: Sequence[str], engaged: Sequence[str]) -> dict[str, Selection]:
    rows = {name: select(t.behaviour == code) for code, name in enumerate(behaviours)}
    kinds = np.asarray([code for code, name in enumerate(behaviours) if name in engaged], dtype=np.int8)
    return rows | {ENGAGED: select(np.isin(t.behaviour, kinds)), EVENT: select(np.ones(len(t.tile), dtype=np.bool_))}


def share(own: I64, everyone: I64, active: I64) -> F64:
    """[P] logarithm of an item's smoothed share: busy and quiet hours become comparable.

    `own` and `everyone` count the item's and all items' behaviours in the window, `active` the item's events in ACTIVE;
    without any the share is unknown.
    """
    return np.where(active > 0, np.log((own + SHARE_PRIOR[0]) / (everyone + SHARE_PRIOR[1])), np.nan)


def _share(frame: Frame, f: Feature) -> F64:
    return share(frame.count(f.of, f.window), frame.everyone[f.name], frame.count(EVENT, ACTIVE))


def _rate(frame: Frame, above: str, below: str, prior: tuple[float, float], window: str) -> F64:
    """[P] smoothed rate. More above than below, as where impressions are not logged, is a rate of about 1."""
    hits = frame.count(above, window)
    return ratio(hits + prior[0], np.maximum(frame.count(below, window), hits) + prior[1])


def _decayed(frame: Frame, f: Feature) -> F64:
    """[P] behaviours, each weighing 2^(-age / half-life); an age counts from the start of the behaviour's hour."""
    rows = frame.rows.get(f.of, NOTHING)
    low, high = rows.rank(frame.low[f.window]), rows.rank(frame.high)
    result = np.zeros(len(low))
    for part, place, ends in spread(low, high):
        sizes, row = high[part] - low[part], rows.positions[place]
        age = np.repeat(frame.p.at[part], sizes) - frame.t.tile[row] // HOUR * HOUR
        weight = frame.t.events[row] * np.exp2(-age.astype(np.float64) / microseconds(f.reference))
        result[part] = reduce_ranges(np.add, weight.astype(np.float64), ends - sizes, ends, 0.0)
    return result


def _trend(frame: Frame, f: Feature) -> F64:
    return trend(frame.count(f.of, f.window), frame.count(f.of, f.reference), f.window, f.reference)


def _sum(frame: Frame, f: Feature) -> I64:
    return frame.total(f.of, f.window, frame.t.pieces if f.value == "quantity" else frame.t.revenue)


OPERATIONS: dict[str, Callable[[Frame, Feature], npt.NDArray[Any]]] = {
    "count": lambda frame, f: frame.count(f.of, f.window),
    "sum": _sum,
    "rate": lambda frame, f: _rate(frame, f.of, f.per, f.prior or (0.0, 0.0), f.window),
    "trend": _trend,
    SHARE: _share,
    "decayed_count": _decayed,
    "revenue": lambda frame, f: frame.total("purchase", f.window, frame.t.revenue),
    "ctr": lambda frame, f: _rate(frame, "click", "impression", CTR_PRIOR, f.window),
}
