"""Lists, maps and distinct counts by key against the oracle, and the order of ties by hand."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config import FeatureSettings, UserFeature
from recsys.features.history import Points, at_end
from recsys.features.keyed import groups, keyed, keyed_features
from recsys.features.windows import before
from recsys.features.worded import of_user
from tests.features import oracle
from tests.features.logs import AT, KEYED, events, moments
from tests.features.oracle import NAMES, Event, S

FEATURES = tuple(map(of_user, KEYED))
SETTINGS = FeatureSettings(k=5, user=KEYED)
NAMED = dict(zip((f.name for f in FEATURES), KEYED, strict=True))
TYPES = {
    "array<string>": pa.list_(pa.string()),
    "array<struct<key: string, count: bigint>>": pa.list_(pa.struct([("key", pa.string()), ("count", pa.int64())])),
    "map<string,bigint>": pa.map_(pa.string(), pa.int64()),
    "map<string,double>": pa.map_(pa.string(), pa.float64()),
    "bigint": pa.int64(),
}


def _check(states: list[list[Event]], p: Points) -> None:
    found = keyed_features(oracle.histories(states), p, NAMES, FEATURES, oracle.texts(states))
    assert list(found) == list(NAMED)
    flat = [e for user in states for e in user]
    told = {name: values.to_pylist() for name, values in found.items()}
    for point in range(len(p.at)):
        at = int(p.at[point])
        seen = [e for e in flat[p.start[point] : p.end[point]] if e.time <= at]
        for name, declared in NAMED.items():
            wanted = oracle.declared(seen, at, declared)
            assert oracle.agree(told[name][point], wanted), (name, told[name][point], wanted)


@settings(max_examples=200)
@given(events(), moments)
def test_state_equals_oracle(log: list[Event], at: int) -> None:
    states = [oracle.state(log, user, SETTINGS.k) for user in ("u", "nobody", "v", "w")]
    _check(states, at_end(oracle.histories(states), at))


@settings(max_examples=150)
@given(events(), st.randoms(use_true_random=False))
def test_any_range_equals_oracle(log: list[Event], random: Random) -> None:
    states = [oracle.state(log, user, 100) for user in ("u", "v", "w")]
    offsets = oracle.histories(states).offsets
    points = []
    for user in random.choices(range(3), k=8):
        low, high = int(offsets[user]), int(offsets[user + 1])
        start = random.randint(low, high)
        points.append((start, random.randint(start, high), AT + random.randint(-90_000 * S, 90_000 * S)))
    start, end, at = np.asarray(points, dtype=np.int64).T
    _check(states, Points(start=start, end=end, at=at))


@settings(max_examples=100)
@given(events(size=40))
def test_as_of_every_behaviour_equals_oracle(log: list[Event]) -> None:
    """Strictly before it: neither the behaviour itself nor its ties are in any list."""
    states = [oracle.state(log, user, 100) for user in ("u", "v", "w")]
    h = oracle.histories(states)
    _check(states, before(h, np.arange(len(h.time)), SETTINGS.k))


def test_ties_by_hand() -> None:
    """`b` and `a` have two each: `a` came last. Of the words of one query the later one is the newer."""
    mine = [
        Event("1", "u", AT - 5 * S, "view", "b", 100, query="red shoe", category="x"),
        Event("2", "u", AT - 4 * S, "view", "a", 300, category="x"),
        Event("3", "u", AT - 3 * S, "cart", "c", None, category="y"),
        Event("4", "u", AT - 2 * S, "view", "b", 500),
        Event("5", "u", AT - 1 * S, "view", "a", 900, query="hat  red", category="y"),
    ]
    asked = {
        UserFeature(operation="top_k", key="item", k=2): [{"key": "a", "count": 2}, {"key": "b", "count": 2}],
        UserFeature(operation="top_k", key="term", k=3): [
            {"key": "red", "count": 2},
            {"key": "hat", "count": 1},
            {"key": "shoe", "count": 1},
        ],
        UserFeature(operation="top_k", key="query", k=1): [{"key": "hat  red", "count": 1}],
        UserFeature(operation="last_k", key="item", k=3): ["a", "b", "c"],
        UserFeature(operation="last_k", key="term", k=3): ["red", "hat", "shoe"],
        UserFeature(operation="last_k", key="item", k=9, behaviour="cart"): ["c"],
        UserFeature(operation="counts", key="category", window="1m"): [("y", 2), ("x", 2)],
        UserFeature(operation="means", key="category", value="price"): [("x", 200.0), ("y", 900.0)],
        UserFeature(operation="distinct", key="category"): 2,
    }
    h = oracle.histories([mine])
    features = tuple(map(of_user, asked))
    found = keyed_features(h, at_end(h, AT), NAMES, features, oracle.texts([mine]))
    assert {f.name: found[f.name].to_pylist()[0] for f in features} == {
        f.name: wanted for f, wanted in zip(features, asked.values(), strict=True)
    }


def test_no_behaviour_gives_empty_lists_of_the_declared_types() -> None:
    one = Event("1", "u", AT, "view", "a", 5, query="red", category="x")
    every: list[list[list[Event]]] = [[[], []], [[]], [[], [one]]]
    for states in every:
        h = oracle.histories(states)
        found = keyed_features(h, at_end(h, AT), NAMES, FEATURES, oracle.texts(states))
        for feature in FEATURES:
            values = found[feature.name]
            assert values.type == TYPES[feature.type], feature.name
            assert values.null_count == 0
            assert values.to_pylist()[0] == (0 if feature.default == 0 else []), feature.name


def test_a_behaviour_that_a_source_lacks_has_no_keys() -> None:
    h = replace(oracle.histories([[Event("1", "u", AT, "view", "a")]]), behaviour=np.zeros(1, dtype=np.int8))
    top = of_user(UserFeature(operation="top_k", key="item", k=2, behaviour="cart"))
    assert keyed_features(h, at_end(h, AT), ("view",), (top,), {})[top.name].to_pylist() == [[]]


@pytest.mark.parametrize("chunk", [1, 3, 1 << 22])
def test_points_in_several_chunks_are_the_same(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from recsys.features import keyed as module
    from recsys.features.windows import spread

    monkeypatch.setattr(module, "spread", lambda low, high: spread(low, high, chunk))
    states = [
        [Event(f"{n}", "u", AT + n, "view", "abcab"[n]) for n in range(5)],
        [],
        [Event("9", "v", AT, "view", "b")],
    ]
    h = oracle.histories(states)
    p = at_end(h, AT + 9)
    found = groups(keyed(h, "item", NAMES, {}), p.start, p.end)
    assert [h.items[code] for code in found.code] == ["b", "a", "c", "b"]
    assert found.count.tolist() == [2, 2, 1, 1]
    assert found.offsets.tolist() == [0, 3, 3, 4]
