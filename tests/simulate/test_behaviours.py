from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from recsys.simulate import rows as r
from recsys.simulate.behaviours import behave
from recsys.simulate.lists import show
from recsys.simulate.sessions import DAY_US, HOUR_US, day_start
from recsys.simulate.shop import Shop
from recsys.simulate.tastes import today

DAY = 3
Row = dict[str, Any]


@pytest.fixture(scope="module")
def rows(shop: Shop) -> r.Rows:
    settings = shop.settings.model_copy(update={"events_per_day": 20_000})
    return behave(Shop(settings=settings, clusters=shop.clusters, items=shop.items, people=shop.people), DAY)


@pytest.fixture(scope="module")
def by_kind(rows: r.Rows) -> dict[int, list[Row]]:
    names = ("kind", "time", "user", "session", "item", "price", "quantity", "rating", "query", "request", "position")
    columns = {name: getattr(rows, name).tolist() for name in names}
    found: dict[int, list[Row]] = defaultdict(list)
    for values in zip(*columns.values(), strict=True):
        row = dict(zip(names, values, strict=True))
        found[row["kind"]].append(row)
    return found


def test_there_are_as_many_lines_as_asked_for(shop: Shop, rows: r.Rows) -> None:
    wanted = 0.94 * (20_000 / 1.1 - 6 * 52)  # a Wednesday, without bots, resends and defects
    assert len(rows) == pytest.approx(wanted, rel=0.05)


def test_a_click_was_shown_at_its_place_before_it(by_kind: dict[int, list[Row]]) -> None:
    shown = {(row["request"], row["position"]): row for row in by_kind[r.IMPRESSION]}
    assert len(shown) == len(by_kind[r.IMPRESSION])
    assert by_kind[r.CLICK]
    for click in by_kind[r.CLICK]:
        impression = shown[click["request"], click["position"]]
        assert impression["item"] == click["item"]
        assert impression["session"] == click["session"]
        assert impression["time"] < click["time"]


def test_a_list_holds_places_from_one_on(by_kind: dict[int, list[Row]]) -> None:
    places = defaultdict(list)
    for row in by_kind[r.IMPRESSION]:
        places[row["request"]].append(row["position"])
    assert all(sorted(found) == list(range(1, len(found) + 1)) for found in places.values())
    for search in by_kind[r.SEARCH]:
        assert search["request"] in places
        assert search["item"] == -1
        assert search["query"] >= 0


def test_places_at_the_top_are_taken_more_often(by_kind: dict[int, list[Row]]) -> None:
    taken = np.bincount([row["position"] for row in by_kind[r.CLICK]], minlength=7)
    assert taken[0] == 0
    assert taken[1] > taken[3] > taken[6] > 0


def test_a_cart_follows_a_look_a_purchase_a_cart_and_a_rating_a_purchase(by_kind: dict[int, list[Row]]) -> None:
    def key(row: Row) -> tuple[int, int]:
        return row["session"], row["item"]

    looks: dict[tuple[int, int], int] = {}
    for row in by_kind[r.VIEW] + by_kind[r.CLICK]:
        looks[key(row)] = min(row["time"], looks.get(key(row), row["time"]))
    carts = {key(row): row for row in by_kind[r.CART]}
    assert len(carts) == len(by_kind[r.CART])  # once a session
    assert all(looks[key(row)] < row["time"] for row in by_kind[r.CART])
    assert all(carts[key(row)]["time"] < row["time"] for row in by_kind[r.PURCHASE])
    bought = defaultdict(list)
    for row in by_kind[r.PURCHASE]:
        bought[row["user"], row["item"]].append(row["time"])
        assert row["quantity"] >= 1
    assert by_kind[r.RATING]
    for row in by_kind[r.RATING]:
        assert row["user"] >= 0
        assert 1 <= row["rating"] <= 5
        waits = [(row["time"] - time) / HOUR_US for time in bought[row["user"], row["item"]]]
        assert any(6 <= wait < 58 for wait in waits)
    assert len(by_kind[r.RATING]) < len(by_kind[r.PURCHASE]) < len(by_kind[r.CART]) < len(looks)


def test_looks_carry_the_price_of_the_day_or_have_lost_it(shop: Shop, by_kind: dict[int, list[Row]]) -> None:
    price = today(shop, DAY).price
    looks = by_kind[r.VIEW] + by_kind[r.CLICK]
    assert all(row["price"] in (-1, price[row["item"]]) for row in looks)
    assert np.mean([row["price"] == -1 for row in looks]) == pytest.approx(0.01, abs=0.005)
    assert all(row["price"] == price[row["item"]] for row in by_kind[r.CART] + by_kind[r.PURCHASE])


def test_anonymous_sessions_have_no_user_at_all(rows: r.Rows) -> None:
    users = defaultdict(set)
    for session, user in zip(rows.session.tolist(), rows.user.tolist(), strict=True):
        users[session].add(user)
    assert {len(found) for found in users.values()} == {1}
    assert np.mean([found == {-1} for found in users.values()]) == pytest.approx(0.1, abs=0.025)


def test_behaviours_begin_on_their_day(shop: Shop, rows: r.Rows) -> None:
    quick = rows.take(rows.kind != r.RATING)
    assert quick.time.min() >= day_start(shop, DAY)
    assert quick.time.max() < day_start(shop, DAY + 2)
    assert rows.time.max() < day_start(shop, DAY) + 4.5 * DAY_US


def test_lists_are_the_same_for_everyone(shop: Shop) -> None:
    """The shop knows popularity only, so its list takes no user."""
    cluster = np.asarray([0], dtype=np.int32)
    one, two = (show(shop, today(shop, DAY), cluster, np.random.default_rng(5)).tolist() for _ in range(2))
    assert one == two
