"""Features of labelled pairs, each as of its request's position. NumPy and Arrow; no Spark.

Shape letters: E behaviours, P requests, M pairs, C items of the histories' dictionary, D width, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.config import FeatureSettings
from recsys.features.definitions import PAIR_FEATURES, names
from recsys.features.embedded import PairEncoder, embedded
from recsys.features.history import F32, I32, I64, Histories, Points
from recsys.features.pairs import pair_matrix
from recsys.features.windows import Bool
from recsys.ranking.examples import complete
from recsys.ranking.known import as_known
from recsys.ranking.recent import Recent, recent_of

ENGAGED = names(PAIR_FEATURES).index("pair_engaged_count") - len(PAIR_FEATURES)  # from the end


class Vocabulary(Protocol):
    """Item ids as the encoder numbers them."""

    @property
    def items(self) -> tuple[str, ...]:
        """Ids; number n is items[n - 1]."""

    def index(self, ids: Sequence[str]) -> I32:
        """1-based numbers; 0: unknown."""


class Encoder(PairEncoder, Protocol):
    """What examples ask of `encoder.trained.TrainedEncoder`."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The items that it has vectors for."""

    def encode(self, h: Histories, p: Points) -> F32:
        """[P, D] unit length; zeros for an empty history."""

    def item_vectors(self) -> F32:
        """[V, D] unit length, in the order of the vocabulary."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Requests:
    """P requests of the users of a `Histories`, and their M pairs."""

    user: I64  # [P] index of the user
    at: I64  # [P] microseconds since 1970 UTC
    ahead: Bool  # [P] asked for up to a day before the label
    request: I64  # [M] index of the pair's request, ascending
    item: pa.Array  # [M] item ids
    item_rows: F32  # [M, Fi] item features at the last full hour before `at`
    positive: Bool  # [M]
    categories: I32  # [C] category code of the histories' items; -1: unknown
    pair_category: I32  # [M]


def similarity(users: F32, items: F32, user: I64, item: I32) -> F32:
    """[M] cosine of `users[user]` [P, D] with the vector of item number `item` (1-based row of `items` [V, D]).

    NaN where the user has no vector (all zeros) or the item's number is 0.
    """
    padded = np.concatenate([np.zeros((1, users.shape[1]), dtype=np.float32), items])
    cosine: F32 = np.einsum("md,md->m", users[user], padded[item])
    cold = np.abs(users).sum(axis=1) == 0  # [P]
    cosine[(item == 0) | cold[user]] = np.nan
    return cosine


def features(
    h: Histories,
    known: I64,
    r: Requests,
    encoder: Encoder,
    behaviours: tuple[str, ...],
    s: FeatureSettings,
    *,
    seen: bool,
    attention: int = 0,
) -> tuple[F32, I64, Recent | None]:
    """Features [m, F] of the pairs that stay, and which these are [m]; `known` [E] as `known.as_known` takes it.

    Unless `seen`, items in the user's history at the request leave, as Top-N never recommends them; then requests
    without a positive or a negative leave. With `attention` that many of the behaviours that each request sees follow.
    """
    asked = as_known(h, known, r.user, r.at, s.k)
    h, points = asked.h, asked.points
    numbers = encoder.vocabulary.index(r.item.to_pylist())
    vectors = encoder.encode(h, points)
    cosine = similarity(vectors, encoder.item_vectors(), r.request, numbers)
    matrix = pair_matrix(
        h,
        points,
        behaviours,
        s,
        pair_point=r.request,
        pair_item=pc.fill_null(pc.index_in(r.item, value_set=pa.array(h.items, r.item.type)), -1).to_numpy(),
        item_rows=r.item_rows,
        embedded=embedded(encoder, h, points, encoder.soft_maximum(vectors), r.request, numbers, cosine),
        ahead=r.ahead,
        categories=r.categories,
        pair_category=r.pair_category,
    )
    kept = np.arange(len(r.request), dtype=np.int64)
    if not seen:
        kept = kept[matrix[:, ENGAGED] == 0]
    kept = kept[complete(r.request[kept], r.positive[kept])]
    recent = recent_of(h, points, encoder, r.request, numbers, attention).take(kept) if attention else None
    return matrix[kept], kept, recent
