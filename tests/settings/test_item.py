"""What the settings may say of a feature of items, and how the rest is refused: with the reason and the nearest."""

from __future__ import annotations

from typing import Any

import pytest

from recsys.config import Settings, parse
from recsys.errors import ConfigError
from recsys.settings.item import LIFELONG, NEAREST, ItemFeature, users_of_items


def declared(**feature: Any) -> Settings:
    return parse(Settings, {"features": {"item": [feature]}}, "own.yaml")


def needed(operation: str) -> dict[str, Any]:
    """The least that an operation of the whole life needs."""
    more: dict[str, dict[str, Any]] = {"sum": {"value": "spend"}, "rate": {"per": "view", "prior": [1, 9]}}
    return {"operation": operation, **more.get(operation, {})}


@pytest.mark.parametrize(("operation", "instead"), NEAREST.items())
def test_what_has_no_bounded_state_in_tiles_is_refused_with_what_has(operation: str, instead: str) -> None:
    with pytest.raises(ConfigError, match=f"{operation!r}: .*no exact bounded state.*nearest that has is {instead!r}"):
        declared(operation=operation, window="1d")


def test_a_declaration_is_read_with_its_defaults() -> None:
    (feature,) = declared(operation="rate", behaviour="purchase", per="cart", prior=[1, 20]).features.item
    assert (feature.window, feature.prior, feature.reference, feature.value) == ("", (1.0, 20.0), "", "")
    assert all(isinstance(declared(**needed(name)).features.item[0], ItemFeature) for name in LIFELONG)
    assert not users_of_items(declared(operation="count").features.item)
    assert users_of_items(declared(operation="distinct_users", window="1d").features.item)


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        ({"operation": "cuont", "window": "1d"}, "Did you mean 'count'"),
        ({"operation": "count", "windw": "1d"}, "windw is not a known key. Did you mean 'window'"),
        ({"operation": "count", "value": "spend"}, "operation 'count' is no 'sum', so it takes no `value`"),
        ({"operation": "sum", "window": "1d"}, "operation 'sum' needs a `value`"),
        ({"operation": "sum", "value": "price"}, "Valid: .*quantity, spend"),
        ({"operation": "rate", "per": "view"}, "operation 'rate' needs a `prior`"),
        ({"operation": "rate", "per": "view", "prior": [2, 1]}, "0 <= above <= below, found"),
        ({"operation": "rate", "per": "view", "prior": [0, 0]}, "0 <= above <= below, found"),
        ({"operation": "trend", "window": "1d"}, "operation 'trend' needs a `reference`"),
        ({"operation": "trend", "window": "1d", "reference": "1d"}, "must be longer than `window` 1d"),
        ({"operation": "decayed_count", "window": "1d"}, "operation 'decayed_count' needs a `half_life`"),
        ({"operation": "decayed_count", "window": "1d", "half_life": "5m"}, "below 1h: ages are counted in hours"),
        ({"operation": "distinct_users"}, "needs a `window`: of an item's whole life are only count, sum, rate"),
        ({"operation": "share", "behaviour": "view"}, "needs a `window`"),
        ({"operation": "count", "window": "1w"}, "write 15m, 1h or 30d"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(feature: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        declared(**feature)
