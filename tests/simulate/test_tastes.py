import numpy as np
import pytest

from recsys.simulate.people import S
from recsys.simulate.shop import Shop
from recsys.simulate.tastes import (
    EXPLORE,
    choose,
    discounts,
    draw_clusters,
    in_stock,
    interests,
    level,
    liking,
    today,
    trend,
    utility,
)  # fmt: skip

DAYS = range(1, 121)


def test_choose_draws_by_softmax_and_never_what_cannot_be_had() -> None:
    value = np.broadcast_to(np.log([1.0, 2.0, 5.0]), (50_000, 3)).copy()
    value = np.concatenate([value, np.full((50_000, 1), -np.inf)], axis=1)
    found = choose(value, np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(found, minlength=4) / 50_000, [1 / 8, 2 / 8, 5 / 8, 0], atol=0.009)
    assert choose(np.full((2, 3), -np.inf), np.random.default_rng(0)).tolist() == [-1, -1]


def test_interests_are_clusters_of_their_category_and_their_chances_a_distribution(shop: Shop) -> None:
    users = np.arange(shop.settings.users)
    for day in (1, 40, 400):
        found, chance = interests(shop, users, day)
        np.testing.assert_allclose(chance.sum(axis=1), 1)
        np.testing.assert_array_equal(shop.clusters.category[found], shop.people.category[users])


def test_tastes_drift_slowly(shop: Shop) -> None:
    users = np.arange(shop.settings.users)
    favourites = np.stack([interests(shop, users, day)[0] for day in (1, 2, 60, 300)])
    same = (favourites[1:] == favourites[:1]).mean(axis=(1, 2))
    assert same[0] > 0.95  # an interest lasts 40 to 150 days
    assert same[0] > same[1] > same[2]
    one = users[:1]
    drift = [float(level(shop, one, day)[0]) for day in DAYS]
    assert max(drift) - min(drift) == pytest.approx(0.6, abs=0.01)


def test_users_turn_to_their_interests_or_explore(shop: Shop) -> None:
    now, user, count = today(shop, 5), 3, 100_000
    found, chance = interests(shop, np.asarray([user]), 5)
    wanted = EXPLORE * now.weight
    for slot in range(S):
        wanted[found[0, slot]] += (1 - EXPLORE) * chance[0, slot]
    drawn = draw_clusters(shop, now, np.full(count, user), np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(drawn, minlength=len(wanted)) / count, wanted, atol=0.007)


def test_liking_is_worked_out_item_by_item(shop: Shop) -> None:
    users, items = np.asarray([0, 4]), np.asarray([[1, 2, 3], [7, 7, 0]], dtype=np.int32)
    found = liking(shop, users, items, 9)
    for n, user in enumerate(users):
        for k, item in enumerate(items[n]):
            taste = sum(a * b for a, b in zip(shop.people.taste[user], shop.items.taste[item], strict=True))
            distance = shop.items.level[item] - level(shop, users[n : n + 1], 9)[0]
            assert found[n, k] == pytest.approx(0.5 * taste - 0.3 * distance**2)
    now = today(shop, 9)
    now.appeal[2] = -np.inf
    assert np.isneginf(utility(shop, now, users[:1], np.asarray([[2, -1]], dtype=np.int32))).all()


def test_a_price_is_cut_for_three_days_of_a_cycle(shop: Shop) -> None:
    off = np.stack([discounts(shop, day) for day in DAYS])
    ever = np.flatnonzero(off.any(axis=0))
    assert abs(len(ever) / 200 - 0.6) < 4 * (0.24 / 200) ** 0.5
    assert (off[off > 0].min(), off.max()) == (pytest.approx(0.1, abs=0.01), pytest.approx(0.4, abs=0.01))
    for item in ever:
        edges = np.flatnonzero(np.diff((off[:, item] > 0).astype(int)))
        spans = np.diff(edges)
        assert set(spans.tolist()) <= {3, *range(17, 57)}, item  # 3 days on, the rest of 20 to 59 off


def test_stock_runs_out_for_a_day_or_two(shop: Shop) -> None:
    left = np.stack([in_stock(shop, day) for day in DAYS])
    ever = np.flatnonzero(~left.all(axis=0))
    assert abs(len(ever) / 200 - 0.4) < 4 * (0.24 / 200) ** 0.5
    for item in ever:
        runs = np.diff(np.flatnonzero(np.diff(left[:, item].astype(int))))
        assert set(runs.tolist()) <= {1, 2, *range(13, 39)}, item  # out, then there for the rest of 15 to 39 days


def test_today_offers_what_is_launched_in_stock_and_at_its_price(shop: Shop) -> None:
    for day in (1, 30, 61):
        now = today(shop, day)
        np.testing.assert_array_equal(now.available, (shop.items.launch <= day) & in_stock(shop, day))
        np.testing.assert_array_equal(np.isfinite(now.appeal), now.available)
        np.testing.assert_array_equal(now.price, np.round(shop.items.price * (1 - now.discount)))
        assert now.weight.sum() == pytest.approx(1)
    launched = int(np.flatnonzero(shop.items.launch > 1)[0])
    assert not today(shop, int(shop.items.launch[launched]) - 1).available[launched]


def test_seasons_move_a_category_together_and_come_round(shop: Shop) -> None:
    season = np.stack([trend(shop, day) for day in range(45)])
    for category in np.unique(shop.clusters.category):
        mine = season[:, shop.clusters.category == category]
        np.testing.assert_array_equal(mine, mine[:, :1].repeat(mine.shape[1], axis=1))
    np.testing.assert_allclose(trend(shop, 50), season[5], atol=1e-9)
    assert np.ptp(season, axis=0).min() > 0.68  # twice 0.35, met at whole days only nearly
