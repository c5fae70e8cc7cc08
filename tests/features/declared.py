"""The oracle's half for declared features: what a declaration says, read literally, in plain Python."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any

from recsys.config import BEHAVIOURS, UserFeature

if TYPE_CHECKING:
    from tests.features.oracle import Event

S = 1_000_000
UNITS = {"m": 60 * S, "h": 3600 * S, "d": 86_400 * S}
Value = float | int | bool | None


def name_of(f: UserFeature) -> str:
    of = f.behaviour
    if not of and f.operation in ("count", "decayed_count", "trend", "lifetime_count", "lifetime_decayed_count"):
        of = "engaged"
    operation = {"last_k": f"last{f.k}", "top_k": f"top{f.k}"}.get(f.operation, f.operation)
    per = f"per_{f.per}" if f.per else ""
    return "_".join(part for part in (of, per, f.key, f.value, operation, f.window, f.reference) if part)


def length(window: str) -> int:
    return int(window[:-1]) * UNITS[window[-1]]


def value_of(e: Event, f: UserFeature) -> int | float | None:
    if f.value in ("price", "spend"):
        return None if e.price is None else e.price * (e.quantity if f.value == "spend" else 1)
    return e.quantity if f.value == "quantity" else e.value


def declared(seen: Sequence[Event], at: int, f: UserFeature) -> Any:
    """A feature of the state, a Value or a list or map: `seen` are its behaviours up to `at`, in total order."""

    def inside(window: str, of: str = f.behaviour) -> list[Event]:
        oldest = at - length(window) if window else -(2**62)
        return [e for e in seen if oldest < e.time <= at and of in ("", e.behaviour)]

    if f.key:
        return keyed(inside(f.window), f)
    if f.operation == "count":
        return len(inside(f.window))
    if f.operation == "decayed_count":
        return math.fsum(0.5 ** ((at - e.time) / length(f.window)) for e in inside(""))
    if f.operation == "trend":
        scale = length(f.window) / length(f.reference)
        return (len(inside(f.window)) + 1) / (len(inside(f.reference)) * scale + 1)
    if f.operation == "rate":
        return rate(len(inside(f.window)), len(inside(f.window, f.per)), f)
    if f.operation == "distinct_items":
        return len({e.item for e in inside(f.window) if e.item is not None})
    if f.operation == "recency_s":
        return min(((at - e.time) / S for e in inside(f.window)), default=None)
    return summary(inside(f.window), f, f.operation)


def rate(reached: int, asked: int, f: UserFeature) -> float:
    return (reached + f.prior[0]) / (max(reached, asked) + f.prior[1])


def summary(events: Sequence[Event], f: UserFeature, operation: str) -> Value:
    """Of the known values of events in total order."""
    found = [number for e in events if (number := value_of(e, f)) is not None]
    if operation == "sum":
        return math.fsum(found) if f.value == "value" else sum(found)
    if not found:
        return None
    if operation in ("first", "last"):
        return found[0 if operation == "first" else -1]
    if operation in ("min", "max"):
        return min(found) if operation == "min" else max(found)
    return pstdev(found) if operation == "std" else fmean(found)


def keys_of(e: Event, key: str) -> list[str]:
    if key == "term":
        return [word for word in (e.query or "").split(" ") if word]
    text = getattr(e, key)
    return [] if text is None else [text]


def keyed(events: Sequence[Event], f: UserFeature) -> Any:
    """Of the keys of events in total order."""
    keys = [key for e in events for key in keys_of(e, f.key)]
    if f.operation == "distinct":
        return len(set(keys))
    if f.operation == "last_k":
        return list(keys[::-1][: f.k])
    if f.operation == "counts":
        return {key: keys.count(key) for key in keys}
    if f.operation == "top_k":
        best = sorted(set(keys), key=lambda key: (-keys.count(key), keys[::-1].index(key)))
        return [{"key": key, "count": keys.count(key)} for key in best[: f.k]]
    values = [(key, value_of(e, f)) for e in events for key in keys_of(e, f.key)]
    known: dict[str, list[float]] = {key: [] for key, value in values if value is not None}
    for key, value in values:
        if value is not None:
            known[key].append(value)
    return {key: fmean(numbers) for key, numbers in known.items()}


def lifetime_values(mine: Sequence[Event], features: Sequence[UserFeature]) -> dict[str, Value]:
    """The features of all of a user's events, at the time of the newest one."""
    return {name_of(f): ever(sorted(mine, key=lambda e: (e.time, e.id)), f) for f in features if f.lifetime}


def ever(mine: Sequence[Event], f: UserFeature) -> Value:
    of = [e for e in mine if (e.behaviour == f.behaviour if f.behaviour else BEHAVIOURS[e.behaviour].engaged)]
    if f.operation == "lifetime_count":
        return len(of)
    if f.operation == "lifetime_rate":
        return rate(len(of), sum(1 for e in mine if e.behaviour == f.per), f)
    if f.operation == "lifetime_recency_s":
        return (mine[-1].time - of[-1].time) / S if of else None
    if f.operation == "lifetime_distinct":
        return len({e.item for e in of if e.item is not None})
    if f.operation.startswith("lifetime_decayed"):
        values = [(value_of(e, f) if f.value else 1, mine[-1].time - e.time) for e in of]
        return math.fsum(value * 0.5 ** (age / length(f.window)) for value, age in values if value and value > 0)
    return summary(of, f, f.operation.removeprefix("lifetime_"))


def alike(found: Any, wanted: list[Any] | dict[str, Any]) -> bool:
    """Equal lists; equal maps, whose numbers may differ by 1e-9 of themselves or 1e-12. Arrow gives a map as pairs."""
    if isinstance(wanted, list):
        return bool(found == wanted)
    told = dict(found)
    return told.keys() == wanted.keys() and all(
        math.isclose(told[key], number, rel_tol=1e-9, abs_tol=1e-12) for key, number in wanted.items()
    )
