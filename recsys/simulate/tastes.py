"""What users want on a day. Every drift is a function of (seed, user or item, day), so any day stands on its own.

Shape letters: U users, I items, C clusters, S interests of a user, N questions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.simulate.hashing import F64, uniform
from recsys.simulate.people import I64, S
from recsys.simulate.shop import I32, Shop

F32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]

EXPLORE = 0.04  # chance that a session begins with the shop's popular clusters, not with an interest
LIFE_DAYS = np.array([150.0, 100.0, 70.0, 50.0, 40.0])  # an interest moves on within its category after so long
MISSION_DAYS = 6.0  # for so long one of the interests stands in front
MISSION = 1.2  # how much that adds to its log strength
MISSION_SHARES = np.array([0.50, 0.30, 0.10, 0.06, 0.04])
TREND = 0.35  # how far a category's log popularity swings
TREND_DAYS = 45.0
PRICE_WEIGHT = 0.3  # cost of an item one standard deviation from the user's price level
TASTE_WEIGHT = 0.5
DISCOUNT_WEIGHT = 1.5
NOVELTY, NOVELTY_DAYS = 1.0, 5.0


@dataclass(frozen=True, kw_only=True)
class Today:
    """The shelf on one day."""

    day: int
    appeal: F32  # [I] log popularity within the cluster; -inf: cannot be had
    price: I64  # [I] minor units, after discounts
    discount: F64  # [I] share of the list price
    available: Bool  # [I] launched and in stock
    weight: F64  # [C] popularity of the clusters, sums to 1


def today(shop: Shop, day: int) -> Today:
    """Prices, stock, novelty and trends of a day (1 is the first)."""
    items, seed = shop.items, shop.settings.seed
    age = day - items.launch
    discount, available = discounts(shop, day), (age >= 0) & in_stock(shop, day)
    novelty = np.where(items.launch > 0, NOVELTY * np.exp(-np.maximum(age, 0) / NOVELTY_DAYS), 0.0)
    everyone = np.arange(len(items.launch))
    wave = 0.3 * np.sin(2 * np.pi * (day / (30 + 60 * uniform(seed, 21, everyone)) + uniform(seed, 22, everyone)))
    appeal = items.base + wave + novelty + DISCOUNT_WEIGHT * discount
    weight = shop.clusters.weight * np.exp(trend(shop, day))
    return Today(
        day=day,
        appeal=np.where(available, appeal, -np.inf).astype(np.float32),
        price=np.round(items.price * (1 - discount)).astype(np.int64),
        discount=discount,
        available=available,
        weight=weight / weight.sum(),
    )


def trend(shop: Shop, day: float) -> F64:
    """[C] what the season adds to each cluster's log popularity; clusters of a category move together."""
    swing: F64 = TREND * np.sin(
        2 * np.pi * (day / TREND_DAYS + uniform(shop.settings.seed, 23, shop.clusters.category))
    )
    return swing


def discounts(shop: Shop, day: int) -> F64:
    """[I] share taken off the list price: three days of each cycle for 60% of the items, 10% to 40% off."""
    seed, item = shop.settings.seed, np.arange(len(shop.items.launch))
    cycle = 20 + np.floor(40 * uniform(seed, 24, item))
    place = day + np.floor(cycle * uniform(seed, 25, item))
    off = 0.10 + 0.30 * uniform(seed, 26, item, np.floor(place / cycle).astype(np.int64))
    return np.where((place % cycle < 3) & (uniform(seed, 27, item) < 0.6), np.round(off, 2), 0.0)


def in_stock(shop: Shop, day: int) -> Bool:
    """[I] whether any piece is left: 40% of the items are out for one or two days of each cycle."""
    seed, item = shop.settings.seed, np.arange(len(shop.items.launch))
    cycle = 15 + np.floor(25 * uniform(seed, 28, item))
    place = day + np.floor(cycle * uniform(seed, 29, item))
    left: Bool = (place % cycle >= 1 + (uniform(seed, 30, item) < 0.25)) | (uniform(seed, 31, item) >= 0.4)
    return left


def interests(shop: Shop, users: I64, day: int) -> tuple[I32, F64]:
    """[N, S] the cluster of each interest of these users on that day, and its chance (rows sum to 1)."""
    seed, people, clusters = shop.settings.seed, shop.people, shop.clusters
    category, phase = people.category[users], people.phase[users]
    spans = np.floor(day / LIFE_DAYS + phase[:, None] + 0.37 * np.arange(S)).astype(np.int64)
    luck = uniform(seed, 41, users[:, None], np.arange(S), spans)
    edge = np.concatenate([[0.0], np.cumsum(clusters.weight)])
    low = edge[np.searchsorted(clusters.category, category)]
    high = edge[np.searchsorted(clusters.category, category, side="right")]
    found = np.searchsorted(edge, low + luck * (high - low), side="right") - 1
    found = np.clip(found, 0, len(clusters.weight) - 1)
    mission = np.floor(day / MISSION_DAYS + 7 * phase).astype(np.int64)
    front = np.searchsorted(np.cumsum(MISSION_SHARES), uniform(seed, 42, users, mission), side="right")
    strength = people.strength[users] + trend(shop, day)[found]
    strength = strength + MISSION * (np.minimum(front, S - 1)[:, None] == np.arange(S))
    chance = np.exp(strength - strength.max(axis=1, keepdims=True))
    return found.astype(np.int32), chance / chance.sum(axis=1, keepdims=True)


def draw_clusters(shop: Shop, now: Today, users: I64, rng: np.random.Generator) -> I32:
    """[N] the cluster that each of these users turns to."""
    found, chance = interests(shop, users, now.day)
    slot = (np.cumsum(chance, axis=1) < rng.random((len(users), 1))).sum(axis=1)
    wanted = found[np.arange(len(users)), np.minimum(slot, S - 1)]
    any_cluster = rng.choice(len(now.weight), len(users), p=now.weight)
    return np.where(rng.random(len(users)) < EXPLORE, any_cluster, wanted).astype(np.int32)


def level(shop: Shop, users: I64, day: int) -> F64:
    """[N] the users' price level, which drifts by a third of a standard deviation over two months."""
    drifted: F64 = shop.people.level[users] + 0.3 * np.sin(2 * np.pi * (day / 60 + 3 * shop.people.phase[users]))
    return drifted


def liking(shop: Shop, users: I64, items: I32, day: int) -> F64:
    """[N, K] how well items [N, K] fit the price level and taste of users [N], whatever the items' popularity."""
    distance = shop.items.level[items] - level(shop, users, day)[:, None]
    taste = np.einsum("nkl,nl->nk", shop.items.taste[items], shop.people.taste[users])
    fit: F64 = TASTE_WEIGHT * taste - PRICE_WEIGHT * distance**2
    return fit


def utility(shop: Shop, now: Today, users: I64, items: I32) -> F64:
    """[N, K] the users' [N] log preference for items [N, K] of one cluster; -inf: cannot be had, or padding (-1)."""
    return np.where(items >= 0, now.appeal[items] + liking(shop, users, items, now.day), -np.inf)


def choose(value: F64, rng: np.random.Generator) -> I64:
    """[N] a column of each row of [N, K], with chance softmax(row), by Gumbel-max; -1: the row holds nothing."""
    noisy = value + rng.gumbel(size=value.shape)
    return np.where(np.isfinite(value).any(axis=1), noisy.argmax(axis=1), -1).astype(np.int64)
