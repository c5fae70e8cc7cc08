"""Features from rows of `user_profiles`, at any time."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from recsys.config import FeatureSettings
from recsys.features.definitions import names, profile_features_of
from recsys.features.profile import flat, keyed_of, profile_features
from recsys.settings.user import LIFETIME as BEGINS
from tests.features import oracle
from tests.features.logs import AT, EVERY_KIND, KEYED, LIFETIME
from tests.features.oracle import NAMES, Event, S

SETTINGS = FeatureSettings(user=EVERY_KIND + KEYED + LIFETIME)
MINE = [
    Event("1", "u", AT - 3600 * S, "view", "a", 300, query="red shoe", category="x"),
    Event("2", "u", AT - 60 * S, "purchase", "b", 500, 2, query=None, category="y"),
    Event("3", "u", AT, "rating", "a", None, 1, 4.0, query="shoe", category=None),
]


def rows(*users: list[Event] | None) -> dict[str, pa.Array]:
    """Rows as the table has them; None: a row whose lists are NULL."""
    lists = [None if mine is None else [_behaviour(e) for e in mine] for mine in users]
    made = {"recent": pa.array(lists, TYPE)}
    for text in ("query", "category"):
        values = [None if mine is None else [getattr(e, text) for e in mine] for mine in users]
        made[f"recent_{text}"] = pa.array(values, pa.list_(pa.string()))
    return made


TYPE = pa.list_(
    pa.struct(
        [
            ("event_id", pa.string()),
            ("event_time", pa.timestamp("us", tz="UTC")),
            ("behaviour", pa.string()),
            ("item_id", pa.string()),
            ("price_minor", pa.int64()),
            ("quantity", pa.int64()),
            ("value", pa.float64()),
        ]
    )
)


def _behaviour(e: Event) -> dict[str, object]:
    numbers = {"price_minor": e.price, "quantity": e.quantity, "value": e.value}
    return {"event_id": e.id, "event_time": e.time, "behaviour": e.behaviour, "item_id": e.item, **numbers}


def test_all_but_lifetime_features_follow_from_the_row_at_any_time() -> None:
    users, at = [MINE, [], MINE[:1]], np.asarray([AT, AT, AT + 86_400 * S])
    found = profile_features(rows(*users), at, NAMES, SETTINGS)
    asked = [f for f in profile_features_of(SETTINGS) if not f.operation.startswith(BEGINS)]
    assert set(found) == set(names(tuple(asked)))
    for user, mine in enumerate(users):
        wanted = oracle.user_values(mine, int(at[user]), SETTINGS)
        for name, values in found.items():
            assert oracle.agree(values[user].as_py(), wanted[name]), (user, name)


def test_null_lists_and_a_slice_of_rows_are_read_as_they_are() -> None:
    whole = rows(MINE, None, MINE[1:])
    part = {name: values.slice(1) for name, values in whole.items()}
    found = profile_features(part, AT, NAMES, SETTINGS)
    assert found["item_last3"].to_pylist() == [[], ["a", "b"]]
    assert found["term_last4"].to_pylist() == [[], ["shoe"]]
    assert found["category_distinct_1m"].to_pylist() == [0, 0]
    assert flat(pa.chunked_array([part["recent_query"]])).to_pylist() == [None, "shoe"]


def test_without_declared_features_there_are_the_numbers_alone() -> None:
    plain = FeatureSettings()
    assert keyed_of(plain) == ()
    assert tuple(profile_features({"recent": rows(MINE)["recent"]}, AT, NAMES, plain)) == names(
        profile_features_of(plain)
    )
