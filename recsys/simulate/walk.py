"""A session as a walk over clusters: stay, go to what goes with it, or turn to another interest.

Shape letters: N sessions, K steps of all sessions, R lists, P places of a list.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.simulate import lists
from recsys.simulate.people import I64
from recsys.simulate.sessions import Sessions
from recsys.simulate.shop import I32, Shop
from recsys.simulate.tastes import Bool, Today, choose, draw_clusters, utility

TURN = 0.20  # chance that a step begins anew with one of the user's interests
COMPLEMENT = 0.15  # chance that a step goes on to the complement cluster
PARTNER = 0.5  # there: chance that it is to the very item that goes with the last one
AGAIN = 0.08  # chance of another look at the last item
LISTED = 0.09  # chance that a step reads a list
SEARCHED = 0.14  # chance that a session begins with a search
GAP_S, GAP_SIGMA = 24.0, 1.0  # log-normal pause before a step
SHORTEST_S, LONGEST_S = 3.0, 1500.0


@dataclass(frozen=True, kw_only=True)
class Walk:
    """K steps, those of a session contiguous and in order."""

    session: I64  # [K] index into the day's sessions
    time: I64  # [K] microseconds since 1970 UTC
    gap: I64  # [K] microseconds since the step before, or since the start
    cluster: I32  # [K]
    item: I32  # [K] the item looked at; -1: a list was read in vain
    place: I64  # [K] its place in the list, from 0; -1: no list, or in vain
    shown: I32  # [K, P] the list read, padded with -1; all -1: no list
    searched: Bool  # [K] the list answers a search


def walk(shop: Shop, now: Today, s: Sessions, rng: np.random.Generator) -> Walk:
    """All steps of a day's sessions."""
    cluster = draw_clusters(shop, now, s.user, rng)
    last = np.full(len(s.user), -1, dtype=np.int32)
    searching = rng.random(len(s.user)) < SEARCHED
    parts: list[tuple[I64, I32, I32, I64, I32, Bool]] = []
    for turn in range(int(s.steps.max(initial=0))):
        who = np.flatnonzero(s.steps > turn)
        if turn:
            cluster[who], goes = _move(shop, now, s.user[who], cluster[who], rng)
        else:
            goes = np.zeros(len(who), dtype=np.bool_)
        item = _look(shop, now, s.user[who], cluster[who], last[who], goes, rng)
        searched = searching[who] & (turn == 0)
        reads = (rng.random(len(who)) < LISTED) | searched
        shown = np.full((len(who), shop.settings.list_length), -1, dtype=np.int32)
        place = np.full(len(who), -1, dtype=np.int64)
        shown[reads] = lists.show(shop, now, cluster[who[reads]], rng)
        place[reads] = lists.pick(shop, now, s.user[who[reads]], cluster[who[reads]], shown[reads], rng)
        item[reads] = np.where(place >= 0, shown[np.arange(len(who)), place], -1)[reads]
        last[who] = np.where(item >= 0, item, last[who])
        parts.append((who, cluster[who], item, place, shown, searched))
    return _timed(s, parts, shop.settings.list_length, rng)


def _move(shop: Shop, now: Today, users: I64, cluster: I32, rng: np.random.Generator) -> tuple[I32, Bool]:
    luck = rng.random(len(users))
    turned, goes = luck < TURN, (luck >= TURN) & (luck < TURN + COMPLEMENT)
    moved = np.where(goes, shop.clusters.complement[cluster], cluster)
    moved[turned] = draw_clusters(shop, now, users[turned], rng)
    return moved, goes


def _look(shop: Shop, now: Today, users: I64, cluster: I32, last: I32, goes: Bool, rng: np.random.Generator) -> I32:
    members = shop.clusters.members[cluster]
    column = choose(utility(shop, now, users, members), rng)
    item = np.where(column >= 0, members[np.arange(len(users)), column], -1)
    partner = shop.items.partner[last]
    follows = goes & (last >= 0) & now.available[partner] & (rng.random(len(users)) < PARTNER)
    item = np.where(follows, partner, item)
    again = ~goes & (last >= 0) & (shop.items.cluster[last] == cluster) & (rng.random(len(users)) < AGAIN)
    return np.where(again, last, item).astype(np.int32)


def _timed(
    s: Sessions, parts: list[tuple[I64, I32, I32, I64, I32, Bool]], places: int, rng: np.random.Generator
) -> Walk:
    empty = (
        np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32),
        np.zeros(0, np.int64), np.zeros((0, places), np.int32), np.zeros(0, np.bool_),
    )  # fmt: skip
    who, cluster, item, place, shown, searched = (np.concatenate(column) for column in zip(empty, *parts, strict=True))
    order = np.argsort(who, kind="stable")
    who = who[order]
    pause = np.clip(rng.lognormal(np.log(GAP_S), GAP_SIGMA, len(who)), SHORTEST_S, LONGEST_S)
    gap = (pause * 1e6).astype(np.int64)
    total = np.cumsum(gap)
    first = np.searchsorted(who, who)
    since = total - total[first] + gap[first] if len(who) else total
    return Walk(
        session=who,
        time=s.start[who] + since,
        gap=gap,
        cluster=cluster[order],
        item=item[order],
        place=place[order],
        shown=shown[order],
        searched=searched[order],
    )
