"""Who the users are: drawn from the seed alone, within their ranges, and spread as the constants say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.simulate.people import DEVICES, STRENGTH, People, S, meet_people
from recsys.simulate.settings import SimulateSettings

MANY = 20_000  # tolerances below are four standard errors of so many users


def meet(weight: Sequence[float], category: Sequence[int], width: int = 4, **changes: float) -> People:
    own = SimulateSettings.model_validate({"users": 50, **changes})
    return meet_people(own, np.asarray(weight, dtype=np.float64), np.asarray(category, dtype=np.int32), width)


def same(one: People, two: People) -> dict[str, bool]:
    other = asdict(two)
    return {name: np.array_equal(values, other[name]) for name, values in asdict(one).items()}


@pytest.fixture(scope="module")
def crowd() -> People:
    return meet([0.2, 0.5, 0.3], [2, 5, 5], users=MANY)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.floats(0, 10)), min_size=1, max_size=12),
    st.fixed_dictionaries(
        {"users": st.integers(10, 300), "seed": st.integers(0, 2**40), "joining_users": st.floats(0, 0.99)}
    ),
    st.integers(1, 8),
)
def test_every_user_lies_within_the_ranges(
    clusters: list[tuple[int, float]], changes: dict[str, float], width: int
) -> None:
    clusters = [*clusters, (4, 1.0)]
    people = meet([w for _, w in clusters], [c for c, _ in clusters], width, **changes)
    users = int(changes["users"])
    assert {len(values) for values in asdict(people).values()} == {users}
    assert people.taste.shape == (users, width)
    assert set(people.category.ravel().tolist()) <= {c for c, w in clusters if w > 0}  # nobody likes what none does
    assert (people.activity > 0).all()
    assert people.activity.mean() == pytest.approx(1)
    assert set(people.join.tolist()) <= {0, *range(2, 61)}
    assert ((people.phase >= 0) & (people.phase < 1)).all()
    assert set(people.device.tolist()) <= set(range(len(DEVICES)))
    factor = people.strength[:, 1] / STRENGTH[1]
    assert ((factor >= 0.7) & (factor <= 1.3)).all()
    np.testing.assert_allclose(people.strength, np.outer(factor, STRENGTH))  # one factor a user
    assert (np.diff(people.strength, axis=1) < 0).all()  # the first interest is the strongest


@settings(max_examples=20)
@given(st.integers(0, 2**40))
def test_the_seed_decides_the_users_and_the_rest_of_the_shop_does_not(seed: int) -> None:
    people = meet([1, 2], [0, 1], seed=seed)
    assert all(same(people, meet([1, 2], [0, 1], seed=seed, items=777, bots=3, anonymous=0.5)).values())
    assert not any(same(people, meet([1, 2], [0, 1], seed=seed + 1, joining_users=0.5)).values())


def test_only_a_categorys_share_counts_however_many_clusters_it_has() -> None:
    people = meet([0.25, 0.75], [0, 3])
    assert all(same(people, meet([0.5, 0.125, 0.25, 0.125], [3, 0, 3, 0])).values())
    assert all(same(people, meet([4, 12], [0, 3])).values())


@pytest.mark.parametrize("slot", range(S))
def test_interests_follow_popularity_and_half_of_them_the_first(crowd: People, slot: int) -> None:
    mine, first = crowd.category[:, slot], crowd.category[:, 0]
    assert (mine == 2).mean() == pytest.approx(0.2, abs=4 * (0.16 / MANY) ** 0.5)
    agree = 1 if slot == 0 else 0.5 + 0.5 * (0.2**2 + 0.8**2)  # 0.84: those who do not follow agree by chance
    assert (mine == first).mean() == pytest.approx(agree, abs=4 * (0.84 * 0.16 / MANY) ** 0.5)


def test_devices_are_as_frequent_as_their_names_say(crowd: People) -> None:
    shares = np.bincount(crowd.device) / MANY
    expected = {"phone": 0.62, "desktop": 0.28, "tablet": 0.1}
    assert dict(zip(DEVICES, shares, strict=True)) == pytest.approx(expected, abs=4 * (0.24 / MANY) ** 0.5)


def test_levels_hours_phases_and_tastes_spread_as_they_should(crowd: People) -> None:
    for values, mean, deviation in (
        (crowd.level, 0, 0.9),
        (crowd.hour, 0, 2.5),
        (crowd.phase, 0.5, (1 / 12) ** 0.5),
        (crowd.taste, 0, 0.5),  # width 4: a vector's mean squared length is 1
    ):
        error = 4 * deviation / MANY**0.5
        assert (values.mean(), values.std()) == (pytest.approx(mean, abs=error), pytest.approx(deviation, abs=error))
    assert (crowd.taste**2).sum(axis=1).mean() == pytest.approx(1, abs=4 * (0.5 / MANY) ** 0.5)


def test_few_do_most_but_nobody_does_nothing(crowd: People) -> None:
    raw = np.exp(1.1**2 / 2) + 0.3  # mean of the log-normal draw and its floor: 2.13
    assert np.median(crowd.activity) == pytest.approx(1.3 / raw, abs=0.04)
    assert crowd.activity.min() == pytest.approx(0.3 / raw, abs=0.015)


def test_nobody_joins_later_where_none_should() -> None:
    assert set(meet([1], [0], users=2000, joining_users=0).join.tolist()) == {0}
