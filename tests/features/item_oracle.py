"""The declared features of items in plain Python, by loops over a log: what a declaration says, read literally."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from recsys.config import ItemFeature
from tests.features import oracle
from tests.features.oracle import ENGAGED, NAMES, Event, S, Value

UNIT = {"m": 60 * S, "h": 3600 * S, "d": 86_400 * S}
EXACT, DEVIATION = 100, 0.0163  # users up to which a sketch is exact; its relative standard error beyond
Crowd = Callable[[int, int, Sequence[str]], int]  # behaviours of these kinds with any item in [low, high)
EVERY_ITEM = (
    ItemFeature(operation="count", behaviour="view", window="6h"),
    ItemFeature(operation="count", window="20d"),
    ItemFeature(operation="count", behaviour="event", window="5m"),
    ItemFeature(operation="count", behaviour="cart"),
    ItemFeature(operation="sum", behaviour="purchase", value="spend", window="14d"),
    ItemFeature(operation="sum", value="quantity"),
    ItemFeature(operation="sum", behaviour="event", value="spend", window="15m"),
    ItemFeature(operation="rate", behaviour="purchase", per="cart", prior=(1, 20), window="9d"),
    ItemFeature(operation="rate", behaviour="click", per="event", prior=(0, 0.5)),
    ItemFeature(operation="trend", behaviour="view", window="30m", reference="7d"),
    ItemFeature(operation="share", behaviour="view", window="6h"),
    ItemFeature(operation="share", behaviour="event", window="90m"),
    ItemFeature(operation="decayed_count", behaviour="click", window="7d", half_life="1d"),
    ItemFeature(operation="decayed_count", window="20d", half_life="90m"),
    ItemFeature(operation="distinct_users", behaviour="view", window="1d"),
    ItemFeature(operation="distinct_users", window="10d"),
)


def length(window: str) -> int:
    return int(window[:-1]) * UNIT[window[-1]]


def kinds(name: str) -> Sequence[str]:
    return {"": ENGAGED, "engaged": ENGAGED, "event": NAMES}.get(name, (name,))


def name_of(f: ItemFeature) -> str:
    per = f"per_{f.per}" if f.per else ""
    parts = (f.behaviour or "engaged", per, f.value, f.operation, f.window, f.reference, f.half_life)
    return "_".join(["item", *filter(None, parts)])


def crowd_of(log: Sequence[Event]) -> Crowd:
    def crowd(low: int, high: int, of: Sequence[str]) -> int:
        return sum(1 for e in log if e.item is not None and e.behaviour in of and low <= e.time < high)

    return crowd


def inside(log: Sequence[Event], hour: int, window: str, of: str) -> list[Event]:
    oldest = hour - length(window) if window else -(2**62)
    return [e for e in log if oldest <= e.time < hour and e.behaviour in kinds(of)]


def declared(log: Sequence[Event], hour: int, f: ItemFeature, crowd: Crowd) -> Value:
    """One feature of the item whose events these are."""
    mine = inside(log, hour, f.window, f.behaviour)
    if f.operation == "count":
        return len(mine)
    if f.operation == "sum":
        if f.value == "quantity":
            return sum(e.quantity for e in mine)
        return sum(e.price * e.quantity for e in mine if e.price is not None)
    if f.operation == "rate":
        above, below = f.prior or (math.nan, math.nan)
        return (len(mine) + above) / (max(len(mine), len(inside(log, hour, f.window, f.per))) + below)
    if f.operation == "trend":
        long = len(inside(log, hour, f.reference, f.behaviour))
        return (len(mine) + 1) / (long * length(f.window) / length(f.reference) + 1)
    if f.operation == "share":
        everyone = crowd(hour - length(f.window), hour, kinds(f.behaviour))
        return math.log((len(mine) + 0.5) / (everyone + 50)) if inside(log, hour, "7d", "event") else None
    if f.operation == "decayed_count":
        begun = [e.time // (3600 * S) * 3600 * S for e in mine]
        return math.fsum(0.5 ** ((hour - time) / length(f.half_life)) for time in begun)
    return len({e.user for e in mine if e.user is not None})


def values(
    log: Sequence[Event],
    item: str,
    hour: int,
    features: Sequence[ItemFeature],
    crowd: Crowd,
    prices: tuple[int | None, int | None] = (None, None),
) -> dict[str, Value]:
    """All features of the item: built-in and declared. `prices`: the present one and the highest of late."""
    mine = [e for e in log if e.item == item]
    built_in = oracle.item_values(mine, item, hour, *prices, crowd=lambda low, high: crowd(low, high, ENGAGED))
    return built_in | {name_of(f): declared(mine, hour, f, crowd) for f in features}


def there(log: Sequence[Event], item: str, hour: int, features: Sequence[ItemFeature]) -> bool:
    """Whether the item has a row: an event in the longest window, of a week at least, or ever."""
    widest = max([length("7d"), *(length(w) for f in features for w in (f.window, f.reference) if w)])
    ever = any(not f.window for f in features)
    return any(e.item == item and e.time < hour and (ever or e.time >= hour - widest) for e in log)


def agree(name: str, found: Value, wanted: Value) -> bool:
    """As oracle.agree, but sketches of many users may err by five times their deviation."""
    if "distinct_users" not in name or wanted is None or found is None or wanted <= EXACT:
        return oracle.agree(found, wanted)
    return abs(found - wanted) <= 5 * DEVIATION * wanted
