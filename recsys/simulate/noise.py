"""What goes wrong on the way: late arrival, resends, lines that no pipeline should accept.

Shape letters: N rows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recsys.simulate import rows as r
from recsys.simulate.hashing import U64, scramble
from recsys.simulate.people import I64
from recsys.simulate.sessions import DAY_US, HOUR_US, day_start
from recsys.simulate.shop import Shop

CARRY_DAYS = 4  # a line arrives at most so many days after the day that it belongs to


def identify(shop: Shop, day: int, count: int, salt: int = 0) -> U64:
    """[N] ids that are distinct over all days below 2^31: a bijection of (day, place), turned by seed and salt."""
    turn = scramble(scramble(shop.settings.seed) ^ np.uint64(salt))
    return scramble(turn ^ (np.uint64(day) << np.uint64(32) | np.arange(count, dtype=np.uint64)))


def disturb(shop: Shop, day: int, clean: r.Rows) -> r.Rows:
    """A day's behaviours with ids, arrival and defects. On entry `sent` is the extra delay of an offline session."""
    rng = np.random.default_rng([shop.settings.seed, 5, day])
    settings = shop.settings
    moment = clean.time // 1000 * 1000
    latency = (np.clip(rng.lognormal(-1.2, 0.8, len(clean)), 0.05, 20) * 1000).astype(np.int64) * 1000
    sent = np.minimum(moment + latency + clean.sent // 1000 * 1000, _last(shop, day))
    sound = replace(clean, time=moment, sent=sent, arrive=sent)
    broken = _break(sound, rng.poisson(settings.malformed * len(clean)), rng)
    everything = r.join([sound, broken])
    everything = replace(everything, id=identify(shop, day, len(everything)))
    again = np.flatnonzero(rng.random(len(clean)) < settings.duplicates)
    return r.join([everything, _resend(everything.take(again), _last(shop, day), rng)])


def _last(shop: Shop, day: int) -> int:
    return day_start(shop, day) + (CARRY_DAYS + 1) * DAY_US - 1000


def _resend(rows: r.Rows, last: int, rng: np.random.Generator) -> r.Rows:
    """The same lines once more: half at once, half within a day and a half."""
    wait: I64 = np.where(rng.random(len(rows)) < 0.5, 0, rng.uniform(0, 36 * HOUR_US, len(rows))).astype(np.int64)
    arrive = np.minimum(rows.arrive + wait, last)
    return replace(rows, arrive=arrive, defect=np.full(len(rows), r.DUPLICATE, dtype=np.int8))


def _break(rows: r.Rows, count: int, rng: np.random.Generator) -> r.Rows:
    """New rows that resemble looks of the day, each with one defect."""
    looks = np.flatnonzero(((rows.kind == r.VIEW) | (rows.kind == r.CLICK)) & (rows.price > 0))
    count = count if len(looks) else 0
    chosen = rows.take(rng.choice(looks, count) if count else looks[:0])
    defect = rng.integers(len(r.DEFECTS), size=count).astype(np.int8)
    stars, pieces = (defect == r.DEFECTS.index(name) for name in ("bad_rating", "bad_quantity"))
    return replace(
        chosen,
        defect=defect,
        kind=np.select([stars, pieces], [r.RATING, r.CART], chosen.kind).astype(np.int8),
        price=np.select([stars, defect == r.DEFECTS.index("negative_price")], [-1, -chosen.price], chosen.price),
        rating=np.where(stars, 11, 0).astype(np.int8),
        quantity=np.where(pieces, -3, 0).astype(np.int16),
    )
