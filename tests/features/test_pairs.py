"""Pair features against the oracle, and the layout of the matrix."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config import FeatureSettings
from recsys.features.definitions import ITEM_FEATURES, PAIR_FEATURES, USER_FEATURES, feature_names, names
from recsys.features.embedded import Embedded
from recsys.features.history import F32, Histories, at_end
from recsys.features.pairs import ITEM_PRICE, pair_matrix
from recsys.features.user import user_features
from tests.features import oracle
from tests.features.logs import events, moments
from tests.features.oracle import NAMES, Event

CATEGORY = {"a": "x", "b": "x", "ü": "y"}  # c has none
CODES = {"x": 0, "y": 1}
ITEMS = ("a", "b", "c", "ü", "never seen")
SETTINGS = FeatureSettings(k=12)


def _embedded(pairs: int) -> Embedded:
    similarity, lead, affinity, last = np.repeat(np.asarray([[0.5], [-0.25], [1.5], [2.5]], np.float32), pairs, axis=1)
    return Embedded(similarity=similarity, lead=lead, affinity=affinity, affinity_last=last)


def _matrix(h: Histories, at: int, pairs: list[tuple[int, str, int | None]]) -> F32:
    local = {item: n for n, item in enumerate(h.items)}
    rows = np.full((len(pairs), len(ITEM_FEATURES)), 7, dtype=np.float32)
    rows[:, ITEM_PRICE] = [np.nan if price is None else price for _, _, price in pairs]

    def code(item: str) -> int:
        return CODES.get(CATEGORY.get(item, ""), -1)

    return pair_matrix(
        h,
        at_end(h, at),
        NAMES,
        SETTINGS,
        pair_point=np.asarray([point for point, _, _ in pairs], dtype=np.int64),
        pair_item=np.asarray([local.get(item, -1) for _, item, _ in pairs], dtype=np.int32),
        item_rows=rows,
        embedded=_embedded(len(pairs)),
        ahead=np.arange(h.users) % 2 == 1,
        categories=np.asarray([code(item) for item in h.items], dtype=np.int32),
        pair_category=np.asarray([code(item) for _, item, _ in pairs], dtype=np.int32),
    )


@settings(max_examples=200)
@given(
    events(size=40),
    moments,
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(ITEMS), st.sampled_from([None, 0, 500])), max_size=12),
)
def test_equals_oracle(log: list[Event], at: int, pairs: list[tuple[int, str, int | None]]) -> None:
    recent = [oracle.state(log, user, SETTINGS.k) for user in ("u", "v", "nobody", "w")]
    h = oracle.histories(recent)
    found = _matrix(h, at, pairs)
    assert found.shape == (len(pairs), len(feature_names(FeatureSettings())))
    users = user_features(h, at_end(h, at), NAMES, SETTINGS)
    for row, (point, item, price) in zip(found, pairs, strict=True):
        expected = oracle.pair_values(recent[point], at, item, price, CATEGORY, 0.5)
        tail = dict(zip(names(PAIR_FEATURES), row[-len(PAIR_FEATURES) :].tolist(), strict=True))
        for name, value in expected.items():
            wanted = float(value) if value is not None else None
            assert oracle.agree(tail[name], wanted, relative=1e-6), (name, tail[name], wanted)
        head = [users[name][point] for name in names(USER_FEATURES)]
        np.testing.assert_array_equal(row[: len(head)], np.asarray(head, dtype=np.float32))
        assert row[len(head)] == 7
        assert row[feature_names(FeatureSettings()).index("request_is_ahead")] == point % 2


def test_without_categories_the_share_is_unknown() -> None:
    h = oracle.histories([[Event("1", "u", 5, "view", "a")]])
    rows = np.zeros((1, len(ITEM_FEATURES)), dtype=np.float32)
    zero = np.zeros(1, dtype=np.int64)
    found = pair_matrix(h, at_end(h, 9), NAMES, SETTINGS, zero, zero.astype(np.int32), rows, _embedded(1), zero > 0)
    assert np.isnan(found[0, feature_names(FeatureSettings()).index("pair_category_share")])
    assert found[0, feature_names(FeatureSettings()).index("pair_engaged_count")] == 1


def test_in_last_10_at_its_border() -> None:
    """`a` is the 11th newest, `b` the 10th."""
    h = oracle.histories([[Event(f"{n:02}", "u", n, "view", "ab"[min(n, 1)] if n < 2 else "c") for n in range(11)]])
    found = _matrix(h, 99, [(0, "a", None), (0, "b", None)])
    assert found[:, feature_names(FeatureSettings()).index("pair_in_last_10")].tolist() == [0, 1]
    assert found[:, feature_names(FeatureSettings()).index("pair_engaged_count")].tolist() == [1, 1]
