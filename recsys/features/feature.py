"""What a feature is: data from which its name, its column and its meaning follow. No Spark, no computation in here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Entity = Literal["user", "item", "request", "pair"]
Default = int | float | bool | tuple[()] | None
Scalar = Literal["bigint", "double", "boolean"]
Many = Literal["array<string>", "array<struct<key: string, count: bigint>>", "map<string,bigint>", "map<string,double>"]
Type = Scalar | Many

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
    """A feature. `default` is its value without any behaviour.

    None: unknown (NaN in NumPy, NULL in Delta); (): an empty list or map.
    """

    entity: Entity
    operation: str
    of: str = ""  # the behaviours that it concerns
    per: str = ""  # the behaviours that a rate divides by
    prior: tuple[float, float] | None = None  # what a rate adds above and below the line
    value: str = ""  # the quantity that it sums, averages, ...
    window: str = ""
    reference: str = ""  # the longer window of a trend, the half-life of an item's decayed count
    key: str = ""  # what lists, maps and `distinct` tell behaviours apart by
    k: int = 0  # entries of a list
    unit: str
    type: Type
    default: Default
    meaning: str

    @cached_property
    def name(self) -> str:
        """Derived name, such as `view_count_7d`; all but user features carry their entity as a prefix."""
        prefix = "" if self.entity == "user" else self.entity
        operation = f"{self.operation.removesuffix('_k')}{self.k}" if self.k else self.operation
        per = self.per and f"per_{self.per}"
        parts = (prefix, self.of, per, self.key, self.value, operation, self.window, self.reference)
        return "_".join(part for part in parts if part)


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
