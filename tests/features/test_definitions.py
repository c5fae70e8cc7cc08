"""Names, uniqueness and the hash of the declarations."""

from dataclasses import replace

import pytest

from recsys.features.definitions import (
    FEATURE_HASH,
    ITEM_FEATURES,
    ITEM_FEATURES_FULL,
    PAIR_FEATURES,
    REQUEST_FEATURES,
    USER_FEATURES,
    USER_PROFILES_FULL,
    feature_hash,
    names,
)
from recsys.features.pairs import feature_names

ALL = USER_FEATURES + ITEM_FEATURES + REQUEST_FEATURES + PAIR_FEATURES


def test_names_are_derived() -> None:
    wanted = {"view_count_7d", "engaged_count", "purchase_spend_30d", "recency_s", "purchase_recency_s", "is_bot"}
    wanted |= {"engaged_trend_1d_7d", "item_engaged_count_1h", "item_ctr_7d", "pair_in_last_10", "pair_similarity"}
    assert wanted <= set(names(ALL))


def test_names_are_unique_and_similarity_is_last() -> None:
    assert len(set(feature_names())) == len(ALL)
    assert feature_names() == names(ALL)
    assert feature_names()[-1] == "pair_similarity"


def test_hash_follows_meaning_of_values_not_wording() -> None:
    first = ALL[0]
    assert feature_hash((replace(first, meaning="reworded"), *ALL[1:])) == FEATURE_HASH
    assert feature_hash((replace(first, default=1), *ALL[1:])) != FEATURE_HASH
    assert feature_hash(ALL[::-1]) != FEATURE_HASH


@pytest.mark.parametrize("feature", ALL, ids=lambda f: f.name)
def test_every_feature_says_what_it_is(feature: object) -> None:
    declared = next(f for f in ALL if f is feature)
    assert declared.meaning
    assert declared.unit
    assert declared.default is not None or declared.type == "double", "only doubles can be unknown"


def test_tables_carry_the_features_with_their_meaning() -> None:
    assert USER_PROFILES_FULL.names[-len(USER_FEATURES) :] == names(USER_FEATURES)
    assert ITEM_FEATURES_FULL.names[-len(ITEM_FEATURES) :] == names(ITEM_FEATURES)
    assert "minor units" in next(c.meaning for c in USER_PROFILES_FULL.columns if c.name == "price_min_30d")
