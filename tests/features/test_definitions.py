"""Names, uniqueness and the hash of the declarations."""

from dataclasses import replace

import pytest

from recsys.config import FeatureSettings, Settings, parse
from recsys.errors import ConfigError
from recsys.features.definitions import (
    ITEM_FEATURES,
    PAIR_FEATURES,
    REQUEST_FEATURES,
    USER_FEATURES,
    all_features,
    check_features,
    feature_hash,
    feature_names,
    item_features_table,
    names,
    profiles_table,
    user_features_of,
)

ALL = USER_FEATURES + ITEM_FEATURES + REQUEST_FEATURES + PAIR_FEATURES


def test_names_are_derived() -> None:
    wanted = {"view_count_7d", "engaged_count", "purchase_spend_sum_30d", "recency_s", "purchase_recency_s", "is_bot"}
    wanted |= {"engaged_trend_1d_7d", "item_engaged_count_1h", "item_ctr_7d", "pair_in_last_10", "pair_similarity"}
    assert wanted <= set(names(ALL))


def test_names_are_unique_and_similarity_is_last() -> None:
    assert len(set(feature_names(FeatureSettings()))) == len(ALL)
    assert feature_names(FeatureSettings()) == names(ALL)
    assert feature_names(FeatureSettings())[-1] == "pair_similarity"


def test_hash_follows_meaning_of_values_not_wording() -> None:
    first = ALL[0]
    assert feature_hash((replace(first, meaning="reworded"), *ALL[1:])) == feature_hash(ALL)
    assert feature_hash((replace(first, default=1), *ALL[1:])) != feature_hash(ALL)
    assert feature_hash(ALL[::-1]) != feature_hash(ALL)


@pytest.mark.parametrize("feature", ALL, ids=lambda f: f.name)
def test_every_feature_says_what_it_is(feature: object) -> None:
    declared = next(f for f in ALL if f is feature)
    assert declared.meaning
    assert declared.unit
    assert declared.default is not None or declared.type == "double", "only doubles can be unknown"


def test_tables_carry_the_features_with_their_meaning() -> None:
    profiles = profiles_table(FeatureSettings())
    assert profiles.names[-len(USER_FEATURES) :] == names(USER_FEATURES)
    assert item_features_table(FeatureSettings()).names[-len(ITEM_FEATURES) :] == names(ITEM_FEATURES)
    assert "minor units" in next(c.meaning for c in profiles.columns if c.name == "price_min_30d")


def declared(**feature: str) -> Settings:
    return parse(Settings, {"features": {"user": [feature]}}, "own.yaml")


def test_features_of_the_settings_are_columns_and_inputs_and_change_the_hash() -> None:
    settings = declared(operation="sum", behaviour="purchase", value="price", window="14d")
    check_features(settings)
    assert names(user_features_of(settings.features)) == (*names(USER_FEATURES), "purchase_price_sum_14d")
    column = profiles_table(settings.features).columns[-1]
    meaning = "sum of the known price over purchase behaviours in 14d [minor units]"
    assert (column.name, column.type, column.meaning) == ("purchase_price_sum_14d", "bigint", meaning)
    assert feature_names(settings.features)[len(USER_FEATURES)] == "purchase_price_sum_14d"
    assert feature_names(settings.features)[-1] == "pair_similarity"
    assert feature_hash(all_features(settings.features)) != feature_hash(ALL)


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        ({"operation": "count", "behaviour": "view", "window": "7d"}, "'view_count_7d' is declared twice"),
        ({"operation": "count", "behaviour": "veiw"}, "behaviour 'veiw' is not declared.*'view'"),
        (
            {"operation": "count", "behaviour": "impression"},
            "'impression' is not engaged, so a user's state",
        ),
    ],
)
def test_what_no_state_can_say_is_refused(feature: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_features(declared(**feature))
