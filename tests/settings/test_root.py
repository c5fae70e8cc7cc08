"""Settings do not change after reading, and each says what it means."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from recsys.settings.root import Settings
from recsys.settings.section import Section


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
    assert len(sections) == 12
