"""What the ranker reads, what the state keeps, and what is refused since no state says it exactly."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from recsys.config import FeatureSettings, Settings, load, parse
from recsys.errors import ConfigError
from recsys.events.mapping import load_mapping, merged
from recsys.features.definitions import (
    all_features,
    check_features,
    feature_hash,
    names,
    profile_features_of,
    profiles_table,
    user_features_of,
)
from recsys.features.kept import check_texts, text_column, texts_of, without_declared
from recsys.features.worded import of_user
from tests.features.logs import EVERY_KIND, FADING, KEYED, LIFETIME

CONF = Path(__file__).resolve().parents[2] / "conf"
EVERY = FeatureSettings(user=LIFETIME + FADING + KEYED + EVERY_KIND)


def declared(**feature: Any) -> Settings:
    return parse(Settings, {"features": {"user": [feature]}}, "own.yaml")


def test_the_ranker_reads_numbers_of_the_last_k_alone() -> None:
    plain = FeatureSettings(user=EVERY_KIND)
    assert user_features_of(EVERY) == user_features_of(plain)
    assert feature_hash(all_features(EVERY)) == feature_hash(all_features(plain))
    whole = tuple(map(of_user, EVERY_KIND + LIFETIME + FADING + KEYED))
    assert names(profile_features_of(EVERY)) == (*names(user_features_of(FeatureSettings())), *names(whole))


def test_profiles_have_a_column_for_each_text_and_feature() -> None:
    table = profiles_table(EVERY)
    assert texts_of(EVERY.user) == ("category", "query")
    first = table.names.index("recent_category")
    assert table.names[first : first + 2] == ("recent_category", "recent_query")
    assert table.names[first + 2 :] == names(profile_features_of(EVERY))
    assert text_column("query").type == "array<string>"
    assert not [name for name in profiles_table(FeatureSettings()).names if name.startswith("recent_")]


def test_settings_without_declared_features_keep_the_rest() -> None:
    settings = Settings(seed=5, features=FeatureSettings(k=9, user=KEYED))
    assert without_declared(settings) == Settings(seed=5, features=FeatureSettings(k=9))


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        ({"operation": "rate", "behaviour": "click", "per": "impression"}, "'impression' is not engaged"),
        ({"operation": "rate", "behaviour": "click", "per": "veiw"}, "'veiw' is not declared. Did you mean 'view'"),
        ({"operation": "lifetime_count", "behaviour": "veiw"}, "'veiw' is not declared. Did you mean 'view'"),
        ({"operation": "top_k", "key": "item", "k": 2, "behaviour": "impression"}, "ask for a lifetime's number"),
        ({"operation": "last_k", "key": "item", "k": 257}, "keeps the last 256 behaviours"),
        ({"operation": "distinct", "key": "item", "behaviour": "x" * 3}, "'xxx' is not declared"),
    ],
)
def test_what_the_state_does_not_keep_is_refused(feature: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        check_features(declared(**feature))


def test_what_a_lifetime_counts_needs_not_be_engaged() -> None:
    check_features(declared(operation="lifetime_rate", behaviour="click", per="impression"))


def test_a_key_that_the_mapping_does_not_give_is_refused() -> None:
    category = declared(operation="top_k", key="category", k=3)
    check_texts(category, query=False, context=["category"])
    with pytest.raises(ConfigError, match=r"no event has a 'category'.*Add `context\.category` there.*'item'|device"):
        check_texts(category, query=True, context=["device"])
    word = declared(operation="distinct", key="term")
    check_texts(word, query=True, context=[])
    with pytest.raises(ConfigError, match=r"no event has a 'query'.*Add `query` there"):
        check_texts(word, query=False, context=["term"])


def test_the_example_fits_the_shop_and_brings_every_operation_group() -> None:
    settings = load([str(CONF / "features.yaml")], env={})
    mapping = load_mapping(str(CONF / "sources" / "simulate.yaml"))
    whole = merged(settings, mapping)
    check_features(whole)
    check_texts(whole, query=mapping.query is not None, context=mapping.context)
    assert {"item_top5_7d", "search_term_top10_30d", "device_counts_30d", "impression_lifetime_count"} <= set(
        names(profile_features_of(settings.features))
    )
