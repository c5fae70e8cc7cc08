"""The committed page equals the definitions."""

from pathlib import Path

from recsys.features.docs import page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "features.md"


def test_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m recsys.features.docs > docs/features.md"
