"""What a feature is: data from which its name, its column and its meaning follow. No Spark, no computation in here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from recsys.config import UserFeature

Entity = Literal["user", "item", "request", "pair"]
Default = int | float | bool | None
Type = Literal["bigint", "double", "boolean"]

VALUES = {  # value -> its unit, and what it is in words
    "price": ("minor units", "known price"),
    "quantity": ("pieces", "quantity"),
    "spend": ("minor units", "price x quantity, where the price is known"),
    "value": ("value", "own number, such as stars, where there is one"),
}
WORDS = {
    "sum": "sum",
    "mean": "mean",
    "min": "lowest",
    "max": "highest",
    "std": "population standard deviation",
    "first": "oldest",
    "last": "newest",
}


@dataclass(frozen=True, kw_only=True)
class Feature:
    """A feature. `default` is its value without any behaviour; None: unknown (NaN in NumPy, NULL in Delta)."""

    entity: Entity
    operation: str
    of: str = ""  # the behaviours that it concerns
    per: str = ""  # the behaviours that a rate divides by
    prior: tuple[float, float] | None = None  # what a rate adds above and below the line
    value: str = ""  # the quantity that it sums, averages, ...
    window: str = ""
    reference: str = ""  # the longer window of a trend, the half-life of an item's decayed count
    unit: str
    type: Type
    default: Default
    meaning: str

    @cached_property
    def name(self) -> str:
        """Derived name, such as `view_count_7d`; all but user features carry their entity as a prefix."""
        prefix = "" if self.entity == "user" else self.entity
        per = self.per and f"per_{self.per}"
        parts = (prefix, self.of, per, self.value, self.operation, self.window, self.reference)
        return "_".join(part for part in parts if part)


def of_user(f: UserFeature) -> Feature:
    """A user feature from its declaration, of this package or of a user's settings."""
    unit, type_, default, meaning = _count(f) if f.operation in COUNTS else _value(f)
    return Feature(
        entity="user",
        operation=f.operation,
        of=f.behaviour or ("engaged" if f.operation in {"count", "decayed_count", "trend"} else ""),
        value=f.value,
        window=f.window,
        reference=f.reference,
        unit=unit,
        type=type_,
        default=default,
        meaning=meaning,
    )


COUNTS = ("count", "decayed_count", "trend", "distinct_items", "recency_s")


def _count(f: UserFeature) -> tuple[str, Type, Default, str]:
    kind, inside = f.behaviour or "engaged", f" in {f.window}" if f.window else ""
    if f.operation == "recency_s":
        return "s", "double", None, f"time since the newest {f.behaviour or 'behaviour'}{inside}"
    if f.operation == "distinct_items":
        return "items", "bigint", 0, f"different items{inside}"
    if f.operation == "trend":
        return "ratio", "double", 1.0, trend_meaning(kind, f.window, f.reference)
    if f.operation == "decayed_count":
        return "events", "double", 0.0, f"{kind} behaviours within the last K, each halved every {f.window} of its age"
    return "events", "bigint", 0, f"number of {kind} behaviours{inside} within the last K"


def _value(f: UserFeature) -> tuple[str, Type, Default, str]:
    unit, what = VALUES[f.value]
    of = f"{f.behaviour or 'engaged'} behaviours {f'in {f.window}' if f.window else 'within the last K'}"
    meaning = f"{WORDS[f.operation]} of the {what} over {of}"
    if f.operation == "sum":
        return (unit, "double", 0.0, meaning) if f.value == "value" else (unit, "bigint", 0, meaning)
    return unit, "double", None, meaning


def trend_meaning(kind: str, window: str, reference: str) -> str:
    """A trend in words."""
    return f"({kind} in {window} + 1) / ({kind} in {reference}, scaled to {window}, + 1); above 1: rising"


def count(entity: Entity, of: str, window: str = "") -> Feature:
    """Number of behaviours of an item or a pair."""
    what = {"engaged": "engaged behaviours", "event": "events, impressions included"}.get(of, f"{of} behaviours")
    return Feature(
        entity=entity,
        operation="count",
        of=of,
        window=window,
        unit="events",
        type="bigint",
        default=0,
        meaning=f"number of {what}{f' in {window}' if window else ''}",
    )


def real(entity: Entity, operation: str, unit: str, meaning: str, window: str = "") -> Feature:
    """A number that may be unknown."""
    return Feature(
        entity=entity, operation=operation, window=window, unit=unit, type="double", default=None, meaning=meaning
    )


def whole(entity: Entity, operation: str, unit: str, meaning: str, window: str = "") -> Feature:
    """A whole number, 0 without behaviour."""
    return Feature(
        entity=entity, operation=operation, window=window, unit=unit, type="bigint", default=0, meaning=meaning
    )


def flag(entity: Entity, operation: str, meaning: str, window: str = "") -> Feature:
    """True or false."""
    return Feature(
        entity=entity, operation=operation, window=window, unit="flag", type="boolean", default=False, meaning=meaning
    )
