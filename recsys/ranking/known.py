"""What was known of users at a moment: behaviours strictly before it in event time, and in known time. NumPy only.

Nearly always that is a stretch of the user's behaviours. Where one that came late left a gap, the request gets the
behaviours that were known as a stretch of its own, behind all others: whoever reads a stretch needs no other rule.

Shape letters: U users, E behaviours, P requests, G those with a gap.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from recsys.features.history import I64, Histories, Points
from recsys.features.windows import first_after, spread


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """P requests, each with its user's last K behaviours that were known."""

    h: Histories  # the users', then one for each request with a gap
    points: Points  # into `h`
    since: I64  # [P] row of the user's before which nothing was looked at: the K-th known lies here or later


def as_known(h: Histories, known: I64, user: I64, at: I64, k: int) -> Known:
    """Each request's last `k` behaviours of `user` [P] whose time and whose `known` [E] lie strictly before `at` [P].

    Both are microseconds since 1970 UTC. A behaviour counts as known at its own time at the earliest.
    """
    known = np.maximum(known, h.time)
    first, last = h.offsets[user], h.offsets[user + 1]
    end = first_after(h.time, first, last, at - 1)
    in_order, newest = _by_user(h, known)
    told = first_after(in_order, first, last, at - 1) - first  # what is known lies before `at` in event time too
    late = end - first - told
    since = np.maximum(first, end - late - k)
    whole = end - late
    gap = np.flatnonzero((late > 0) & (told > 0) & (newest[np.maximum(whole, 1) - 1] >= at)) if len(known) else late[:0]
    start, end = np.maximum(first, whole - k), whole.copy()
    rows, sizes = _kept(known, since[gap], (whole + late)[gap], at[gap], k)
    end[gap] = len(known) + np.cumsum(sizes)
    start[gap] = end[gap] - sizes
    return Known(h=_with(h, rows, sizes), points=Points(start=start, end=end, at=at), since=since)


def _by_user(h: Histories, known: I64) -> tuple[I64, I64]:
    """[E] each user's known times in ascending order, and [E] the newest up to each behaviour in event order."""
    owner = np.repeat(np.arange(h.users), h.lengths)
    values, rank = np.unique(known, return_inverse=True)
    lifted = np.maximum.accumulate(rank + owner * len(values))  # a user's ranks lie above those of all users before
    return known[np.lexsort((known, owner))], values[lifted - owner * len(values)] if len(known) else known


def _kept(known: I64, low: I64, high: I64, at: I64, k: int) -> tuple[I64, I64]:
    """Of each range of rows [low, high) [G] the last `k` that are known before `at` [G]: their rows, and how many."""
    rows, sizes = [np.zeros(0, dtype=np.int64)], np.zeros(len(low), dtype=np.int64)
    for part, place, ends in spread(low, high):
        request = np.repeat(part, (high - low)[part])
        seen = np.append(0, np.cumsum(known[place] < at[request]))
        total = seen[ends]  # [p] known up to the end of each range
        wanted = (np.diff(seen) > 0) & (np.repeat(total, (high - low)[part]) - seen[1:] < k)
        rows.append(place[wanted])
        sizes[part] = np.bincount(request[wanted], minlength=len(low))[part]
    return np.concatenate(rows), sizes


def _with(h: Histories, rows: I64, sizes: I64) -> Histories:
    """The histories, with one more for each of `sizes`, of copies of `rows`."""
    if not len(sizes):
        return h
    values = {f.name: getattr(h, f.name) for f in fields(h)}
    longer = {name: np.concatenate([v, v[rows]]) for name, v in values.items() if name not in {"offsets", "items"}}
    offsets = np.concatenate([h.offsets, len(h.time) + np.cumsum(sizes)])
    return Histories(**{**values, **longer, "offsets": offsets})
