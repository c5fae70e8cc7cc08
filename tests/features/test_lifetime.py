"""Numbers over a lifetime, by hand: beyond K, with impressions, ties and users that never did it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsys.config import FeatureSettings, Settings
from recsys.features.lifetime import lifetime_features_of
from recsys.tables import EVENTS
from tests.features.declared import name_of
from tests.features.logs import AT, EVERY_KIND, KEYED, LIFETIME
from tests.features.oracle import Event, S
from tests.features.shop import row_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SETTINGS = Settings(features=FeatureSettings(k=1, user=LIFETIME))
LOG = [
    Event("b", "u", AT - 9 * S, "view", "a", 300, 2),
    Event("a", "u", AT - 9 * S, "view", "a", 200, 1, 1.5),  # a tie: before b
    Event("c", "u", AT - 5 * S, "cart", "b", 500, 3),
    Event("d", "u", AT - 4 * S, "click", "b", None, 1),
    Event("e", "u", AT, "impression", "c", 101),
    Event("f", "u", AT - 60 * S, "impression", "c", 100),
    Event("g", "u", AT - 30 * S, "impression", "c"),
    Event("h", "v", AT, "impression", "c", 7),
]


def test_those_of_the_settings_alone() -> None:
    settings = Settings(features=FeatureSettings(user=EVERY_KIND + LIFETIME[:2] + KEYED))
    assert [f.name for f in lifetime_features_of(settings)] == ["engaged_lifetime_count", "impression_lifetime_count"]
    assert lifetime_features_of(Settings()) == ()


def test_by_hand(spark: SparkSession) -> None:
    from recsys.features.state import profile_state

    state = profile_state(spark.createDataFrame(list(map(row_of, LOG)), EVENTS.ddl), SETTINGS)
    rows = {row["user_id"]: row for row in state.toArrow().to_pylist()}
    mine = {
        "engaged_lifetime_count": 4,
        "impression_lifetime_count": 3,
        "click_per_impression_lifetime_rate": 2 / 23,
        "purchase_per_cart_lifetime_rate": 0.5 / 3,
        "lifetime_recency_s": 4.0,
        "impression_lifetime_recency_s": 0.0,
        "cart_spend_lifetime_sum": 1500,
        "quantity_lifetime_sum": 7,
        "impression_price_lifetime_mean": 100.5,
        "price_lifetime_min": 200.0,
        "value_lifetime_max": 1.5,
        "view_price_lifetime_first": 200.0,
        "value_lifetime_last": 1.5,
    }
    other = dict.fromkeys(mine) | {
        "engaged_lifetime_count": 0,
        "impression_lifetime_count": 1,
        "click_per_impression_lifetime_rate": 1 / 21,
        "purchase_per_cart_lifetime_rate": 0.25,
        "impression_lifetime_recency_s": 0.0,
        "cart_spend_lifetime_sum": 0,
        "quantity_lifetime_sum": 0,
        "impression_price_lifetime_mean": 7.0,
    }
    assert list(mine) == list(map(name_of, LIFETIME))
    assert {name: rows["u"][name] for name in mine} == mine
    assert {name: rows["v"][name] for name in mine} == other
