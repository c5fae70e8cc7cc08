"""Features of items from their declarations: names, meanings, and what no tiles add up to."""

from __future__ import annotations

from typing import Any

import pytest

from recsys.config import FeatureSettings, ItemFeature, Settings, parse
from recsys.days import microseconds
from recsys.errors import ConfigError
from recsys.features.definitions import (
    ITEM_FEATURES,
    all_features,
    check_features,
    feature_hash,
    feature_names,
    item_features_of,
    item_features_table,
    names,
)
from recsys.features.item_feature import lifelong, of_item, reach
from tests.features.item_oracle import EVERY_ITEM, name_of


@pytest.mark.parametrize("feature", EVERY_ITEM, ids=name_of)
def test_a_name_follows_from_the_declaration(feature: ItemFeature) -> None:
    made = of_item(feature)
    assert made.name == name_of(feature)
    assert made.unit
    assert made.meaning
    assert made.default is not None or made.operation == "share"


@pytest.mark.parametrize(
    ("declared", "wanted"),
    [
        (
            {"operation": "count", "behaviour": "view", "window": "6h"},
            ("item_view_count_6h", "events", "bigint", 0, "number of view behaviours in 6h"),
        ),
        (
            {"operation": "sum", "behaviour": "purchase", "value": "quantity"},
            (
                "item_purchase_quantity_sum",
                "pieces",
                "bigint",
                0,
                "sum of the quantity over purchase behaviours in the item's life",
            ),
        ),
        (
            {"operation": "rate", "behaviour": "purchase", "per": "cart", "prior": [1, 20], "window": "7d"},
            (
                "item_purchase_per_cart_rate_7d",
                "ratio",
                "double",
                0.05,
                "(purchase + 1) / (the larger of cart and purchase + 20) in 7d",
            ),
        ),
        (
            {"operation": "trend", "window": "1d", "reference": "7d"},
            (
                "item_engaged_trend_1d_7d",
                "ratio",
                "double",
                1.0,
                "(engaged in 1d + 1) / (engaged in 7d, scaled to 1d, + 1); above 1: rising",
            ),
        ),
        (
            {"operation": "distinct_users", "behaviour": "view", "window": "1d"},
            (
                "item_view_distinct_users_1d",
                "users",
                "bigint",
                0,
                "about how many known users have view behaviours in 1d: relative standard error 1.6%",
            ),
        ),
    ],
)
def test_unit_type_default_and_meaning(declared: dict[str, Any], wanted: tuple[object, ...]) -> None:
    made = of_item(ItemFeature(**declared))
    assert (made.name, made.unit, made.type, made.default, made.meaning) == wanted


def settings(*declared: dict[str, Any], **stream: int) -> Settings:
    return parse(Settings, {"features": {"item": list(declared)}, "stream": stream}, "own.yaml")


def test_declared_features_are_columns_and_inputs_and_change_the_hash() -> None:
    own = settings({"operation": "rate", "behaviour": "cart", "per": "view", "prior": [1, 50], "window": "3d"})
    check_features(own)
    assert names(item_features_of(own.features)) == (*names(ITEM_FEATURES), "item_cart_per_view_rate_3d")
    column = item_features_table(own.features).columns[-1]
    assert column.meaning == "(cart + 1) / (the larger of view and cart + 50) in 3d [ratio]"
    assert set(feature_names(own.features)) - set(feature_names(FeatureSettings())) == {"item_cart_per_view_rate_3d"}
    other = settings({"operation": "rate", "behaviour": "cart", "per": "view", "prior": [1, 51], "window": "3d"})
    hashes = {feature_hash(all_features(one)) for one in (own.features, other.features, FeatureSettings())}
    assert len(hashes) == 3


def test_the_features_that_are_always_there_are_hashed_as_ever() -> None:
    """Days of `item_features` that an earlier release computed stay good: nothing that they rest on has changed."""
    assert feature_hash(ITEM_FEATURES) == "4f2ef442aa5b9265"


def test_how_far_back_features_reach() -> None:
    assert reach(ITEM_FEATURES) == microseconds("7d")
    assert not lifelong(ITEM_FEATURES)
    assert reach([of_item(ItemFeature(operation="count", window="20d"))]) == microseconds("20d")
    assert reach([of_item(ItemFeature(operation="trend", window="1d", reference="30d"))]) == microseconds("30d")
    decayed = of_item(ItemFeature(operation="decayed_count", window="8d", half_life="60d"))
    assert reach([decayed]) == microseconds("8d")
    assert lifelong([*ITEM_FEATURES, of_item(ItemFeature(operation="count"))])


@pytest.mark.parametrize(
    ("declared", "stream", "said"),
    [
        ({"operation": "count", "behaviour": "veiw"}, {}, "behaviour 'veiw' is not declared. Did you mean 'view'"),
        ({"operation": "rate", "per": "chart", "prior": [1, 2]}, {}, "behaviour 'chart' .* Did you mean 'cart'"),
        ({"operation": "count", "window": "7m"}, {}, "'7m' is no multiple of a tile .*nearest that is: '5m'"),
        ({"operation": "count", "window": "14m"}, {"tile_minutes": 10}, "tile_minutes: 10.*nearest that is: '10m'"),
        ({"operation": "count", "window": "1m"}, {}, "nearest that is: '5m'"),
        ({"operation": "count", "window": "401d"}, {}, "'401d' is longer than stream.retention_days.*is '400d'"),
        ({"operation": "trend", "window": "1d", "reference": "9d"}, {"retention_days": 8}, "'9d' is longer.*'8d'"),
        ({"operation": "count", "window": "7d"}, {}, "'item_engaged_count_7d' is declared twice, or is one of"),
        (
            {"operation": "count", "behaviour": "engaged", "window": "1h"},
            {},
            "'item_engaged_count_1h' is declared twice",
        ),
    ],
)
def test_what_no_tiles_add_up_to_is_refused(declared: dict[str, Any], stream: dict[str, int], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_features(settings(declared, **stream))
