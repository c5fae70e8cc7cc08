"""From logged behaviours to labelled (request, item) pairs: shown lists, or targets with drawn negatives. NumPy only.

Shape letters: E events, R requests, M pairs, T target behaviours, Q own requests, J draws of one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.features.history import F64, I8, I32, I64, MISSING
from recsys.features.windows import Bool
from recsys.ranking.draws import NEGATIVES, Noise, draw_chance, uniform

SPARE = 2  # more draws than negatives, since some meet the label, its ties or each other


@dataclass(frozen=True, kw_only=True, eq=False)
class Log:
    """Events of whole users, sorted by (user, time, event id)."""

    user: I64  # [E] ascending number of the user
    time: I64  # [E] microseconds since 1970 UTC
    known: I64  # [E] when it could first be known; at `time` at the earliest
    behaviour: I8  # [E] index into the behaviour names; MISSING: unknown
    item: I32  # [E] item code, shared with the pool; MISSING: no item
    request: I32  # [E] code of the list that the item was shown in; MISSING: none
    position: I32  # [E] place in that list, from 1; less: unknown
    draw: I64  # [E] a hash of event id and seed: makes draws independent of how events are partitioned


@dataclass(frozen=True, kw_only=True, eq=False)
class Kinds:
    """Codes of behaviours."""

    shown: int  # impression; MISSING: the source has none
    engaged: I8
    targets: I8


@dataclass(frozen=True)
class Lists:
    """How long behaviours count for the impression of their item, and up to when the log knows them: microseconds."""

    window: int  # from the item's first impression in the list, closed, to `window` later, open
    until: int  # a list whose windows end after it is left out: its labels may be yet to come


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Labelled pairs. A request's row is its first impression, or the target that stands for itself."""

    row: I64  # [M] row of the log that says user, time and id of the request
    shown: Bool  # [M] the request is a shown list
    item: I32  # [M] code as in the log
    behaviour: I8  # [M] the target behaviour, of several the newest: label 1; MISSING: label 0
    outcomes: Bool  # [M, T] each of the target behaviours that the item got
    chance: F64  # [M] of the item to be among the negatives that such a request draws; NaN: in a shown list
    position: I32  # [M] place in the shown list at the item's first impression, from 1; less: unknown, or no list


def make_pairs(log: Log, asked: Bool, moment: I64, kinds: Kinds, noise: Noise, lists: Lists | None) -> Pairs:
    """The labelled pairs of the target behaviours among the `asked` [E] ones.

    Every target is a request of its own, asked for at its `moment` [E], with the negatives that `noise` says, from the
    last hour that had ended by then and was not empty, so that the target itself is not in it: never the target's item,
    nor one that the user engaged with at the target's microsecond.
    With `lists`, a list that a target's item was shown in is one more request: positives are its items with a target
    behaviour in the item's window, negatives those without any engaged behaviour in the request before the window's
    end, and its moment is the first impression. Requests without a positive or without a negative are left out.
    """
    target = np.isin(log.behaviour, kinds.targets) & (log.item >= 0) & asked
    shown = _shown(log, kinds, target & (lists is not None), lists or Lists(0, 0))
    own = _drawn(log, moment, kinds, np.flatnonzero(target).astype(np.int64), noise)
    return Pairs(
        row=np.concatenate([shown.row, own.row]),
        shown=np.concatenate([shown.shown, own.shown]),
        item=np.concatenate([shown.item, own.item]),
        behaviour=np.concatenate([shown.behaviour, own.behaviour]),
        outcomes=np.concatenate([shown.outcomes, own.outcomes]),
        chance=np.concatenate([shown.chance, own.chance]),
        position=np.concatenate([shown.position, own.position]),
    )


def complete(request: I64, positive: Bool) -> Bool:
    """[M] whether the pair's request has both a positive and a negative. `request` [M] numbers from 0."""
    total, good = np.bincount(request), np.bincount(request, weights=positive)
    return np.asarray(((good > 0) & (good < total))[request])


def _shown(log: Log, kinds: Kinds, target: Bool, rule: Lists) -> Pairs:
    """Pairs of the lists that some `target` [E] was shown in."""
    requests = int(log.request.max(initial=MISSING)) + 1
    items = int(log.item.max(initial=MISSING)) + 1
    usable = (log.request >= 0) & (log.item >= 0)
    impressions = np.flatnonzero(usable & (log.behaviour == kinds.shown))
    key = log.user * requests + log.request  # a list belongs to one user
    lists, first, owner = np.unique(key[impressions], return_index=True, return_inverse=True)  # [R], [R], impressions
    cells, place = np.unique(owner * items + log.item[impressions], return_index=True)  # a (list, item) pair each
    behaviour = np.full(len(cells), MISSING, dtype=np.int8)
    engaged = np.zeros(len(cells), dtype=np.bool_)
    outcomes = np.zeros((len(cells), len(kinds.targets)), dtype=np.bool_)
    rows = np.flatnonzero(usable & np.isin(log.behaviour, kinds.engaged))
    rows = rows[np.isin(key[rows], lists)]
    wanted = np.searchsorted(lists, key[rows]) * items + log.item[rows]
    inside = np.isin(wanted, cells)
    rows, cell = rows[inside], np.searchsorted(cells, wanted[inside])
    age = log.time[rows] - log.time[impressions[place[cell]]]
    rows, cell, age = rows[age < rule.window], cell[age < rule.window], age[age < rule.window]
    engaged[cell] = True
    hits = target[rows] & (age >= 0)
    behaviour[cell[hits]] = log.behaviour[rows[hits]]  # of several targets the newest stays
    np.logical_or.at(outcomes, cell[hits], log.behaviour[rows[hits]][:, None] == kinds.targets)
    request = owner[place]
    newest = np.zeros(len(lists), dtype=np.int64)
    np.maximum.at(newest, request, log.time[impressions[place]])
    ended = newest[request] + rule.window <= rule.until
    kept = np.flatnonzero(((behaviour >= 0) | ~engaged) & ended)
    kept = kept[complete(request[kept], behaviour[kept] >= 0)]
    return Pairs(
        row=impressions[first[request[kept]]].astype(np.int64),
        shown=np.ones(len(kept), dtype=np.bool_),
        item=log.item[impressions[place[kept]]],
        behaviour=behaviour[kept],
        outcomes=outcomes[kept],
        chance=np.full(len(kept), np.nan),
        position=log.position[impressions[place[kept]]],
    )


def _drawn(log: Log, moment: I64, kinds: Kinds, rows: I64, noise: Noise) -> Pairs:
    """Each target in `rows` [Q] with its drawn negatives."""
    rows = rows[np.all([draw.pool.newest(moment[rows]) >= 0 for draw in noise], axis=0)]
    luck = uniform(log.draw[rows], SPARE * sum(draw.count for draw in noise), NEGATIVES)
    parts = np.split(luck, np.cumsum([SPARE * draw.count for draw in noise])[:-1], axis=1)
    item = np.concatenate([d.pool.draw(moment[rows], u) for d, u in zip(noise, parts, strict=True)], axis=1)  # [Q, J]
    allowed = ~_tied(log, kinds, rows, item) & (item != log.item[rows][:, None])
    for place in range(1, item.shape[1]):  # J is small: a draw that repeats an earlier one is void
        allowed[:, place] &= ~((item[:, :place] == item[:, place : place + 1]) & allowed[:, :place]).any(axis=1)
    first = 0
    for draw in noise:
        own = slice(first, first + SPARE * draw.count)
        allowed[:, own] &= np.cumsum(allowed[:, own], axis=1) <= draw.count
        first = own.stop
    allowed = np.concatenate([allowed.any(axis=1, keepdims=True), allowed], axis=1)  # the label comes first
    item = np.concatenate([log.item[rows][:, None], item], axis=1)
    behaviour = np.full(item.shape, MISSING, dtype=np.int8)
    behaviour[:, 0] = log.behaviour[rows]
    row, chosen = np.broadcast_to(rows[:, None], item.shape)[allowed], item[allowed].astype(np.int32)
    return Pairs(
        row=row,
        shown=np.zeros(len(chosen), dtype=np.bool_),
        item=chosen,
        behaviour=behaviour[allowed],
        outcomes=behaviour[allowed][:, None] == kinds.targets,
        chance=draw_chance(noise, moment[row], chosen),
        position=np.full(len(chosen), MISSING, dtype=np.int32),
    )


def _tied(log: Log, kinds: Kinds, rows: I64, item: npt.NDArray[np.int32]) -> Bool:
    """[Q, J] whether the user of the row engaged with the item at the row's very moment."""
    changes = np.ones(len(log.time), dtype=np.int64)
    changes[1:] = (np.diff(log.user) != 0) | (np.diff(log.time) != 0)
    moment = np.cumsum(changes)  # [E] one number for each (user, time)
    items = int(max(log.item.max(initial=MISSING), item.max(initial=MISSING))) + 1
    engaged = np.isin(log.behaviour, kinds.engaged) & (log.item >= 0)
    known = moment[engaged] * items + log.item[engaged]
    return np.asarray(np.isin(moment[rows][:, None] * items + item, known))
