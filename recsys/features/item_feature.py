"""Features of items from their declarations, of this package or of the settings, and what the settings may declare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import gcd

from recsys.config import ItemFeature, Settings
from recsys.days import UNITS, microseconds
from recsys.errors import ConfigError, nearest
from recsys.features.feature import VALUES, Default, Feature, Type, count, trend_meaning
from recsys.settings.item import ENGAGED, EVENT, HOUR
from recsys.tables import SKETCH_ERROR

SHARE_PRIOR = (0.5, 50.0)  # behaviours of an item and of all: an item without any is likely when all have few
ACTIVE = "7d"  # an item without an event in this window before the hour has the features' defaults
DISTINCT = "distinct_users"
SHARE = "share"
What = tuple[str, Type, Default, str]  # unit, type, value without behaviour, meaning


def of_item(f: ItemFeature) -> Feature:
    """A feature of items from its declaration."""
    of = f.behaviour or ENGAGED
    if f.operation == "count":
        return count("item", of, f.window)
    unit, type_, default, meaning = WHATS[f.operation](f, of)
    return Feature(
        entity="item",
        operation=f.operation,
        of=of,
        per=f.per,
        prior=f.prior,
        value=f.value,
        window=f.window,
        reference=f.reference or f.half_life,
        unit=unit,
        type=type_,
        default=default,
        meaning=meaning,
    )


def _in(f: ItemFeature) -> str:
    return f" in {f.window}" if f.window else " in the item's life"


def _sum(f: ItemFeature, of: str) -> What:
    unit, what = VALUES[f.value]
    return unit, "bigint", 0, f"sum of the {what} over {of} behaviours{_in(f)}"


def _rate(f: ItemFeature, of: str) -> What:
    above, below = f.prior or (0.0, 1.0)
    meaning = f"({of} + {above:g}) / (the larger of {f.per} and {of} + {below:g}){_in(f)}"
    return "ratio", "double", above / below, meaning


def _trend(f: ItemFeature, of: str) -> What:
    return "ratio", "double", 1.0, trend_meaning(of, f.window, f.reference)


def _share(f: ItemFeature, of: str) -> What:
    good, prior = SHARE_PRIOR
    everyone = f"({of} behaviours of all items in {f.window} + {prior})"
    return (
        "log ratio",
        "double",
        None,
        f"ln(({of} in {f.window} + {good}) / {everyone}); unknown: no event in {ACTIVE}",
    )


def _decayed(f: ItemFeature, of: str) -> What:
    meaning = f"{of} behaviours in {f.window}, each halved every {f.half_life} since its hour began"
    return "events", "double", 0.0, meaning


def _distinct(f: ItemFeature, of: str) -> What:
    return "users", "bigint", 0, f"about how many known users have {of} behaviours in {f.window}: {SKETCH_ERROR}"


WHATS: dict[str, Callable[[ItemFeature, str], What]] = {
    "sum": _sum,
    "rate": _rate,
    "trend": _trend,
    SHARE: _share,
    "decayed_count": _decayed,
    DISTINCT: _distinct,
}


def reach(features: Sequence[Feature]) -> int:
    """How far back the windows go, in microseconds: at least ACTIVE."""
    windows = [microseconds(w) for f in features if f.operation in (*WHATS, "count") for w in _windows(f)]
    return max([microseconds(ACTIVE), *windows])


def cell(features: Sequence[Feature]) -> int:
    """Width of the cells that all windows are made of, in microseconds: an hour, or less if a window asks for it."""
    windows = [microseconds(w) for f in features if f.operation in (*WHATS, "count") for w in _windows(f)]
    return gcd(HOUR, *windows)


def shares_of(features: Sequence[Feature]) -> tuple[Feature, ...]:
    """Those that compare an item with all items, and so change in all rows with any event."""
    return tuple(f for f in features if f.operation == SHARE)


def lifelong(features: Sequence[Feature]) -> bool:
    """Whether a feature has no window, and so rests on all events of the item."""
    return any(f.of and not f.window for f in features)


def _windows(f: Feature) -> list[str]:
    return [w for w in (f.window, f.reference if f.operation == "trend" else "") if w]


def check_item_features(settings: Settings) -> None:
    """ConfigError: a declared feature of items that names no behaviour, or whose window no tiles add up to."""
    tile, longest = settings.stream.tile_minutes * UNITS["m"], settings.stream.retention_days * UNITS["d"]
    valid = (*settings.behaviours, ENGAGED, EVENT)
    for f in settings.features.item:
        for name in filter(None, (f.behaviour, f.per)):
            if name not in valid:
                raise ConfigError(f"features.item: behaviour {name!r} is not declared.{nearest(name, valid)}")
        for window in filter(None, (f.window, f.reference)):
            length = microseconds(window)
            if length > longest:
                raise ConfigError(
                    f"features.item: window {window!r} is longer than stream.retention_days, which is how long an "
                    f"event may still come: the longest is '{settings.stream.retention_days}d'."
                )
            if length % tile:
                near = max(1, round(length / tile)) * settings.stream.tile_minutes
                raise ConfigError(
                    f"features.item: window {window!r} is no multiple of a tile (stream.tile_minutes: "
                    f"{settings.stream.tile_minutes}), so no tiles add up to it. The nearest that is: '{near}m'."
                )
