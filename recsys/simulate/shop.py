"""The shop's shelf: items in clusters (a subcategory in one style), with brands, price levels, launches and titles.

Shape letters: I items, C clusters, B brands, M members of the largest cluster, L width of a taste vector.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.simulate.hashing import F64
from recsys.simulate.people import People, meet_people
from recsys.simulate.settings import SimulateSettings
from recsys.simulate.words import BRANDS, CATALOGUE, STYLES

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

L = 6
POPULARITY_EXPONENT = 1.2  # of an item's rank in its cluster
CLUSTER_EXPONENT = 0.8  # of a cluster's rank in the shop
BRANDS_OF_A_CLUSTER = 6
SUBCATEGORIES = tuple((a, b) for a, subs in CATALOGUE.items() for b in subs)


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """C clusters, in the order of their category."""

    sub: I32  # [C] index into SUBCATEGORIES
    style: I32  # [C] index into STYLES
    weight: F64  # [C] popularity, sums to 1
    complement: I32  # [C] the cluster whose items go with this one's
    category: I32  # [C] index of the top category, ascending
    members: I32  # [C, M] items, most popular first, padded with -1


@dataclass(frozen=True, kw_only=True)
class Items:
    """I items."""

    cluster: I32  # [I]
    brand: I32  # [I] index into BRANDS
    level: F64  # [I] price level within the cluster, in standard deviations
    price: I64  # [I] list price, minor units
    base: F64  # [I] log popularity within the cluster
    taste: F64  # [I, L]
    launch: I64  # [I] first day on the shelf; 0 or less: before day 1
    partner: I32  # [I] the item of the complement cluster that goes with it
    words: I32  # [I, 3] which adjective, material and noun of the cluster


@dataclass(frozen=True, kw_only=True)
class Shop:
    """Everything that does not change from day to day."""

    settings: SimulateSettings
    clusters: Clusters
    items: Items
    people: People


def open_shop(settings: SimulateSettings) -> Shop:
    """Build the shop from its settings alone."""
    rng = np.random.default_rng([settings.seed, 1])
    count = max(8, round(settings.items / settings.cluster_items))
    of_item = rng.choice(count, settings.items, p=_shares(rng.lognormal(0, 0.25, count))).astype(np.int32)
    of_item[:count] = np.arange(count)  # no cluster is empty
    appeal = rng.gumbel(size=settings.items)
    clusters = _clusters(count, _members(of_item, appeal, count), rng)
    items = _items(settings, clusters, of_item, rng)
    people = meet_people(settings, clusters.weight, clusters.category, L)
    return Shop(settings=settings, clusters=clusters, items=items, people=people)


def _shares(values: npt.NDArray[np.floating]) -> F64:
    shares: F64 = values / values.sum()
    return shares


def _members(of_item: I32, appeal: F64, count: int) -> I32:
    order = np.lexsort((-appeal, of_item))
    sizes = np.bincount(of_item, minlength=count)
    place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    members = np.full((count, sizes.max()), -1, dtype=np.int32)
    members[of_item[order], place] = order
    return members


def _clusters(count: int, members: I32, rng: np.random.Generator) -> Clusters:
    wanted = np.arange(count)
    sub = np.sort(rng.permutation(len(SUBCATEGORIES))[wanted % len(SUBCATEGORIES)]).astype(np.int32)
    turn = wanted - np.searchsorted(sub, sub)  # the n-th cluster of its subcategory
    style = ((sub * 5 + turn * 7) % len(STYLES)).astype(np.int32)
    category = sub // (len(SUBCATEGORIES) // len(CATALOGUE))
    first = np.searchsorted(category, category)
    size = np.searchsorted(category, category, side="right") - first
    complement = np.where(size > 1, first + (wanted - first + (size + 1) // 2) % size, (wanted + 1) % count)
    weight = _shares((1.0 + rng.permutation(count)) ** -CLUSTER_EXPONENT)
    return Clusters(
        sub=sub,
        style=style,
        weight=weight,
        complement=complement.astype(np.int32),
        category=category.astype(np.int32),
        members=members,
    )


def _items(settings: SimulateSettings, clusters: Clusters, of_item: I32, rng: np.random.Generator) -> Items:
    size = settings.items
    rank = np.empty(size, dtype=np.int64)
    rows, places = np.nonzero(clusters.members >= 0)
    rank[clusters.members[rows, places]] = places
    sizes = np.bincount(of_item)
    goes = clusters.complement[of_item]
    partner = clusters.members[goes, rank * sizes[goes] // sizes[of_item]]
    offered = rng.integers(len(BRANDS), size=(len(sizes), BRANDS_OF_A_CLUSTER))
    brand = offered[of_item, rng.integers(BRANDS_OF_A_CLUSTER, size=size)].astype(np.int32)
    brand_level = rng.normal(0, 0.7, len(BRANDS))
    level = brand_level[brand] + rng.normal(0, 0.7, size)
    usual = np.exp(rng.normal(3.4, 0.7, len(sizes)))  # the cluster's usual price, in whole units
    price = np.maximum(np.round(usual[of_item] * np.exp(0.45 * level)), 2) * 100 - rng.choice([1, 5, 50], size)
    taste = rng.normal(0, 1, (len(BRANDS), L))[brand] * 0.8 + rng.normal(0, 0.6, (size, L))
    launch = np.where(
        rng.random(size) < settings.launched_items, rng.integers(2, 61, size), -rng.integers(30, 700, size)
    )
    return Items(
        cluster=of_item,
        brand=brand,
        level=level,
        price=price.astype(np.int64),
        base=-POPULARITY_EXPONENT * np.log1p(rank) + rng.normal(0, 0.2, size),
        taste=taste,
        launch=launch,
        partner=partner,
        words=rng.integers((3, 3, 4), size=(size, 3)).astype(np.int32),
    )
