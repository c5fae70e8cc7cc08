"""Negatives that look like the candidates of Top-N: unseen items near the user's vector. NumPy; no Spark.

A ranker that never met them in training would order them by chance. They are drawn, not taken from the top, since the
nearest items are also the likeliest next ones.

Shape letters: E behaviours, P requests, M pairs, C items of the histories' dictionary, K depth, J draws, D width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from recsys.candidates.neighbours import top_k
from recsys.candidates.ragged import Ragged
from recsys.config import Settings
from recsys.features.history import F32, F64, I8, I32, I64, MISSING, Histories, Points
from recsys.features.windows import first_after
from recsys.ranking.assemble import Encoder, similarity
from recsys.ranking.draws import NEAR, Noise, draw_chance, uniform
from recsys.ranking.examples import Log, Pairs
from recsys.ranking.known import as_known


@dataclass(frozen=True, kw_only=True, eq=False)
class Near:
    """What was drawn for P requests, and from what."""

    items: I64  # [P, J] vocabulary items, from 0; -1: none
    vectors: F32  # [P, D] the users'
    floor: F32  # [P] cosine of the last item that could be drawn; inf: there was none
    choice: I64  # [P] items that could be drawn

    def chance(self, request: I64, number: I32, item_vectors: F32) -> F64:
        """[M] chance that a request draws the item of this number (1-based; 0: unknown), were it not left out."""
        cosine = similarity(self.vectors, item_vectors, request, number)
        choice = self.choice[request]
        return np.where(cosine >= self.floor[request], np.minimum(self.items.shape[1] / np.maximum(choice, 1), 1), 0.0)


def near_items(
    h: Histories, p: Points, met: tuple[I64, I64], used: Ragged, encoder: Encoder, draw: I64, depth: int, count: int
) -> Near:
    """min(count, depth) items drawn from the `depth` nearest of each request.

    The user's vector knows the points. Left out: items of the rows [low, high) of `met` ([P] each), which may reach
    beyond the request's own moment, and of `used`, P rows of dictionary items (-1: none). A user without a history gets
    none. `draw` [P] seeds each request's draw.
    """
    rows = np.append(encoder.vocabulary.index(h.items), 0).astype(np.int64) - 1  # [C + 1]; -1: not in the vocabulary
    vectors = encoder.encode(h, p)
    known = _known(h, *met, used, rows)
    found, cosine = top_k(vectors, encoder.item_vectors(), depth, exclude=known)  # [P, K]
    found[np.abs(vectors).sum(axis=1) == 0] = -1
    choice = (found >= 0).sum(axis=1)
    last = np.take_along_axis(cosine, np.maximum(choice - 1, 0)[:, None], axis=1)[:, 0]
    luck = np.where(found >= 0, uniform(draw, found.shape[1], NEAR), np.inf)
    chosen = np.argsort(luck, axis=1, kind="stable")[:, :count]
    return Near(
        items=np.take_along_axis(found, chosen, axis=1),
        vectors=vectors,
        floor=np.where(choice > 0, last, np.float32(np.inf)),
        choice=choice,
    )


def _known(h: Histories, start: I64, until: I64, used: Ragged, rows: I64) -> Ragged:
    """P rows of vocabulary items that must not be drawn."""
    lengths = until - start
    places = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths) + np.repeat(start, lengths)
    request = np.concatenate([np.repeat(np.arange(len(lengths)), lengths), used.rows])
    order = np.argsort(request, kind="stable")
    values = rows[np.concatenate([h.item[places], used.values])]  # item -1 reads the last: not in the vocabulary
    offsets = np.concatenate([[0], np.cumsum(lengths + used.lengths)]).astype(np.int64)
    return Ragged(offsets=offsets, values=values[order])


def with_near(
    log: Log,
    moment: I64,
    pairs: Pairs,
    engaged: I8,
    items: tuple[str, ...],
    noise: Noise,
    encoder: Encoder,
    settings: Settings,
) -> tuple[Pairs, Pairs]:
    """The pairs with what the near draw adds to their `chance`, and its negatives for each target's own request.

    Items of the second are codes of the encoder's vocabulary, from 0. `moment` [E] is when each event would be asked
    for, `engaged` the behaviours that make a history, `items` the ids of the log's codes.
    """
    own = np.flatnonzero(~pairs.shown)
    request, inverse = np.unique(pairs.row[own], return_inverse=True)  # [P]
    kept = np.flatnonzero(np.isin(log.behaviour, engaged))
    h = _histories(log, kept, items)
    user, count = log.user[request], settings.ranker.near
    asked = as_known(h, log.known[kept], user, moment[request], settings.features.k)
    # What came late is no negative either: the user had met it, whoever knew.
    met = asked.since, first_after(h.time, asked.since, h.offsets[user + 1], log.time[request])
    depth = max(settings.topn.candidates - settings.topn.popular, 1)
    near = near_items(
        asked.h,
        asked.points,
        met,
        _grouped(inverse, pairs.item[own], len(request)),
        encoder,
        log.draw[request],
        depth,
        count,
    )
    numbers, vectors = encoder.vocabulary.index(items), encoder.item_vectors()
    chance = pairs.chance.copy()
    chance[own] = _either(chance[own], near.chance(inverse.astype(np.int64), numbers[pairs.item[own]], vectors))
    place, column = np.nonzero(near.items >= 0)
    item = near.items[place, column].astype(np.int32)
    code = np.full(len(vectors) + 1, len(items), dtype=np.int32)  # an item that the log lacks is in no pool either
    code[numbers] = np.arange(len(items))
    drawn = _either(draw_chance(noise, moment[request[place]], code[item + 1]), near.chance(place, item + 1, vectors))
    return replace(pairs, chance=chance), _negatives(request[place], item, drawn, pairs.outcomes.shape[1])


def _negatives(row: I64, item: I32, chance: F64, targets: int) -> Pairs:
    """M drawn items that nothing followed."""
    return Pairs(
        row=row,
        shown=np.zeros(len(row), dtype=np.bool_),
        item=item,
        behaviour=np.full(len(row), MISSING, dtype=np.int8),
        outcomes=np.zeros((len(row), targets), dtype=np.bool_),
        chance=chance,
        position=np.full(len(row), MISSING, dtype=np.int32),
    )


def _either(one: F64, other: F64) -> F64:
    return 1 - (1 - one) * (1 - other)


def _histories(log: Log, kept: I64, items: tuple[str, ...]) -> Histories:
    """The log's `kept` rows, the engaged ones, as far as the encoder reads them."""
    users = int(log.user[-1]) + 1 if len(log.user) else 0
    return Histories(
        offsets=np.searchsorted(log.user[kept], np.arange(users + 1)).astype(np.int64),
        time=log.time[kept],
        behaviour=log.behaviour[kept],
        item=log.item[kept],
        price=np.full(len(kept), MISSING, dtype=np.int64),
        quantity=np.ones(len(kept), dtype=np.int64),
        value=np.full(len(kept), np.nan),
        items=items,
    )


def _grouped(group: I64, values: I32, groups: int) -> Ragged:
    order = np.argsort(group, kind="stable")
    counts = np.bincount(group, minlength=groups)
    return Ragged(offsets=np.append(0, np.cumsum(counts)), values=values[order].astype(np.int64))
