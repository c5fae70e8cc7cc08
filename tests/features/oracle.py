"""An independent oracle: every feature in plain Python, by loops over a log, written from the definitions' words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from recsys.config import BEHAVIOURS, FeatureSettings
from recsys.features.history import Histories, from_columns
from tests.features.declared import Value as Value
from tests.features.declared import alike
from tests.features.declared import declared as declared
from tests.features.declared import name_of as name_of

NAMES = tuple(BEHAVIOURS)
ENGAGED = tuple(name for name, behaviour in BEHAVIOURS.items() if behaviour.engaged)
S = 1_000_000
WINDOW = {"15m": 900 * S, "1h": 3600 * S, "6h": 21_600 * S, "1d": 86_400 * S, "7d": 604_800 * S, "30d": 2_592_000 * S}


@dataclass(frozen=True)
class Event:
    id: str
    user: str | None
    time: int
    behaviour: str
    item: str | None = None
    price: int | None = None
    quantity: int = 1
    value: float | None = None
    query: str | None = None
    category: str | None = None  # of the mapping's context


def state(log: Sequence[Event], user: str, k: int) -> list[Event]:
    """The user's last k engaged behaviours, oldest first; `user` "": the log is one user's."""
    mine = [e for e in log if user in ("", e.user) and e.behaviour in ENGAGED]
    return sorted(mine, key=lambda e: (e.time, e.id))[-k:]


def histories(states: Sequence[Sequence[Event]]) -> Histories:
    flat = [e for events in states for e in events]
    columns = {
        "event_time": pa.array([e.time for e in flat], pa.timestamp("us", tz="UTC")),
        "behaviour": pa.array([e.behaviour for e in flat], pa.string()),
        "item_id": pa.array([e.item for e in flat], pa.string()),
        "price_minor": pa.array([e.price for e in flat], pa.int64()),
        "quantity": pa.array([e.quantity for e in flat], pa.int64()),
        "value": pa.array([e.value for e in flat], pa.float64()),
    }
    return from_columns(columns, np.cumsum([0, *map(len, states)]), NAMES)


def user_values(recent: Sequence[Event], at: int, s: FeatureSettings) -> dict[str, Value]:
    """All user features of one state at one time."""
    seen = [e for e in recent if e.time <= at]

    def inside(window: str) -> list[Event]:
        return [e for e in seen if at - WINDOW[window] < e.time <= at]

    def count(window: str, behaviour: str) -> int:
        return sum(1 for e in inside(window) if e.behaviour == behaviour)

    values: dict[str, Value] = {"engaged_count": len(seen)}
    for window in ("15m", "1h", "1d", "7d", "30d"):
        values[f"engaged_count_{window}"] = len(inside(window))
    kinds = {"view": "1h 1d 7d 30d", "click": "1h 1d 7d", "search": "1d 7d", "cart": "1d 7d", "purchase": "7d 30d"}
    for behaviour, windows in {**kinds, "rating": "30d"}.items():
        for window in windows.split():
            values[f"{behaviour}_count_{window}"] = count(window, behaviour)
    for window in ("1d", "7d"):
        values[f"distinct_items_{window}"] = len({e.item for e in inside(window) if e.item is not None})
    bought = [e for e in inside("30d") if e.behaviour == "purchase" and e.price is not None]
    values["purchase_spend_sum_30d"] = sum((e.price or 0) * e.quantity for e in bought)
    prices = [e.price for e in inside("30d") if e.price is not None]
    values["price_mean_30d"] = sum(prices) / len(prices) if prices else None
    values["price_min_30d"] = min(prices, default=None)
    values["price_max_30d"] = max(prices, default=None)
    values["price_last"] = next((e.price for e in reversed(seen) if e.price is not None), None)
    values["recency_s"] = (at - seen[-1].time) / S if seen else None
    purchase = next((e for e in reversed(seen) if e.behaviour == "purchase"), None)
    values["purchase_recency_s"] = (at - purchase.time) / S if purchase else None
    values["age_s"] = (at - seen[0].time) / S if seen else None
    values |= _sessions(seen, at, s)
    rated = [e.value for e in seen if e.behaviour == "rating" and e.value is not None]
    values["rating_value_mean"] = math.fsum(rated) / len(rated) if rated else None
    values["engaged_trend_1d_7d"] = (len(inside("1d")) + 1) / (len(inside("7d")) / 7 + 1)
    values["is_bot"] = _bot(seen, s)
    return values | {name_of(f): declared(seen, at, f) for f in s.user if not f.lifetime}


def texts(states: Sequence[Sequence[Event]]) -> dict[str, pa.Array]:
    """What `histories` leaves out: the queries and the categories of the same behaviours."""
    flat = [e for events in states for e in events]
    return {name: pa.array([getattr(e, name) for e in flat], pa.string()) for name in ("query", "category")}


def _sessions(seen: Sequence[Event], at: int, s: FeatureSettings) -> dict[str, Value]:
    gap = s.session_gap_minutes * 60 * S
    sessions: list[list[Event]] = []
    for event in seen:
        if sessions and event.time - sessions[-1][-1].time <= gap:
            sessions[-1].append(event)
        else:
            sessions.append([event])
    running = sessions[-1] if sessions and at - sessions[-1][-1].time <= gap else []
    counted = [x for x in sessions if any(e.time > at - WINDOW["7d"] for e in x)]
    behaviours = sum(1 for e in seen if e.time > at - WINDOW["7d"])
    return {
        "session_position": len(running),
        "session_s": (at - running[0].time) / S if running else None,
        "session_count_7d": len(counted),
        "session_mean_7d": behaviours / len(counted) if counted else None,
    }


def _bot(seen: Sequence[Event], s: FeatureSettings) -> bool:
    for first in seen:
        if sum(1 for e in seen if first.time <= e.time < first.time + 600 * S) >= s.bot_events_per_10m:
            return True
    gaps = sorted(b.time - a.time for a, b in pairwise(seen))
    return len(seen) >= s.bot_min_events and bool(gaps) and gaps[len(gaps) // 2] < s.bot_median_gap_s * S


def everyone(log: Sequence[Event], low: int, high: int) -> int:
    """Engaged behaviours with any item in [low, high)."""
    return sum(1 for e in log if e.item is not None and e.behaviour in ENGAGED and low <= e.time < high)


def item_values(
    log: Sequence[Event],
    item: str,
    hour: int,
    price: int | None,
    highest: int | None = None,
    crowd: Callable[[int, int], int] | None = None,
) -> dict[str, Value]:
    """All item features of one item at a whole hour; `highest` is its highest price of late, if not the present one.

    `crowd` counts everyone's behaviours of [low, high) where the log is not everyone's.
    """
    past = [e for e in log if e.item == item and e.time < hour]
    of_all = crowd or partial(everyone, log)

    def count(window: str, *behaviours: str) -> int:
        return sum(1 for e in past if e.time >= hour - WINDOW[window] and e.behaviour in behaviours)

    values: dict[str, Value] = {f"item_engaged_count_{w}": count(w, *ENGAGED) for w in ("1h", "6h", "1d", "7d")}
    values |= {f"item_event_count_{w}": count(w, *NAMES) for w in ("1h", "6h", "1d", "7d")}
    for w in ("1h", "6h", "1d"):
        share = math.log((count(w, *ENGAGED) + 0.5) / (of_all(hour - WINDOW[w], hour) + 50))
        values[f"item_engaged_share_{w}"] = share if count("7d", *NAMES) else None
    for behaviour in ("impression", "click", "cart", "purchase"):
        values[f"item_{behaviour}_count_7d"] = count("7d", behaviour)
    bought = [e for e in past if e.time >= hour - WINDOW["7d"] and e.behaviour == "purchase" and e.price is not None]
    values["item_revenue_7d"] = sum((e.price or 0) * e.quantity for e in bought)
    clicks, shown = count("7d", "click"), count("7d", "impression")
    values["item_ctr_7d"] = (clicks + 1) / (max(shown, clicks) + 20)
    values |= price_values(price, highest)
    born = min((e.time for e in past), default=0) // (3600 * S) * 3600 * S
    values["item_age_s"] = (hour - born) / S if count("7d", *NAMES) else None
    values["item_engaged_trend_1h_1d"] = (count("1h", *ENGAGED) + 1) / (count("1d", *ENGAGED) / 24 + 1)
    values["item_engaged_trend_1d_7d"] = (count("1d", *ENGAGED) + 1) / (count("7d", *ENGAGED) / 7 + 1)
    return values


def price_values(price: int | None, highest: int | None = None) -> dict[str, Value]:
    """The item features that come from the catalogue."""
    top = price if highest is None else highest
    ratio = None if price is None or top is None else math.log((price + 1) / (top + 1))
    return {"item_price_minor": price, "item_price_ratio_30d": ratio}


def pair_values(
    recent: Sequence[Event], at: int, item: str, price: int | None, category: dict[str, str], cosine: float
) -> dict[str, Value]:
    """All pair features of one state and one item."""
    seen = [e for e in recent if e.time <= at]
    mine = [e for e in seen if e.item == item]
    paid = [e.price for e in seen if e.price is not None and e.time > at - WINDOW["30d"]]
    wanted = category.get(item)
    same = [e for e in seen if e.item is not None and category.get(e.item) == wanted]
    logs = [math.log(e.price + 1) for e in same if e.price is not None and wanted is not None]
    ratio = math.log((price + 1) / (sum(paid) / len(paid) + 1)) if paid and price is not None else None
    return {
        "pair_engaged_count": len(mine),
        "pair_purchase_count": sum(1 for e in mine if e.behaviour == "purchase"),
        "pair_recency_s": (at - mine[-1].time) / S if mine else None,
        "pair_in_last_10": any(e.item == item for e in seen[-10:]),
        "pair_price_ratio": ratio,
        "pair_category_price_ratio": math.log(price + 1) - sum(logs) / len(logs)
        if logs and price is not None
        else None,
        "pair_category_share": len(same) / len(seen) if seen and wanted is not None else None,
        "pair_similarity_lead": cosine - 0.75,
        "pair_affinity": cosine + 1,
        "pair_affinity_last_10": cosine + 2,
        "pair_similarity": cosine,
    }


def agree(found: Any, wanted: Any, relative: float = 1e-9) -> bool:
    """Exact for whole numbers, flags and texts; 1e-9 relative or 1e-12 absolute for floats; NaN is None."""
    if isinstance(wanted, list | dict):
        return alike(found, wanted)
    unknown = found is None or (isinstance(found, float) and math.isnan(found))
    if found is None or wanted is None or unknown:
        return unknown and wanted is None
    if isinstance(wanted, bool) or isinstance(found, bool):
        return bool(found) is bool(wanted)
    if isinstance(wanted, int) and isinstance(found, int):
        return found == wanted
    return math.isclose(float(found), float(wanted), rel_tol=relative, abs_tol=1e-12)
