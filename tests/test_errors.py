"""Exit codes and hints."""

from __future__ import annotations

import pytest

from recsys import errors
from recsys.errors import RecsysError, nearest


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("RecsysError", 1),
        ("AccountingError", 1),
        ("BundleError", 1),
        ("StoreError", 1),
        ("ConfigError", 2),
        ("RequestError", 2),
        ("NoDataError", 3),
        ("RefusedError", 4),
    ],
)
def test_exit_codes(name: str, code: int) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, RecsysError)
    assert kind("said").exit_code == code


def test_the_nearest_name_comes_first_and_all_follow() -> None:
    assert nearest("itm", ["user", "item"]) == " Did you mean 'item'? Valid: item, user."
    assert nearest("zzz", ["user", "item"]) == " Valid: item, user."
