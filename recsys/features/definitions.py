"""Every feature, declared as data: its name follows from what it is. No Spark, no computation in here.

Windows of users are (t - w, t], windows of items are [hour - w, hour). Times are UTC, prices integers in minor units.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace

from recsys import tables
from recsys.config import FeatureSettings, ItemFeature, Settings, UserFeature
from recsys.errors import ConfigError
from recsys.features.feature import Feature, count, flag, real, whole
from recsys.features.item_feature import SHARE_PRIOR, check_item_features, of_item
from recsys.features.kept import check_user_features, is_input, text_column, texts_of
from recsys.features.worded import of_user

SEMANTICS = 1  # raise it when a computation changes and its declaration does not: older models no longer fit then
CTR_PRIOR = (1, 20)  # clicks and impressions added to each item: a rate of 0.05 with the weight of 20 impressions
PRICE_WINDOW = "30d"  # how far back an item's price is compared with earlier ones
LATER = (
    "per",
    "prior",
    "key",
    "k",
)  # hashed where there are any, so that older hashes stay as they are
LAST = 10  # newest behaviours that `pair_in_last_10` looks at


_COUNTED = {
    "": ("", "15m", "1h", "1d", "7d", "30d"),
    "view": ("1h", "1d", "7d", "30d"),
    "click": ("1h", "1d", "7d"),
    "search": ("1d", "7d"),
    "cart": ("1d", "7d"),
    "purchase": ("7d", "30d"),
    "rating": ("30d",),
}
_DECLARED = (
    *(UserFeature(operation="count", behaviour=b, window=w) for b, windows in _COUNTED.items() for w in windows),
    UserFeature(operation="distinct_items", window="1d"),
    UserFeature(operation="distinct_items", window="7d"),
    UserFeature(operation="sum", behaviour="purchase", value="spend", window="30d"),
    UserFeature(operation="mean", value="price", window="30d"),
    UserFeature(operation="min", value="price", window="30d"),
    UserFeature(operation="max", value="price", window="30d"),
    UserFeature(operation="last", value="price"),
    UserFeature(operation="recency_s"),
    UserFeature(operation="recency_s", behaviour="purchase"),
    UserFeature(operation="mean", behaviour="rating", value="value"),
    UserFeature(operation="trend", window="1d", reference="7d"),
)
USER_FEATURES: tuple[Feature, ...] = (
    *map(of_user, _DECLARED),
    real("user", "age_s", "s", "time since the first of the last K behaviours"),
    whole("user", "session_position", "events", "behaviours of the running session so far; 0: none is running"),
    real("user", "session_s", "s", "time since the first behaviour of the running session; unknown: none is running"),
    whole("user", "session_count", "sessions", "sessions with a behaviour in 7d", "7d"),
    real("user", "session_mean", "events", "behaviours in 7d divided by sessions in 7d", "7d"),
    flag("user", "is_bot", "behaves like a program: too many behaviours in 10 minutes, or gaps too short for a person"),
)

_OF_ITEMS = (
    *(ItemFeature(operation="count", window=w) for w in ("1h", "6h", "1d", "7d")),
    *(ItemFeature(operation="count", behaviour="event", window=w) for w in ("1h", "6h", "1d", "7d")),
    *(ItemFeature(operation="share", window=w) for w in ("1h", "6h", "1d")),
    *(ItemFeature(operation="count", behaviour=b, window="7d") for b in ("impression", "click", "cart", "purchase")),
)
_TRENDS = (
    ItemFeature(operation="trend", window="1h", reference="1d"),
    ItemFeature(operation="trend", window="1d", reference="7d"),
)
ITEM_FEATURES: tuple[Feature, ...] = (
    *map(of_item, _OF_ITEMS),
    whole("item", "revenue", "minor units", "price x quantity over purchases of known price in 7d", "7d"),
    Feature(
        entity="item",
        operation="ctr",
        window="7d",
        unit="ratio",
        type="double",
        default=CTR_PRIOR[0] / CTR_PRIOR[1],
        meaning=f"(clicks + {CTR_PRIOR[0]}) / (the larger of impressions and clicks + {CTR_PRIOR[1]}) in 7d",
    ),
    real("item", "price_minor", "minor units", "list price valid at the hour"),
    real(
        "item",
        "price_ratio",
        "log",
        f"ln((list price + 1) / (highest list price from {PRICE_WINDOW} before it took effect + 1)); below 0: reduced",
        PRICE_WINDOW,
    ),
    real("item", "age_s", "s", "time since the start of the hour with the item's first event; unknown: no event in 7d"),
    *map(of_item, _TRENDS),
)

REQUEST_FEATURES: tuple[Feature, ...] = (
    flag(
        "request",
        "is_ahead",
        "the list is made ahead, to be looked at within a day, as the nightly ones are; else at once",
    ),
)

PAIR_FEATURES: tuple[Feature, ...] = (
    count("pair", "engaged"),
    count("pair", "purchase"),
    real("pair", "recency_s", "s", "time since the user's newest behaviour with the item"),
    flag("pair", "in_last", f"the item is among the user's newest {LAST} behaviours", str(LAST)),
    real("pair", "price_ratio", "log", "ln((item's price + 1) / (user's mean price in 30d + 1))"),
    real(
        "pair",
        "category_price_ratio",
        "log",
        "ln(item's price + 1) minus the mean of the same over the user's behaviours in the item's category",
    ),
    real("pair", "category_share", "ratio", "share of the user's behaviours that have the item's category"),
    real(
        "pair",
        "similarity_lead",
        "cosine",
        "similarity minus the soft maximum over all items: the encoder's log probability times its temperature",
    ),
    real(
        "pair",
        "affinity",
        "log ratio",
        "how much denser the user's newest behaviours lie around the item than everyone's: a kernel of item cosines",
    ),
    real("pair", "affinity_last", "log ratio", f"the same of the user's newest {LAST} behaviours alone", str(LAST)),
    real("pair", "similarity", "cosine", "cosine of the user's and the item's embedding"),
)


def names(features: tuple[Feature, ...]) -> tuple[str, ...]:
    """Feature names in order."""
    return tuple(feature.name for feature in features)


def columns(features: tuple[Feature, ...]) -> tuple[tables.Column, ...]:
    """Features as table columns; the meaning, with its unit, is also the comment in Delta."""
    return tuple(tables.Column(name=f.name, type=f.type, meaning=f"{f.meaning} [{f.unit}]") for f in features)


def user_features_of(settings: FeatureSettings) -> tuple[Feature, ...]:
    """The features of users that the ranker reads: USER_FEATURES, and the settings' numbers over the last K."""
    return USER_FEATURES + tuple(of_user(f) for f in settings.user if is_input(f))


def profile_features_of(settings: FeatureSettings) -> tuple[Feature, ...]:
    """All features of users, columns of `user_profiles`: `user_features_of`, then the settings' other ones.

    Raises ConfigError: a feature that is there already.
    """
    others = tuple(of_user(f) for f in settings.user if not is_input(f))
    return _together(user_features_of(settings), others, "features.user", tables.USER_PROFILES.names)


def item_features_of(settings: FeatureSettings) -> tuple[Feature, ...]:
    """The features of items: ITEM_FEATURES and what the settings add.

    Raises ConfigError: a feature that is there already.
    """
    return _together(ITEM_FEATURES, tuple(map(of_item, settings.item)), "features.item")


def _together(
    present: tuple[Feature, ...], added: tuple[Feature, ...], key: str, taken: tuple[str, ...] = ()
) -> tuple[Feature, ...]:
    every = (*taken, *names(present + added))
    twice = next((name for place, name in enumerate(every) if name in every[:place]), None)
    if twice is not None:
        raise ConfigError(f"{key}: {twice!r} is declared twice, or is one of the features that are always there.")
    return present + added


def check_features(settings: Settings) -> None:
    """ConfigError: a feature of the settings that is there already, or that no user's state or no item's tiles keep."""
    profile_features_of(settings.features)
    item_features_of(settings.features)
    check_item_features(settings)
    check_user_features(settings)


def all_features(settings: FeatureSettings) -> tuple[Feature, ...]:
    """All inputs of the ranker, in order; `pair_similarity` is last."""
    return user_features_of(settings) + item_features_of(settings) + REQUEST_FEATURES + PAIR_FEATURES


def feature_names(settings: FeatureSettings) -> tuple[str, ...]:
    """Names of `all_features`: the columns of `pairs.pair_matrix`."""
    return names(all_features(settings))


def feature_hash(features: tuple[Feature, ...]) -> str:
    """16 hex digits over what decides the values: declarations without their wording, priors, SEMANTICS."""
    declared = [{k: v for k, v in asdict(f).items() if k != "meaning" and (v or k not in LATER)} for f in features]
    text = json.dumps([SEMANTICS, CTR_PRIOR, SHARE_PRIOR, LAST, declared], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def profiles_table(settings: FeatureSettings) -> tables.Table:
    """`user_profiles` with a column for each text that features ask for, and for each feature of users."""
    texts = tuple(text_column(text) for text in texts_of(settings.user))
    return tables.USER_PROFILES.extended(texts + columns(profile_features_of(settings)))


def item_rows(features: tuple[Feature, ...]) -> tables.Table:
    """The rows of `item_features` as they are computed and read: without their version, with these features."""
    table = tables.ITEM_FEATURES
    unversioned = tuple(column for column in table.columns if column not in tables.COMMIT)
    return replace(table, columns=unversioned + columns(features))


def item_features_table(settings: FeatureSettings) -> tables.Table:
    """`item_rows` of all features of items. `recsys.features.stored` has what is kept of them."""
    return item_rows(item_features_of(settings))
