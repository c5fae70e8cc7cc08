"""Negatives that look like the candidates of Top-N: unseen items near the user's vector. NumPy; no Spark.

A ranker that never met them in training would order them by chance. They are drawn, not taken from the top, since the
nearest items are also the likeliest next ones.

Shape letters: E behaviours, P requests, M pairs, C items of the histories' dictionary, K depth, J draws.
"""

from __future__ import annotations

import numpy as np

from recsys.candidates.neighbours import top_k
from recsys.candidates.ragged import Ragged
from recsys.features.history import I64, Histories, Points
from recsys.ranking.assemble import Encoder
from recsys.ranking.examples import uniform


def near_items(
    h: Histories, p: Points, until: I64, used: Ragged, encoder: Encoder, draw: I64, depth: int, count: int
) -> I64:
    """[P, min(count, depth)] vocabulary items, from 0, drawn from the `depth` nearest of each request; -1: none.

    The user's vector knows [start, end). Left out: items of [start, until), where `until` [P] lies behind the request's
    own moment, and of `used`, P rows of dictionary items (-1: none). A user without a history gets none. `draw` [P]
    seeds each request's draw.
    """
    rows = np.append(encoder.vocabulary.index(h.items), 0).astype(np.int64) - 1  # [C + 1]; -1: not in the vocabulary
    vectors = encoder.encode(h, p)
    found, _ = top_k(vectors, encoder.item_vectors(), depth, exclude=_known(h, p.start, until, used, rows))  # [P, K]
    found[np.abs(vectors).sum(axis=1) == 0] = -1
    luck = np.where(found >= 0, uniform(draw, found.shape[1]), np.inf)
    chosen = np.argsort(luck, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(found, chosen, axis=1)


def _known(h: Histories, start: I64, until: I64, used: Ragged, rows: I64) -> Ragged:
    """P rows of vocabulary items that must not be drawn."""
    lengths = until - start
    places = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths) + np.repeat(start, lengths)
    request = np.concatenate([np.repeat(np.arange(len(lengths)), lengths), used.rows])
    order = np.argsort(request, kind="stable")
    values = rows[np.concatenate([h.item[places], used.values])]  # item -1 reads the last: not in the vocabulary
    offsets = np.concatenate([[0], np.cumsum(lengths + used.lengths)]).astype(np.int64)
    return Ragged(offsets=offsets, values=values[order])
