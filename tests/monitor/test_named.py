"""Reasons of made-up lists against a small shop's truth, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.monitor.named import goes_with, judged
from recsys.monitor.report_data import Named
from recsys.simulate.queries import titles
from recsys.simulate.settings import SimulateSettings
from recsys.simulate.shop import Shop, open_shop


@pytest.fixture(scope="module")
def shop() -> Shop:
    return open_shop(SimulateSettings(users=20, items=400))


def some(shop: Shop, cluster: int, place: int = 0) -> int:
    return int(np.flatnonzero(shop.items.cluster == cluster)[place])


def strange(shop: Shop, cluster: int) -> int:
    """A cluster that neither is this one nor goes with it."""
    own = some(shop, cluster)
    return next(c for c in range(len(shop.clusters.weight)) if not goes_with(shop, own, some(shop, c)))


def test_items_of_one_cluster_or_of_its_complement_go_together(shop: Shop) -> None:
    other = int(shop.clusters.complement[0])
    assert goes_with(shop, some(shop, 0), some(shop, 0, 1))
    assert goes_with(shop, some(shop, 0), some(shop, other))
    assert goes_with(shop, some(shop, other), some(shop, 0))
    assert not goes_with(shop, some(shop, 0), some(shop, strange(shop, 0)))


def test_named_items_are_counted_beside_any_of_the_users(shop: Shop) -> None:
    names, item = titles(shop), "i{:05d}".format
    own, kin, far = some(shop, 0), some(shop, 0, 1), some(shop, strange(shop, 0))
    recent = [item(kin), None, item(far), item(far)]  # one of three goes with `own`
    lists = [
        (item(own), f"because you put {names[kin]} in the cart"),
        (item(own), f"because you viewed {names[far]}"),
        (item(own), "popular in the last day"),
        (item(own), "because you viewed something that nobody did"),
    ]
    assert judged([(recent, lists)], shop) == Named(reasons=2, right=1 / 2, chance=(1 / 3 + 1 / 3) / 2)
    assert judged([(recent, lists[2:])], shop) is None
