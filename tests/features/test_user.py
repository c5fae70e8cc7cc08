"""User features against the oracle, and the edges by hand."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config import FeatureSettings, UserFeature
from recsys.features.definitions import names, user_features_of
from recsys.features.history import Points, at_end
from recsys.features.user import user_features
from recsys.features.windows import before
from tests.features import oracle
from tests.features.logs import AT, EVERY_KIND, GAP, events, moments
from tests.features.oracle import NAMES, Event, S

SETTINGS = FeatureSettings(k=5, bot_events_per_10m=4, bot_min_events=3, bot_median_gap_s=2.0, user=EVERY_KIND)


def _check(recent: list[list[Event]], p: Points, s: FeatureSettings) -> None:
    values = user_features(oracle.histories(recent), p, NAMES, s)
    assert tuple(values) == names(user_features_of(s))
    flat = [e for user in recent for e in user]
    for point in range(len(p.at)):
        wanted = oracle.user_values(flat[p.start[point] : p.end[point]], int(p.at[point]), s)
        for feature in user_features_of(s):
            found = values[feature.name][point].item()
            assert oracle.agree(found, wanted[feature.name]), (feature.name, found, wanted[feature.name])


@settings(max_examples=300)
@given(events(), moments)
def test_state_equals_oracle(log: list[Event], at: int) -> None:
    recent = [oracle.state(log, user, SETTINGS.k) for user in ("u", "nobody", "v", "w")]
    _check(recent, at_end(oracle.histories(recent), at), SETTINGS)


@settings(max_examples=200)
@given(events(), st.randoms(use_true_random=False))
def test_any_range_equals_oracle(log: list[Event], random: Random) -> None:
    recent = [oracle.state(log, user, 100) for user in ("u", "v", "w")]
    offsets = oracle.histories(recent).offsets
    points = []
    for user in random.choices(range(3), k=8):
        low, high = int(offsets[user]), int(offsets[user + 1])
        start = random.randint(low, high)
        points.append((start, random.randint(start, high), AT + random.randint(-90_000 * S, 90_000 * S)))
    start, end, at = np.asarray(points, dtype=np.int64).T
    _check(recent, Points(start=start, end=end, at=at), SETTINGS)


@settings(max_examples=200)
@given(events(size=40))
def test_label_sees_neither_itself_nor_its_ties(log: list[Event]) -> None:
    """As of every behaviour of the log: the state of the events strictly earlier, cut to the last K."""
    recent = [oracle.state(log, user, 100) for user in ("u", "v", "w")]
    h = oracle.histories(recent)
    p = before(h, np.arange(len(h.time)), SETTINGS.k)
    values = user_features(h, p, NAMES, SETTINGS)
    for point, label in enumerate(e for user in recent for e in user):
        past = [e for e in log if e.user == label.user and e.time < label.time]
        wanted = oracle.user_values(oracle.state(past, str(label.user), SETTINGS.k), label.time, SETTINGS)
        for feature in user_features_of(SETTINGS):
            assert oracle.agree(values[feature.name][point].item(), wanted[feature.name]), feature.name


@settings(max_examples=100)
@given(events(), moments)
def test_order_of_arrival_does_not_matter(log: list[Event], at: int) -> None:
    one = oracle.histories([oracle.state(log, "u", 5)])
    two = oracle.histories([oracle.state(log[::-1], "u", 5)])
    first, second = (user_features(h, at_end(h, at), NAMES, SETTINGS) for h in (one, two))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_by_hand() -> None:
    """Three views, a purchase of 2 x 5.00 and a rating; the first view lies exactly 1 h back: outside (t - 1h, t]."""
    mine = [
        Event("1", "u", AT - 3600 * S, "view", "a", 300),
        Event("2", "u", AT - 3600 * S + 1, "view", "b", 500),
        Event("3", "u", AT - GAP, "view", "a"),
        Event("4", "u", AT - 600 * S, "purchase", "a", 500, 2),
        Event("5", "u", AT, "rating", "a", None, 1, 4.0),
    ]
    h = oracle.histories([mine])
    found = {name: v[0].item() for name, v in user_features(h, at_end(h, AT), NAMES, FeatureSettings()).items()}
    expected = {
        "engaged_count": 5,
        "engaged_count_15m": 2,
        "engaged_count_1h": 4,
        "view_count_1h": 2,
        "view_count_1d": 3,
        "distinct_items_1d": 2,
        "purchase_spend_sum_30d": 1000,
        "price_mean_30d": 1300 / 3,
        "price_min_30d": 300.0,
        "price_max_30d": 500.0,
        "price_last": 500.0,
        "recency_s": 0.0,
        "purchase_recency_s": 600.0,
        "age_s": 3600.0,
        "session_position": 5,
        "session_s": 3600.0,
        "session_count_7d": 1,
        "rating_value_mean": 4.0,
        "is_bot": False,
    }
    assert {name: found[name] for name in expected} == expected


def test_declared_features_by_hand() -> None:
    """Prices 3, 5, 10, quantities 1, 2, 1; the first view lies exactly 10 minutes back: outside (t - 10m, t]."""
    mine = [
        Event("1", "u", AT - 600 * S, "view", "a", 3),
        Event("2", "u", AT - 300 * S, "view", "b", 5, 2),
        Event("3", "u", AT, "cart", "b", 10),
    ]
    asked = {
        UserFeature(operation="count", behaviour="view", window="10m"): 1,
        UserFeature(operation="decayed_count", window="5m"): 0.25 + 0.5 + 1,
        UserFeature(operation="trend", window="5m", reference="10m"): (1 + 1) / (2 / 2 + 1),
        UserFeature(operation="sum", value="spend"): 3 + 10 + 10,
        UserFeature(operation="sum", value="quantity", window="10m"): 3,
        UserFeature(operation="std", value="price", behaviour="view"): 1.0,
        UserFeature(operation="first", value="price", window="10m"): 5.0,
        UserFeature(operation="recency_s", behaviour="view"): 300.0,
        UserFeature(operation="recency_s", behaviour="view", window="5m"): None,
    }
    h = oracle.histories([mine])
    values = user_features(h, at_end(h, AT), NAMES, FeatureSettings(user=tuple(asked)))
    for feature, wanted in asked.items():
        assert oracle.agree(values[oracle.name_of(feature)][0].item(), wanted), feature


def test_no_behaviour_gives_the_declared_defaults() -> None:
    h = oracle.histories([[], []])
    values = user_features(h, at_end(h, AT), NAMES, SETTINGS)
    for feature in user_features_of(SETTINGS):
        assert oracle.agree(values[feature.name][1].item(), feature.default), feature.name


def test_types_are_as_declared() -> None:
    h = oracle.histories([[Event("1", "u", AT, "view", "a", 5)]])
    kinds = {"bigint": np.int64, "double": np.float64, "boolean": np.bool_}
    for feature in user_features_of(SETTINGS):
        values = user_features(h, at_end(h, AT), NAMES, SETTINGS)[feature.name]
        assert values.dtype == kinds[feature.type], feature.name


def test_behaviours_that_a_source_lacks_count_zero() -> None:
    h = replace(oracle.histories([[Event("1", "u", AT, "click", "a")]]), behaviour=np.zeros(1, dtype=np.int8))
    values = user_features(h, at_end(h, AT), ("click",), FeatureSettings())
    assert values["click_count_1h"].tolist() == [1]
    assert values["purchase_count_7d"].tolist() == [0]


@pytest.mark.parametrize("pause", [GAP - 1, GAP, GAP + 1])
def test_session_ends_after_the_gap(pause: int) -> None:
    h = oracle.histories([[Event("1", "u", AT - pause, "view", "a")]])
    values = user_features(h, at_end(h, AT), NAMES, FeatureSettings())
    assert values["session_position"].tolist() == [int(pause <= GAP)]


@pytest.mark.parametrize("pause", [GAP - 1, GAP, GAP + 1])
def test_a_pause_inside_opens_a_session(pause: int) -> None:
    h = oracle.histories([[Event("1", "u", AT - pause, "view", "a"), Event("2", "u", AT, "view", "a")]])
    values = user_features(h, at_end(h, AT), NAMES, FeatureSettings())
    assert values["session_count_7d"].tolist() == [1 + int(pause > GAP)]
