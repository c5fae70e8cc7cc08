"""From the steps of a day's sessions to behaviours: impressions, looks, searches, carts, purchases, ratings.

Shape letters: N sessions, K steps, N rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recsys.simulate import rows as r
from recsys.simulate.hashing import F64, U64, mix
from recsys.simulate.people import I64
from recsys.simulate.queries import VARIANTS
from recsys.simulate.sessions import HOUR_US, Sessions, visit
from recsys.simulate.shop import Shop
from recsys.simulate.tastes import DISCOUNT_WEIGHT, Bool, Today, liking, today
from recsys.simulate.walk import Walk, walk

CART, BUY, RATE = -2.7, 0.45, 0.35  # log odds of a cart at liking 0; chances of the step after it
SEARCH_LEAD_US = 300_000
PRICE_LOST = 0.01  # share of looks whose price did not make it into the event


def behave(shop: Shop, day: int) -> r.Rows:
    """The behaviours that begin on a day, without ids and arrival: those past midnight and later ratings too."""
    rng = np.random.default_rng([shop.settings.seed, 3, day])
    now = today(shop, day)
    visits = visit(shop, day, rng)
    steps = walk(shop, now, visits, rng)
    lists = _lists(shop, now, visits, steps, rng)
    looks = _looks(shop, now, visits, steps, rng)
    carted = _wants(shop, now, visits, steps, rng)
    bought = carted[rng.random(len(carted)) < BUY]
    decided = steps.time[carted] + steps.gap[carted] // 2
    carts = _pieces(now, visits, steps, carted, r.CART, decided, rng)
    end = np.zeros(len(visits.user), dtype=np.int64)
    np.maximum.at(end, steps.session, steps.time)
    np.maximum.at(end, steps.session[carted], decided)
    checkout = end + (rng.uniform(25, 150, len(end)) * 1e6).astype(np.int64)
    purchases = _pieces(now, visits, steps, bought, r.PURCHASE, checkout[steps.session[bought]], rng)
    ratings = _ratings(shop, now, visits, steps, bought, checkout, rng)
    return r.join([*lists, looks, carts, purchases, ratings])


def _base(s: Sessions, session: I64) -> dict[str, npt.NDArray[np.generic]]:
    named = np.where(s.named[session], s.user[session], -1)
    return {"user": named, "session": s.id[session], "device": s.device[session], "sent": s.delay[session]}


def _request(s: Sessions, steps: Walk, index: I64) -> U64:
    return mix(s.id[steps.session[index]], 61, index - np.searchsorted(steps.session, steps.session[index]))


def _lists(shop: Shop, now: Today, s: Sessions, steps: Walk, rng: np.random.Generator) -> list[r.Rows]:
    read = np.flatnonzero(steps.shown[:, 0] >= 0)
    opened = steps.time[read] - (steps.gap[read] * rng.uniform(0.2, 0.8, len(read))).astype(np.int64)
    row, place = np.nonzero(steps.shown[read] >= 0)
    step, item = read[row], steps.shown[read[row], place]
    impressions = r.make_rows(
        len(step), kind=r.IMPRESSION, time=opened[row], item=item, price=now.price[item],
        request=_request(s, steps, step), position=place + 1, **_base(s, steps.session[step]),
    )  # fmt: skip
    asked = steps.searched[read]
    step = read[asked]
    words = steps.cluster[step] * VARIANTS + rng.integers(VARIANTS, size=len(step))
    searches = r.make_rows(
        len(step), kind=r.SEARCH, time=opened[asked] - SEARCH_LEAD_US, query=words,
        request=_request(s, steps, step), **_base(s, steps.session[step]),
    )  # fmt: skip
    return [impressions, searches]


def _looks(shop: Shop, now: Today, s: Sessions, steps: Walk, rng: np.random.Generator) -> r.Rows:
    index = np.flatnonzero(steps.item >= 0)
    clicked = steps.place[index] >= 0
    item = steps.item[index]
    lost = rng.random(len(index)) < PRICE_LOST
    return r.make_rows(
        len(index), kind=np.where(clicked, r.CLICK, r.VIEW), time=steps.time[index], item=item,
        price=np.where(lost, -1, now.price[item]), position=steps.place[index] + 1,
        request=np.where(clicked, _request(s, steps, index), 0), **_base(s, steps.session[index]),
    )  # fmt: skip


def _wants(shop: Shop, now: Today, s: Sessions, steps: Walk, rng: np.random.Generator) -> I64:
    index = np.flatnonzero(steps.item >= 0)
    odds = CART + _fit(shop, now, s, steps, index) + DISCOUNT_WEIGHT * now.discount[steps.item[index]]
    first = np.unique(steps.session[index] * len(now.price) + steps.item[index], return_index=True)[1]
    once: Bool = np.zeros(len(index), dtype=np.bool_)
    once[first] = True  # an item goes into a session's cart at its first look
    return index[once & (rng.random(len(index)) < 1 / (1 + np.exp(-odds)))]


def _fit(shop: Shop, now: Today, s: Sessions, steps: Walk, index: I64) -> F64:
    return liking(shop, s.user[steps.session[index]], steps.item[index][:, None], now.day)[:, 0]


def _pieces(now: Today, s: Sessions, steps: Walk, index: I64, kind: int, time: I64, rng: np.random.Generator) -> r.Rows:
    item = steps.item[index]
    return r.make_rows(
        len(index), kind=kind, time=time, item=item, price=now.price[item],
        quantity=1 + np.minimum(rng.geometric(0.8, len(index)) - 1, 9), **_base(s, steps.session[index]),
    )  # fmt: skip


def _ratings(
    shop: Shop, now: Today, s: Sessions, steps: Walk, bought: I64, checkout: I64, rng: np.random.Generator
) -> r.Rows:
    index = bought[(rng.random(len(bought)) < RATE) & s.named[steps.session[bought]]]
    session = steps.session[index]
    stars = np.clip(np.round(3.8 + _fit(shop, now, s, steps, index) + rng.normal(0, 0.8, len(index))), 1, 5)
    later = rng.uniform(6 * HOUR_US, 58 * HOUR_US, len(index)).astype(np.int64)
    origin = {**_base(s, session), "session": mix(s.id[session], 62, index), "sent": np.zeros(len(index), np.int64)}
    time = checkout[session] + later
    return r.make_rows(len(index), kind=r.RATING, time=time, item=steps.item[index], rating=stars, **origin)
