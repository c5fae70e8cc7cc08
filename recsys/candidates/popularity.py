"""The most popular items of a snapshot. NumPy only.

Shape letters: I items, U users, M items of a list, K items kept.
"""

from __future__ import annotations

import numpy as np

from recsys.candidates.ragged import Ragged
from recsys.features.history import F32, I64
from recsys.features.item import ItemSnapshot

WINDOWS = (("1h", "last hour"), ("1d", "last day"), ("7d", "last week"))


def popular(snapshot: ItemSnapshot, k: int) -> I64:
    """Indices [min(k, items in stock)] of the most popular items before `snapshot.at`: of the hour and the day in turn.

    What is new today and what lasts are both among them, also where either alone would fill the list. Each of the two
    counts engaged behaviours; equal counts are ordered by those of the longer windows, then by index. An item without
    any behaviour in the last hour has its place in the day's order only. Only items in stock; an item without any
    behaviour comes last, but it comes, so that a small catalogue still fills a list.
    """
    counts = [np.where(snapshot.in_stock, _count(snapshot, window), -1) for window, _ in WINDOWS]
    turn = np.minimum(2 * _places(counts) + np.where(counts[0] > 0, 0, 2 * len(counts[0])), 2 * _places(counts[1:]) + 1)
    order = np.argsort(turn, kind="stable")
    return order[snapshot.in_stock[order]][:k].astype(np.int64)


def popularity_codes(snapshot: ItemSnapshot) -> I64:
    """[I] the first of WINDOWS in which the item has an engaged behaviour; len(WINDOWS): in none."""
    seen = np.stack([_count(snapshot, window) > 0 for window, _ in WINDOWS] + [np.ones(len(snapshot.items), np.bool_)])
    codes: I64 = seen.argmax(axis=0).astype(np.int64)
    return codes


def unseen(lists: I64, seen: Ragged, items: int, k: int) -> I64:
    """The first k of each user's list that the user has not seen: [U, k], -1 where the list is exhausted.

    `lists` is one list [M] for all users or one for each [U, M]; its indices lie in [-1, items), -1 is skipped.
    `seen` holds each user's seen indices; -1 is ignored.
    """
    users = len(seen.offsets) - 1
    lists = np.broadcast_to(lists, (users, lists.shape[-1]))
    if lists.shape[1] == 0:
        return np.full((users, k), -1, dtype=np.int64)
    keys = np.sort(seen.rows * (items + 1) + seen.values)
    asked = np.arange(users, dtype=np.int64)[:, None] * (items + 1) + lists  # [U, M]
    fresh = lists >= 0
    if len(keys):
        place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
        fresh &= keys[place] != asked
    rank = np.cumsum(fresh, axis=1)
    user, column = np.nonzero(fresh & (rank <= k))
    out = np.full((users, k), -1, dtype=np.int64)
    out[user, rank[user, column] - 1] = lists[user, column]
    return out


def _count(snapshot: ItemSnapshot, window: str) -> F32:
    return np.nan_to_num(snapshot.column(f"item_engaged_count_{window}"))


def _places(counts: list[F32]) -> I64:
    """[I] each item's place, from 0, by descending counts; the first decides, the next break its ties, then index."""
    place = np.empty(len(counts[0]), dtype=np.int64)
    place[np.lexsort([-count for count in reversed(counts)])] = np.arange(len(place))  # stable
    return place
