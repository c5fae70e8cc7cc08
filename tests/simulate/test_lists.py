import numpy as np
import pytest

from recsys.simulate.lists import pick, show
from recsys.simulate.shop import Shop
from recsys.simulate.tastes import liking, today


def test_a_list_holds_distinct_items_that_can_be_had(shop: Shop) -> None:
    now = today(shop, 3)
    clusters = np.repeat(np.arange(len(shop.clusters.sub), dtype=np.int32), 100)
    shown = show(shop, now, clusters, np.random.default_rng(0))
    assert shown.shape == (len(clusters), shop.settings.list_length)
    for row, cluster in zip(shown.tolist(), clusters.tolist(), strict=True):
        items = [item for item in row if item >= 0]
        assert row == items + [-1] * (len(row) - len(items))
        assert len(set(items)) == len(items)
        assert now.available[items].all()
        own = [item for item in items if shop.items.cluster[item] == cluster]
        assert len(own) >= 4 or len(own) == sum(now.available[shop.items.cluster == cluster])


def test_the_popular_stand_above_the_rest(shop: Shop) -> None:
    now = today(shop, 3)
    cluster = int(np.bincount(shop.items.cluster).argmax())
    shown = show(shop, now, np.full(2000, cluster, dtype=np.int32), np.random.default_rng(0))
    mine = np.flatnonzero((shop.items.cluster == cluster) & now.available)
    ranked = mine[np.argsort(-now.appeal[mine])]
    first = [(shown[:, 0] == item).mean() for item in ranked]
    assert first[0] > first[2] > first[-1]


def test_a_place_is_taken_by_liking_appeal_and_attention(shop: Shop) -> None:
    now, user = today(shop, 3), 11
    items = np.flatnonzero(now.available)[[0, 3, 8]].tolist()
    cluster = int(shop.items.cluster[items[0]])
    row = np.asarray([*items, -1], dtype=np.int32)
    fit = liking(shop, np.asarray([user]), row[None, :3], 3)[0]
    weights = [
        np.exp(fit[k] + 0.5 * now.appeal[item] - float(shop.items.cluster[item] != cluster)) / (k + 1) ** 0.7
        for k, item in enumerate(items)
    ] + [np.exp(0.3)]
    size = 100_000
    rows = np.broadcast_to(row, (size, 4))
    taken = pick(shop, now, np.full(size, user), np.full(size, cluster, dtype=np.int32), rows, np.random.default_rng(0))
    shares = [(taken == place).mean() for place in (0, 1, 2, -1)]
    assert shares == pytest.approx(np.asarray(weights) / sum(weights), abs=0.007)
    assert (taken != 3).all()  # nothing lies there
