import numpy as np
import pytest

from recsys.simulate.sessions import DAY_US, HOUR_US, LENGTH_SHARES, WEEKDAY, day_start, visit
from recsys.simulate.shop import Shop


def big(shop: Shop) -> Shop:
    busy = shop.settings.model_copy(update={"events_per_day": 200_000})
    return Shop(settings=busy, clusters=shop.clusters, items=shop.items, people=shop.people)


def test_a_day_starts_at_midnight_utc(shop: Shop) -> None:
    assert day_start(shop, 1) == 1_740_960_000_000_000  # 2025-03-03, a Monday
    assert day_start(shop, 3) - day_start(shop, 1) == 2 * DAY_US


def test_sessions_are_those_that_the_settings_ask_for(shop: Shop) -> None:
    busy = big(shop)
    s = visit(busy, 6, np.random.default_rng(0))  # a Saturday
    wanted = (200_000 / 1.1 - 6 * 52) / 6.17 * WEEKDAY[5]
    assert abs(len(s.user) - wanted) < 5 * wanted**0.5
    assert (1 - s.named.mean(), (s.delay > 0).mean()) == pytest.approx((0.1, 0.05), abs=0.008)
    assert ((s.start >= day_start(shop, 6)) & (s.start < day_start(shop, 7))).all()
    waits = s.delay[s.delay > 0] / HOUR_US
    assert waits.min() >= 2
    assert waits.max() < 70
    assert len(np.unique(s.id)) == len(s.id)
    np.testing.assert_allclose(np.bincount(s.steps, minlength=31)[1:] / len(s.steps), LENGTH_SHARES, atol=0.012)


def test_the_active_come_often_and_nobody_before_they_join(shop: Shop) -> None:
    s = visit(big(shop), 6, np.random.default_rng(0))
    visits = np.bincount(s.user, minlength=shop.settings.users)
    joined = shop.people.join <= 6
    assert visits[~joined].sum() == 0
    share = shop.people.activity[joined] / shop.people.activity[joined].sum()
    np.testing.assert_allclose(visits[joined] / len(s.user), share, atol=0.004)


def test_no_sessions_where_bots_make_all_lines(shop: Shop) -> None:
    settings = shop.settings.model_copy(update={"events_per_day": 100, "bots": 50})
    none = Shop(settings=settings, clusters=shop.clusters, items=shop.items, people=shop.people)
    assert len(visit(none, 1, np.random.default_rng(0)).user) == 0
