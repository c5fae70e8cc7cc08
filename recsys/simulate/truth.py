"""The oracle: what each user is about to want, known from how the shop was made.

Shape letters: U users asked for, I items, C clusters, S interests of a user.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from recsys.config import parse
from recsys.errors import ConfigError
from recsys.simulate.hashing import F64
from recsys.simulate.people import I64
from recsys.simulate.sessions import DAY_US, LENGTH_SHARES, day_start
from recsys.simulate.settings import SimulateSettings
from recsys.simulate.shop import Shop, open_shop
from recsys.simulate.tastes import EXPLORE, F32, PRICE_WEIGHT, TASTE_WEIGHT, Today, interests, level, today
from recsys.simulate.walk import COMPLEMENT, TURN


def open_truth(folder: Path) -> Shop:
    """The shop behind the files in `folder`. ConfigError where its truth file is absent."""
    path = folder / "truth" / "shop.json"
    if not path.is_file():
        raise ConfigError(f"{str(path)!r} does not exist: {str(folder)!r} was not written by jobs/simulate.py.")
    return open_shop(parse(SimulateSettings, json.loads(path.read_text(encoding="utf-8")), str(path)))


def true_scores(shop: Shop, users: I64, at: int) -> F32:
    """[U, I] the chance that a look of these users (indices) on the day of `at` (µs since 1970 UTC) is at each item.

    Exact for direct looks, given the day, before anything that the user does on it: the share of time in each cluster,
    from interests through the steps of a session, times the choice within the cluster. Lists follow it closely (they
    are chosen by popularity and read by liking); going on to a partner item is left out. 0: cannot be had. Rows sum
    to about 1. Memory: about 16 bytes x U x I.
    """
    now = today(shop, (at - day_start(shop, 1)) // DAY_US + 1)
    order = np.argsort(shop.items.cluster, kind="stable")
    starts = np.searchsorted(shop.items.cluster[order], np.arange(len(now.weight)))
    value = np.exp(_preferences(shop, now, users))[:, order]
    within = value / np.repeat(_sums(value, starts), np.diff(np.append(starts, len(order))), axis=1)
    shares = visits(shop, now, users).astype(np.float32)
    scores: F32 = np.empty_like(value)
    scores[:, order] = within * shares[:, shop.items.cluster[order]]
    return scores


def _sums(value: F32, starts: I64) -> F32:
    sums: F32 = np.maximum(np.add.reduceat(value, starts, axis=1), np.float32(1e-30))
    return sums


def _preferences(shop: Shop, now: Today, users: I64) -> F32:
    distance = shop.items.level.astype(np.float32) - level(shop, users, now.day)[:, None].astype(np.float32)
    taste = shop.people.taste[users].astype(np.float32) @ shop.items.taste.T.astype(np.float32)
    preferences: F32 = now.appeal + TASTE_WEIGHT * taste - PRICE_WEIGHT * distance**2
    return preferences


def visits(shop: Shop, now: Today, users: I64) -> F64:
    """[U, C] expected share of a user's looks that fall into each cluster on a day; rows sum to 1."""
    found, chance = interests(shop, users, now.day)
    first = np.zeros((len(users), len(now.weight)))
    np.add.at(first, (np.arange(len(users))[:, None], found), (1 - EXPLORE) * chance)
    first += EXPLORE * now.weight
    sources = np.argsort(shop.clusters.complement, kind="stable")
    targets, starts = np.unique(shop.clusters.complement[sources], return_index=True)
    place, total, weight = first, np.zeros_like(first), 0.0
    for reached in np.cumsum(LENGTH_SHARES[::-1])[::-1]:  # share of sessions with at least so many steps
        total += reached * place
        weight += reached
        moved = np.zeros_like(place)
        moved[:, targets] = np.add.reduceat(place[:, sources], starts, axis=1)
        place = (1 - TURN - COMPLEMENT) * place + COMPLEMENT * moved + TURN * first
    shares: F64 = total / weight
    return shares
