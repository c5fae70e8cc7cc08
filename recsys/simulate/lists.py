"""Impression lists: what the shop shows, and which place a user takes from it.

Shape letters: R lists, N places of a list, M members of the largest cluster, I items.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recsys.simulate.hashing import F64
from recsys.simulate.people import I64
from recsys.simulate.shop import I32, Shop
from recsys.simulate.tastes import Today, liking

FOREIGN = 2  # places of a list that hold popular items of other clusters
PLACE_WEIGHT = 0.7  # a place's attention falls with its number to this power
OTHER_CLUSTER = -1.0  # log preference for an item that the user did not look for
APPEAL_WEIGHT = 0.5  # how far a list's reader follows popularity; the list was already chosen by it
PASS = 0.3  # log preference for taking nothing


def show(shop: Shop, now: Today, clusters: I32, rng: np.random.Generator) -> I32:
    """[R, N] distinct items for readers of these clusters [R], best place first, -1 at the end of a shorter list.

    The shop knows popularity only: its order is a noisy ranking by today's appeal, the same for every user.
    """
    size = shop.settings.list_length
    members = shop.clusters.members[clusters]
    noise = rng.gumbel(size=members.shape)
    value = np.where(members >= 0, now.appeal[members], -np.inf) + noise
    own = max(size - FOREIGN, 1)
    best = np.argsort(-value, axis=1)[:, :own]
    shown = np.take_along_axis(members, best, axis=1)
    score = np.take_along_axis(value, best, axis=1)
    popular = np.where(now.available, np.exp(now.appeal) * now.weight[shop.items.cluster], 0.0)
    others = rng.choice(len(popular), (len(clusters), size - shown.shape[1]), p=popular / popular.sum())
    shown = np.concatenate([np.where(np.isfinite(score), shown, -1), others], axis=1)
    score = np.concatenate([score, rng.permuted(score[:, -1:] + rng.gumbel(size=others.shape), axis=1)], axis=1)
    shown = np.take_along_axis(shown, np.argsort(-score, axis=1), axis=1)
    return _without_repeats(shown).astype(np.int32)


def _without_repeats(shown: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    earlier = np.tril(shown[:, :, None] == shown[:, None, :], k=-1).any(axis=2)
    kept = np.where(earlier, -1, shown)
    return np.take_along_axis(kept, np.argsort(kept < 0, axis=1, kind="stable"), axis=1)


def pick(shop: Shop, now: Today, users: I64, clusters: I32, shown: I32, rng: np.random.Generator) -> I64:
    """[R] the place (from 0) that each reader clicks in its list [R, N], or -1 for none."""
    value: F64 = liking(shop, users, shown, now.day) + APPEAL_WEIGHT * now.appeal[shown]
    value = value - PLACE_WEIGHT * np.log(1 + np.arange(shown.shape[1]))
    value = value + OTHER_CLUSTER * (shop.items.cluster[shown] != clusters[:, None])
    value = np.where(shown >= 0, value, -np.inf)
    noisy = np.concatenate([value, np.full((len(shown), 1), PASS)], axis=1) + rng.gumbel(
        size=(len(shown), shown.shape[1] + 1)
    )
    place = noisy.argmax(axis=1)
    return np.where(place == shown.shape[1], -1, place)
