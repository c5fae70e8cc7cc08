"""Name, unit, default and meaning of a feature, from its declaration."""

from __future__ import annotations

import pytest

from recsys.config import UserFeature
from recsys.features.worded import of_user
from tests.features import oracle
from tests.features.logs import EVERY_KIND


@pytest.mark.parametrize(
    ("declared", "wanted"),
    [
        (
            UserFeature(operation="count", behaviour="view", window="15m"),
            ("view_count_15m", "events", "bigint", 0, "number of view behaviours in 15m within the last K"),
        ),
        (
            UserFeature(operation="decayed_count", window="7d"),
            (
                "engaged_decayed_count_7d",
                "events",
                "double",
                0.0,
                "engaged behaviours within the last K, each halved every 7d of its age",
            ),
        ),
        (
            UserFeature(operation="std", value="price"),
            (
                "price_std",
                "minor units",
                "double",
                None,
                "population standard deviation of the known price over engaged behaviours within the last K",
            ),
        ),
        (
            UserFeature(operation="sum", behaviour="rating", value="value", window="30d"),
            (
                "rating_value_sum_30d",
                "value",
                "double",
                0.0,
                "sum of the own number, such as stars, where there is one over rating behaviours in 30d",
            ),
        ),
        (
            UserFeature(operation="recency_s", behaviour="cart"),
            ("cart_recency_s", "s", "double", None, "time since the newest cart"),
        ),
    ],
)
def test_all_of_a_feature_follows_from_what_is_declared(declared: UserFeature, wanted: tuple[object, ...]) -> None:
    made = of_user(declared)
    assert (made.name, made.unit, made.type, made.default, made.meaning) == wanted


def test_names_differ_where_features_do() -> None:
    made = [of_user(declared) for declared in EVERY_KIND]
    assert [feature.name for feature in made] == [oracle.name_of(declared) for declared in EVERY_KIND]
    assert len({feature.name for feature in made}) == len(made)
    assert all(feature.default is not None or feature.type == "double" for feature in made)
