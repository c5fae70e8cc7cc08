import numpy as np

from recsys.simulate import rows as r
from recsys.simulate.bots import names, run_bots
from recsys.simulate.sessions import DAY_US, day_start
from recsys.simulate.shop import Shop
from recsys.simulate.tastes import today

DAYS = range(1, 41)


def sittings(shop: Shop) -> list[tuple[int, str, r.Rows]]:
    """(day, way, rows) of each bot's sittings."""
    ways = {int(name[1:]): way for name, way in names(shop).items()}
    found = []
    for day in DAYS:
        rows = run_bots(shop, today(shop, day))
        found += [(day, ways[user], rows.take(rows.user == user)) for user in np.unique(rows.user).tolist()]
    return found


def test_names_follow_the_users_and_say_the_way(shop: Shop) -> None:
    assert names(shop) == {
        "u000150": "scraper", "u000151": "clicker", "u000152": "scraper",
        "u000153": "clicker", "u000154": "scraper", "u000155": "crawler",
    }  # fmt: skip


def test_bots_behave_as_described(shop: Shop) -> None:
    pace = {"scraper": (0.3, 1.2), "clicker": (0.8, 1.8), "crawler": (4.0, 8.0)}
    seen = set()
    for day, way, rows in sittings(shop):
        low, high = pace[way]
        gaps = np.diff(rows.time) / 1e6
        assert gaps.min() >= low - 1e-6
        assert gaps.max() <= high + 1e-6
        assert 80 <= len(rows) < 220
        assert len(set(rows.session.tolist())) == 1
        now = today(shop, day)
        assert now.available[rows.item].all()
        np.testing.assert_array_equal(rows.price, now.price[rows.item])
        assert set(rows.kind.tolist()) == {r.VIEW}
        assert day_start(shop, day) <= rows.time[0] < day_start(shop, day) + DAY_US
        shelf = np.flatnonzero(now.available).tolist()
        if way == "clicker":
            assert len(set(rows.item.tolist())) <= 4
        else:
            places = [shelf.index(item) for item in rows.item.tolist()]
            assert set(np.diff(places) % len(shelf)) == {1}
        seen.add(way)
    assert seen == set(pace)


def test_a_bot_runs_on_two_days_in_five(shop: Shop) -> None:
    runs, chances = len(sittings(shop)), 6 * len(DAYS)
    assert abs(runs / chances - 0.4) < 4 * (0.24 / chances) ** 0.5


def test_no_bots_no_rows(shop: Shop) -> None:
    none = shop.settings.model_copy(update={"bots": 0})
    assert (
        len(run_bots(Shop(settings=none, clusters=shop.clusters, items=shop.items, people=shop.people), today(shop, 1)))
        == 0
    )
