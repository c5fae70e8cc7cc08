"""What a declaration of a feature may ask for, and the reason that a refusal gives."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest

from recsys.config import Settings, UserFeature, parse
from recsys.errors import ConfigError
from recsys.settings.user import TAKES


def test_every_operation_says_what_it_takes() -> None:
    assert tuple(TAKES) == get_args(UserFeature.model_fields["operation"].annotation)
    known = set(UserFeature.model_fields)
    assert {word for needs, may in TAKES.values() for word in (needs + " " + may).split()} == known - {"operation"}


@pytest.mark.parametrize("operation", TAKES)
def test_an_operation_with_all_that_it_takes_is_accepted_and_without_a_need_refused(operation: str) -> None:
    needs, may = (words.split() for words in TAKES[operation])
    whole: dict[str, Any] = {"behaviour": "view", "value": "price", "window": "1m", "reference": "90d", "k": 3}
    whole |= {"key": "category", "per": "cart", "prior": [1, 2]}
    if operation.startswith("lifetime"):
        whole |= {"window": "16d", "key": "item"}
    declared = {"operation": operation, **{name: whole[name] for name in (*needs, *may)}}
    parse(Settings, {"features": {"user": [declared]}}, "own.yaml")
    for name in needs:
        less = {key: value for key, value in declared.items() if key != name}
        with pytest.raises(ConfigError, match=f"{operation!r} (needs `{name}`|takes price, quantity)"):
            parse(Settings, {"features": {"user": [less]}}, "own.yaml")
    for name in whole.keys() - {*needs, *may}:
        with pytest.raises(ConfigError, match=f"{operation!r} takes no `{name}`"):
            parse(Settings, {"features": {"user": [declared | {name: whole[name]}]}}, "own.yaml")


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"operation": "sum"}, "operation 'sum' takes price, quantity, spend or value, found ''"),
        ({"operation": "count", "value": "price"}, "operation 'count' takes no `value`, found 'price'"),
        (
            {"operation": "distinct_items", "behaviour": "view"},
            "takes no `behaviour`: leave it out. `distinct` with `key: item` counts",
        ),
        ({"operation": "decayed_count"}, "operation 'decayed_count' needs `window`"),
        ({"operation": "trend", "window": "1d"}, "operation 'trend' needs `reference`"),
        ({"operation": "count", "window": "1d", "reference": "7d"}, "operation 'count' takes no `reference`"),
        (
            {"operation": "lifetime_count", "window": "7d"},
            "takes no `window`: leave it out. A window is exact within the last K only",
        ),
        ({"operation": "lifetime_sum", "value": "value"}, "would depend on the order in which events came"),
        ({"operation": "lifetime_decayed_count", "window": "15d"}, "leave the range of a double within 40 years"),
        ({"operation": "lifetime_distinct", "key": "query"}, "of `key: item` alone, found 'query'"),
        ({"operation": "lifetime_std", "value": "price"}, "Did you mean 'lifetime_"),
        ({"operation": "rate", "behaviour": "cart", "per": "view", "prior": [2, 1]}, "`prior` [2, 1] is no rate"),
        ({"operation": "rate", "behaviour": "cart", "per": "view", "prior": [0, 0]}, "`prior` [0, 0] is no rate"),
        ({"operation": "top_k", "key": "item", "k": -1}, "greater than or equal to 0"),
        ({"operation": "counts", "key": "a b"}, "features.user.0.key"),
        ({"operation": "trend", "window": "7d", "reference": "7d"}, "`reference` 7d must be longer than `window` 7d"),
        ({"operation": "count", "window": "91d"}, "a window lies between 1m and 90d"),
        ({"operation": "count", "window": "a week"}, "Window 'a week' is not a number of minutes, hours or days"),
        ({"operation": "cuont"}, "Did you mean 'count'"),
        ({"operation": "count", "windw": "1d"}, "Did you mean 'window'"),
    ],
)
def test_a_feature_that_cannot_be_computed_is_refused_with_its_reason(declared: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        parse(Settings, {"features": {"user": [declared]}}, "own.yaml")
    assert str(caught.value).startswith("own.yaml: features.user.0")
