"""Settings do not change after reading, and each says what it means."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from recsys.config import parse
from recsys.errors import ConfigError
from recsys.section import Section
from recsys.settings import Settings


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().seed = 1  # type: ignore[misc]


def test_every_setting_is_described() -> None:
    sections: list[type[Section]] = [Settings]
    for section in sections:
        for name, field in section.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, Section):
                sections.append(kind)
            else:
                assert field.description, f"{section.__name__}.{name}"
    assert len(sections) == 9


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"operation": "sum"}, "operation 'sum' takes price, quantity, spend or value, found ''"),
        ({"operation": "count", "value": "price"}, "operation 'count' takes no `value`, found 'price'"),
        ({"operation": "distinct_items", "behaviour": "view"}, "leave `behaviour` out"),
        ({"operation": "decayed_count"}, "operation 'decayed_count' needs a `window`"),
        ({"operation": "trend", "window": "1d"}, "the longer window, belongs to a trend"),
        (
            {"operation": "count", "window": "1d", "reference": "7d"},
            "the longer window, belongs to a trend",
        ),
        ({"operation": "trend", "window": "7d", "reference": "7d"}, "`reference` 7d must be longer than `window` 7d"),
        ({"operation": "count", "window": "91d"}, "a window lies between 1m and 90d"),
        ({"operation": "count", "window": "a week"}, "Window 'a week' is not a number of minutes, hours or days"),
        ({"operation": "cuont"}, "Did you mean 'count'"),
        ({"operation": "count", "windw": "1d"}, "Did you mean 'window'"),
    ],
)
def test_a_feature_that_cannot_be_computed_is_refused_with_its_reason(declared: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        parse(Settings, {"features": {"user": [declared]}}, "own.yaml")
    assert str(caught.value).startswith("own.yaml: features.user.0")
