from pathlib import Path

import numpy as np
import pytest

from recsys.errors import ConfigError
from recsys.simulate.sessions import LENGTH_SHARES, LENGTHS, Sessions, day_start, visit
from recsys.simulate.shop import Shop
from recsys.simulate.tastes import today
from recsys.simulate.truth import open_truth, true_scores, visits
from recsys.simulate.walk import walk
from recsys.simulate.write import write_truth

DAY = 5


def many_visits(shop: Shop, user: int, count: int) -> Sessions:
    random = np.random.default_rng(99)  # unlike the seeds of the walks: a session must not be long because of its user
    zeros = np.zeros(count, dtype=np.int64)
    return Sessions(
        day=DAY,
        user=np.full(count, user),
        named=zeros == 0,
        id=zeros.astype(np.uint64),
        start=zeros,
        steps=random.choice(LENGTHS, count, p=LENGTH_SHARES),
        device=zeros.astype(np.int32),
        delay=zeros,
    )


def test_scores_are_chances_over_what_can_be_had(shop: Shop) -> None:
    users = np.arange(40)
    scores = true_scores(shop, users, day_start(shop, DAY) + 12 * 3_600_000_000)
    assert scores.shape == (40, shop.settings.items)
    assert (scores >= 0).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-4)
    now = today(shop, DAY)
    np.testing.assert_array_equal(scores > 0, np.broadcast_to(now.available, scores.shape))


def test_shares_of_clusters_are_those_of_the_walks(shop: Shop) -> None:
    now = today(shop, DAY)
    wanted = visits(shop, now, np.asarray([0, 17]))
    np.testing.assert_allclose(wanted.sum(axis=1), 1)
    for row, user in enumerate((0, 17)):
        steps = walk(shop, now, many_visits(shop, user, 20_000), np.random.default_rng(user))
        found = np.bincount(steps.cluster, minlength=len(now.weight)) / len(steps.cluster)
        np.testing.assert_allclose(found, wanted[row], atol=0.01)


def test_shares_of_items_are_those_of_direct_first_looks(shop: Shop) -> None:
    """The first step of a session has neither partner nor repetition: within a cluster the choice is exact."""
    now, user = today(shop, DAY), 17
    steps = walk(shop, now, many_visits(shop, user, 40_000), np.random.default_rng(1))
    first = np.append(True, np.diff(steps.session) > 0) & (steps.shown[:, 0] < 0)
    cluster = int(np.bincount(steps.cluster[first]).argmax())
    looks = steps.item[first & (steps.cluster == cluster)]
    scores = true_scores(shop, np.asarray([user]), day_start(shop, DAY))[0]
    mine = shop.items.cluster == cluster
    found = np.bincount(looks, minlength=len(scores))[mine] / len(looks)
    np.testing.assert_allclose(found, scores[mine] / scores[mine].sum(), atol=0.012)


def test_the_truth_predicts_looks_far_better_than_popularity(shop: Shop) -> None:
    settings = shop.settings.model_copy(update={"events_per_day": 20_000})
    busy = Shop(settings=settings, clusters=shop.clusters, items=shop.items, people=shop.people)
    sessions = visit(busy, DAY, np.random.default_rng(1))
    steps = walk(busy, today(busy, DAY), sessions, np.random.default_rng(2))
    looks = steps.item >= 0
    user, item = sessions.user[steps.session[looks]], steps.item[looks]
    scores = true_scores(busy, np.arange(settings.users), day_start(busy, DAY + 1) - 1)
    popular = np.bincount(item, minlength=settings.items) / len(item)  # knows even the day itself

    def hit_rate(ranked: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> float:
        return float((ranked[:, :5] == item[:, None]).any(axis=1).mean())

    best = np.argsort(-scores, axis=1)[user]
    assert hit_rate(best) > 2 * hit_rate(np.broadcast_to(np.argsort(-popular), best.shape))
    surprise = -np.log(np.maximum(scores[user, item], 1e-9)).mean()
    assert surprise < -np.log(popular[item]).mean() - 0.5


def test_the_truth_is_found_again_by_its_files(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"shop\.json' does not exist: .*jobs/simulate\.py"):
        open_truth(tmp_path)
    write_truth(shop, tmp_path)
    again = open_truth(tmp_path)
    assert again.settings == shop.settings
    np.testing.assert_array_equal(again.items.price, shop.items.price)
