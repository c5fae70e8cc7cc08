"""Every feature, declared as data: its name follows from what it is. No Spark, no computation in here.

Windows of users are (t - w, t], windows of items are [hour - w, hour). Times are UTC, prices integers in minor units.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

from recsys import tables

Entity = Literal["user", "item", "request", "pair"]
Default = int | float | bool | None

SEMANTICS = 1  # raise it when a computation changes and its declaration does not: older models no longer fit then
CTR_PRIOR = (1, 20)  # clicks and impressions added to each item: a rate of 0.05 with the weight of 20 impressions
SHARE_PRIOR = (0.5, 50.0)  # behaviours of an item and of all: an item without any is likely when all have few
PRICE_WINDOW = "30d"  # how far back an item's price is compared with earlier ones
LAST = 10  # newest behaviours that `pair_in_last_10` looks at


@dataclass(frozen=True, kw_only=True)
class Feature:
    """A feature. `default` is its value without any behaviour; None: unknown (NaN in NumPy, NULL in Delta)."""

    entity: Entity
    operation: str
    of: str = ""  # the behaviour or quantity that it concerns
    window: str = ""
    reference: str = ""  # the longer window of a trend
    unit: str
    type: Literal["bigint", "double", "boolean"]
    default: Default
    meaning: str

    @property
    def name(self) -> str:
        """Derived name, such as `view_count_7d`; all but user features carry their entity as a prefix."""
        prefix = "" if self.entity == "user" else self.entity
        return "_".join(part for part in (prefix, self.of, self.operation, self.window, self.reference) if part)


def _count(entity: Entity, of: str, window: str = "") -> Feature:
    what = {"engaged": "engaged behaviours", "event": "events, impressions included"}.get(of, f"{of} behaviours")
    kept = " within the last K" if entity == "user" else ""
    return Feature(
        entity=entity,
        operation="count",
        of=of,
        window=window,
        unit="events",
        type="bigint",
        default=0,
        meaning=f"number of {what}{f' in {window}' if window else ''}{kept}",
    )


def _trend(entity: Entity, window: str, reference: str) -> Feature:
    return Feature(
        entity=entity,
        operation="trend",
        of="engaged",
        window=window,
        reference=reference,
        unit="ratio",
        type="double",
        default=1.0,
        meaning=f"(engaged in {window} + 1) / (engaged in {reference}, scaled to {window}, + 1); above 1: rising",
    )


def _share(window: str) -> Feature:
    good, prior = SHARE_PRIOR
    return Feature(
        entity="item",
        operation="share",
        of="engaged",
        window=window,
        unit="log ratio",
        type="double",
        default=None,
        meaning=f"ln((engaged in {window} + {good}) / (engaged behaviours of all items in {window} + {prior})); "
        "unknown: no event in 7d",
    )


def _real(entity: Entity, operation: str, unit: str, meaning: str, window: str = "", of: str = "") -> Feature:
    return Feature(
        entity=entity,
        operation=operation,
        of=of,
        window=window,
        unit=unit,
        type="double",
        default=None,
        meaning=meaning,
    )


def _whole(entity: Entity, operation: str, unit: str, meaning: str, window: str = "", of: str = "") -> Feature:
    return Feature(
        entity=entity,
        operation=operation,
        of=of,
        window=window,
        unit=unit,
        type="bigint",
        default=0,
        meaning=meaning,
    )


USER_FEATURES: tuple[Feature, ...] = (
    *(_count("user", "engaged", w) for w in ("", "15m", "1h", "1d", "7d", "30d")),
    *(_count("user", "view", w) for w in ("1h", "1d", "7d", "30d")),
    *(_count("user", "click", w) for w in ("1h", "1d", "7d")),
    *(_count("user", "search", w) for w in ("1d", "7d")),
    *(_count("user", "cart", w) for w in ("1d", "7d")),
    *(_count("user", "purchase", w) for w in ("7d", "30d")),
    _count("user", "rating", "30d"),
    *(_whole("user", "distinct_items", "items", f"different items in {w}", w) for w in ("1d", "7d")),
    _whole("user", "spend", "minor units", "price x quantity over purchases of known price in 30d", "30d", "purchase"),
    _real("user", "price_mean", "minor units", "mean known price of the items in 30d", "30d"),
    _real("user", "price_min", "minor units", "lowest known price of the items in 30d", "30d"),
    _real("user", "price_max", "minor units", "highest known price of the items in 30d", "30d"),
    _real("user", "price_last", "minor units", "newest known price"),
    _real("user", "recency_s", "s", "time since the newest behaviour"),
    _real("user", "recency_s", "s", "time since the newest purchase", of="purchase"),
    _real("user", "age_s", "s", "time since the first of the last K behaviours"),
    _whole("user", "session_position", "events", "behaviours of the running session so far; 0: none is running"),
    _real("user", "session_s", "s", "time since the first behaviour of the running session; unknown: none is running"),
    _whole("user", "session_count", "sessions", "sessions with a behaviour in 7d", "7d"),
    _real("user", "session_mean", "events", "behaviours in 7d divided by sessions in 7d", "7d"),
    _real("user", "mean", "value", "mean value of the ratings within the last K", of="rating"),
    _trend("user", "1d", "7d"),
    Feature(
        entity="user",
        operation="is_bot",
        unit="flag",
        type="boolean",
        default=False,
        meaning="behaves like a program: too many behaviours in 10 minutes, or gaps too short for a person",
    ),
)

ITEM_FEATURES: tuple[Feature, ...] = (
    *(_count("item", "engaged", w) for w in ("1h", "6h", "1d", "7d")),
    *(_count("item", "event", w) for w in ("1h", "6h", "1d", "7d")),
    *(_share(w) for w in ("1h", "6h", "1d")),
    _count("item", "impression", "7d"),
    _count("item", "click", "7d"),
    _count("item", "cart", "7d"),
    _count("item", "purchase", "7d"),
    _whole("item", "revenue", "minor units", "price x quantity over purchases of known price in 7d", "7d"),
    Feature(
        entity="item",
        operation="ctr",
        window="7d",
        unit="ratio",
        type="double",
        default=CTR_PRIOR[0] / CTR_PRIOR[1],
        meaning=f"(clicks + {CTR_PRIOR[0]}) / (the larger of impressions and clicks + {CTR_PRIOR[1]}) in 7d",
    ),
    _real("item", "price_minor", "minor units", "list price valid at the hour"),
    _real(
        "item",
        "price_ratio",
        "log",
        f"ln((list price + 1) / (highest list price from {PRICE_WINDOW} before it took effect + 1)); below 0: reduced",
        PRICE_WINDOW,
    ),
    _real("item", "age_s", "s", "time since the start of the hour with the item's first event"),
    _trend("item", "1h", "1d"),
    _trend("item", "1d", "7d"),
)

REQUEST_FEATURES: tuple[Feature, ...] = (
    Feature(
        entity="request",
        operation="is_ahead",
        unit="flag",
        type="boolean",
        default=False,
        meaning="the list is made ahead, to be looked at within a day, as the nightly ones are; else at once",
    ),
)

PAIR_FEATURES: tuple[Feature, ...] = (
    _count("pair", "engaged"),
    _count("pair", "purchase"),
    _real("pair", "recency_s", "s", "time since the user's newest behaviour with the item"),
    Feature(
        entity="pair",
        operation="in_last",
        window=str(LAST),
        unit="flag",
        type="boolean",
        default=False,
        meaning=f"the item is among the user's newest {LAST} behaviours",
    ),
    _real("pair", "price_ratio", "log", "ln((item's price + 1) / (user's mean price in 30d + 1))"),
    _real(
        "pair",
        "category_price_ratio",
        "log",
        "ln(item's price + 1) minus the mean of the same over the user's behaviours in the item's category",
    ),
    _real("pair", "category_share", "ratio", "share of the user's behaviours that have the item's category"),
    _real(
        "pair",
        "similarity_lead",
        "cosine",
        "similarity minus the soft maximum over all items: the encoder's log probability times its temperature",
    ),
    _real(
        "pair",
        "affinity",
        "log ratio",
        "how much denser the user's newest behaviours lie around the item than everyone's: a kernel of item cosines",
    ),
    _real("pair", "affinity_last", "log ratio", f"the same of the user's newest {LAST} behaviours alone", str(LAST)),
    _real("pair", "similarity", "cosine", "cosine of the user's and the item's embedding"),
)


def names(features: tuple[Feature, ...]) -> tuple[str, ...]:
    """Feature names in order."""
    return tuple(feature.name for feature in features)


def columns(features: tuple[Feature, ...]) -> tuple[tables.Column, ...]:
    """Features as table columns; the meaning, with its unit, is also the comment in Delta."""
    return tuple(tables.Column(name=f.name, type=f.type, meaning=f"{f.meaning} [{f.unit}]") for f in features)


def feature_hash(features: tuple[Feature, ...]) -> str:
    """16 hex digits over what decides the values: declarations without their wording, priors, SEMANTICS."""
    declared = [{k: v for k, v in asdict(f).items() if k != "meaning"} for f in features]
    text = json.dumps([SEMANTICS, CTR_PRIOR, SHARE_PRIOR, LAST, declared], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


FEATURE_HASH = feature_hash(USER_FEATURES + ITEM_FEATURES + REQUEST_FEATURES + PAIR_FEATURES)
USER_PROFILES_FULL = tables.USER_PROFILES.extended(columns(USER_FEATURES))
ITEM_FEATURES_FULL = tables.ITEM_FEATURES.extended(columns(ITEM_FEATURES))
