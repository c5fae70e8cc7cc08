from itertools import pairwise

import numpy as np
import pytest

from recsys.simulate.sessions import Sessions, visit
from recsys.simulate.shop import Shop
from recsys.simulate.tastes import today
from recsys.simulate.walk import COMPLEMENT, LISTED, TURN, Walk, walk


def a_day(shop: Shop) -> tuple[Sessions, Walk]:
    sessions = visit(shop, 4, np.random.default_rng(1))
    return sessions, walk(shop, today(shop, 4), sessions, np.random.default_rng(2))


def test_each_session_has_its_steps_in_order_and_with_pauses(shop: Shop) -> None:
    s, steps = a_day(shop)
    assert steps.session.tolist() == np.repeat(np.arange(len(s.user)), s.steps).tolist()
    times: dict[int, list[int]] = {}
    for session, time in zip(steps.session.tolist(), steps.time.tolist(), strict=True):
        times.setdefault(session, [int(s.start[session])]).append(time)
    gaps = [b - a for moments in times.values() for a, b in pairwise(moments)]
    assert gaps == steps.gap.tolist()
    assert min(gaps) >= 3e6
    assert max(gaps) <= 1500e6


def test_a_step_looks_at_an_item_of_its_cluster_its_partner_or_its_list(shop: Shop) -> None:
    _, steps = a_day(shop)
    now = today(shop, 4)
    last: dict[int, int] = {}
    rows = zip(steps.session.tolist(), steps.item.tolist(), steps.cluster.tolist(), steps.place.tolist(), strict=True)
    for row, (session, item, cluster, place) in enumerate(rows):
        shown = steps.shown[row].tolist()
        if place >= 0:
            assert shown[place] == item
        elif item < 0:
            assert shown[0] >= 0 or not now.available[shop.items.cluster == cluster].any()  # read in vain
        else:
            assert shown == [-1] * len(shown)
            own = shop.items.cluster[item] == cluster
            assert own or (session in last and item == shop.items.partner[last[session]])
        if item >= 0:
            assert now.available[item]
            last[session] = item


def test_lists_and_turns_are_as_frequent_as_said(shop: Shop) -> None:
    settings = shop.settings.model_copy(update={"events_per_day": 60_000})
    busy = Shop(settings=settings, clusters=shop.clusters, items=shop.items, people=shop.people)
    _, steps = a_day(busy)
    first = np.append(True, np.diff(steps.session) > 0)
    reads = steps.shown[:, 0] >= 0
    assert reads[~first].mean() == pytest.approx(LISTED, abs=0.01)
    assert steps.searched[first].mean() == pytest.approx(0.14, abs=0.013)
    assert not steps.searched[~first].any()
    assert reads[steps.searched].all()
    stays = (np.diff(steps.cluster) == 0)[~first[1:]].mean()
    assert 1 - TURN - COMPLEMENT <= stays <= 1 - COMPLEMENT  # a turn may lead back to where one was


def test_a_day_without_sessions_has_no_steps(shop: Shop) -> None:
    settings = shop.settings.model_copy(update={"events_per_day": 100, "bots": 50})
    none = Shop(settings=settings, clusters=shop.clusters, items=shop.items, people=shop.people)
    _, steps = a_day(none)
    assert len(steps.time) == 0
