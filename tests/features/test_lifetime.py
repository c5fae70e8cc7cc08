"""Numbers over a lifetime, by hand: beyond K, with impressions, ties and users that never did it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from random import Random
from typing import TYPE_CHECKING

import pytest

from recsys.config import FeatureSettings, Settings
from recsys.features.lifetime import lifetime_features_of
from recsys.settings.user import FIRST, LAST, ORIGIN, SHORTEST_LIFE
from recsys.tables import EVENTS
from tests.features import oracle
from tests.features.declared import lifetime_values, name_of
from tests.features.logs import AT, EVERY_KIND, FADING, KEYED, LIFETIME
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


DAY = 86_400 * S


def test_the_era_is_what_it_says_and_its_weights_are_normal_doubles() -> None:
    moments = [datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=t) for t in (FIRST, ORIGIN, LAST)]
    assert moments == [datetime(year, 1, 1, tzinfo=timezone.utc) for year in (1990, 2030, 2070)]
    furthest = max(ORIGIN - FIRST, LAST - ORIGIN) / (int(SHORTEST_LIFE.removesuffix("d")) * DAY)
    assert furthest < min(1022, 1023 - 63)


def test_decayed_and_distinct_ones_forget_the_order(spark: SparkSession) -> None:
    """By hand; at the ends of the era; and of one set of events in any order and cut, as the plain oracle has it."""
    from recsys.features.state import profile_state

    random = Random(4)
    some = [
        Event(f"{n}", "", AT - random.randrange(300 * DAY), random.choice(["view", "impression", "cart"]),
              random.choice(["a", "b", None, *map(str, range(40))]), random.choice([None, 0, 7, 2**40]),
              random.randrange(-2, 4), random.choice([None, 0.1, 4.5]))
        for n in range(200)
    ]  # fmt: skip
    hand = [
        Event("1", "hand", AT - 32 * DAY, "view", "a", 100, 3),
        Event("2", "hand", AT - 16 * DAY, "view", "a", 10, -1),  # a return is left out of the sum
        Event("3", "hand", AT, "impression", "b", 5, 1),
    ]
    ends = [
        Event("4", "ends", FIRST - 1, "view", "a", 1, 1),  # before the era: not counted
        Event("5", "ends", FIRST, "view", "a", 1, 1),
        Event("6", "ends", FIRST + 16 * DAY, "impression", "a", 1, 1),
        Event("7", "late", LAST - 1, "view", "a", 2**62, 1),
        Event("8", "gone", FIRST - 1, "view", "a", 1, 1),
    ]
    orders = {f"u{n}": random.sample(some, len(some)) for n in range(6)}
    log = [*hand, *ends, *(replace(e, id=f"{user}-{e.id}", user=user) for user, own in orders.items() for e in own)]
    frame = spark.createDataFrame(list(map(row_of, log)), EVENTS.ddl).repartition(3, "event_id")
    settings = Settings(features=FeatureSettings(k=1, user=FADING))
    rows = {row["user_id"]: row for row in profile_state(frame, settings).toArrow().to_pylist()}
    count, spent, seen = (name_of(FADING[place]) for place in (1, 2, 4))
    assert (rows["hand"][seen], rows["gone"][spent]) == (1, 0.0)
    found = [rows["hand"][count], *(rows[user][spent] for user in ("hand", "ends", "late"))]
    assert found == pytest.approx([1.0, 75.0, 0.5, 2.0**62], rel=1e-12)
    wanted = lifetime_values(some, FADING)
    for user in orders:
        for name, value in wanted.items():
            assert oracle.agree(rows[user][name], value, relative=1e-12), (user, name)
