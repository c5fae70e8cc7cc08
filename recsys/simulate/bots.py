"""Programs that pose as users. The truth file names them; nothing in their events does.

Shape letters: B bots, N events of one bot.
"""

from __future__ import annotations

import numpy as np

from recsys.simulate import rows as r
from recsys.simulate.hashing import mix, uniform
from recsys.simulate.sessions import DAY_US, day_start
from recsys.simulate.shop import Shop
from recsys.simulate.tastes import Today

WAYS = ("scraper", "clicker", "scraper", "clicker", "scraper", "crawler")  # the ways of bots 0, 1, 2 ..., in turn
ACTIVE = 0.4  # chance that a bot runs on a day


def names(shop: Shop) -> dict[str, str]:
    """User id -> way of each bot."""
    users = shop.settings.users
    return {f"u{users + bot:06d}": WAYS[bot % len(WAYS)] for bot in range(shop.settings.bots)}


def run_bots(shop: Shop, now: Today) -> r.Rows:
    """The bots' behaviours of a day, without ids and arrival.

    A scraper walks the catalogue with 0.3 to 1.2 s between views; a clicker opens a handful of items again and again,
    every 0.8 to 1.8 s; a crawler views every 4 to 8 s, slow enough to look like a busy person.
    """
    seed, day = shop.settings.seed, now.day
    rng = np.random.default_rng([seed, 4, day])
    shelf = np.flatnonzero(now.available)
    parts = [r.make_rows(0)]
    for bot in range(shop.settings.bots):
        if uniform(seed, 71, bot, day) >= ACTIVE:
            continue
        way = WAYS[bot % len(WAYS)]
        size = int(rng.integers(80, 220))
        low, high = {"scraper": (0.3, 1.2), "clicker": (0.8, 1.8), "crawler": (4.0, 8.0)}[way]
        start = day_start(shop, day) + int(rng.uniform(0, DAY_US * 0.95))
        time = start + np.cumsum(rng.uniform(low, high, size) * 1e6).astype(np.int64)
        if way == "clicker":
            item = rng.choice(rng.choice(shelf, 4), size)
        else:
            item = shelf[(rng.integers(len(shelf)) + np.arange(size)) % len(shelf)]
        parts.append(
            r.make_rows(
                size,
                kind=r.VIEW,
                time=time,
                item=item,
                price=now.price[item],
                user=shop.settings.users + bot,
                session=mix(seed, 72, bot, day),
                device=1,
            )
        )
    return r.join(parts)
