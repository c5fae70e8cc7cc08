"""The catalogue as Top-N needs it: an item snapshot beside the encoder's vectors, prepared once for many calls.

Shape letters: I items of the snapshot, S items that a search may find, V items that the encoder knows, P users,
D width, C items of a history's dictionary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Protocol

import numpy as np
from torch import Tensor

from recsys.candidates.approximate import Inverted
from recsys.candidates.neighbours import top_k_and
from recsys.candidates.popularity import popular, popularity_codes
from recsys.candidates.ragged import Ragged
from recsys.config import TopNSettings
from recsys.errors import NoDataError
from recsys.features.embedded import PairEncoder
from recsys.features.history import F32, I32, I64, Histories, Points
from recsys.features.item import ItemSnapshot
from recsys.features.windows import Bool
from recsys.ranking.recent import Recent


class Vocabulary(Protocol):
    """Item ids as the encoder numbers them."""

    def index(self, ids: Sequence[str]) -> I32:
        """1-based numbers; 0: unknown."""


class Encoder(PairEncoder, Protocol):
    """What Top-N asks of `encoder.trained.TrainedEncoder`."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The items that it has vectors for."""

    def encode(self, h: Histories, p: Points) -> F32:
        """[P, D] unit length; zeros for an empty history."""

    def item_vectors(self) -> F32:
        """[V, D] unit length, in the order of the vocabulary."""

    def level(self, cosine: Tensor, /) -> Tensor:
        """[P, V] cosines with all items -> [P] as `soft_maximum`."""


class Scorer(Protocol):
    """What Top-N asks of `ranking.trained.TrainedRanker`."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the F columns that `score` expects."""

    @property
    def attention(self) -> int:
        """How many of the user's newest behaviours it reads beside the features; 0: none."""

    def score(self, x: F32, recent: Recent | None, /) -> F32:
        """[M, F] and the behaviours, None without attention -> [M] probability of a target behaviour."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemIndex:
    """An item snapshot with vectors and lookups. Rows are the snapshot's rows."""

    snapshot: ItemSnapshot
    vectors: F32  # [I, D] zeros for an item that the encoder does not know
    number: I32  # [I] as the encoder's vocabulary numbers items; 0: it does not know the item
    category: I32  # [I] category code; -1: unknown
    place: Mapping[str, int]  # item id -> row
    found: I64  # [S] rows that a search may find: known and in stock
    table: F32  # [V, D] all that the encoder knows, those of `found` first
    found_place: I64  # [I + 1] position of a row in `found`; -1: none; the last is for row -1
    popular: I64  # rows in stock, the most popular first
    popular_in: I64  # [I] popularity.popularity_codes
    lists: Inverted | None  # over `found_vectors`; None: they are few enough for an exact search

    @property
    def known(self) -> Bool:
        """[I] whether the encoder knows the item."""
        return np.asarray(self.number > 0)

    @property
    def found_vectors(self) -> F32:
        """[S, D]."""
        return self.table[: len(self.found)]

    def nearest(self, encoder: Encoder, users: F32, k: int, exclude: Ragged) -> tuple[I64, F32]:
        """[P, k] positions in `found` of the items nearest to `users` [P, D], best first; -1: there is none.

        And the users' `soft_maximum` [P]. `exclude` holds for each user the positions that they must not get; others
        than those of `found` do not count.
        """
        if self.lists is not None:
            return self.lists.top_k(users, k, exclude)[0], encoder.soft_maximum(users)
        return top_k_and(users, self.table, len(self.found), k, exclude, encoder.level)

    def rows(self, ids: Sequence[str]) -> I64:
        """[C] row of each item id; -1: not in the snapshot."""
        return np.fromiter(map(self.place.get, ids, repeat(-1)), dtype=np.int64, count=len(ids))


def build_index(encoder: Encoder, snapshot: ItemSnapshot, settings: TopNSettings) -> ItemIndex:
    """Align the encoder's vectors with the snapshot. Cost: O(I x D) time and memory; build once, use for many calls.

    Where a search may find more than `settings.exact_items`, it is made approximate (candidates.approximate). Raises
    NoDataError: the snapshot has no item. ConfigError: faiss is needed and not installed.
    """
    if not snapshot.items:
        raise NoDataError("the item snapshot is empty: run jobs/catalogue.py, then make a snapshot.")
    numbers = encoder.vocabulary.index(snapshot.items)
    own = encoder.item_vectors()
    padded = np.concatenate([np.zeros((1, own.shape[1]), dtype=np.float32), own])
    codes = {name: code for code, name in enumerate(sorted({c for c in snapshot.category if c is not None}))}
    vectors = np.ascontiguousarray(padded[numbers])
    found = np.flatnonzero((numbers > 0) & snapshot.in_stock).astype(np.int64)
    places = np.full(len(numbers) + 1, -1, dtype=np.int64)
    places[found] = np.arange(len(found))
    rest = np.ones(len(own), dtype=np.bool_)
    rest[numbers[found] - 1] = False
    table = np.concatenate([vectors[found], own[rest]])
    many = len(found) > settings.exact_items
    return ItemIndex(
        snapshot=snapshot,
        vectors=vectors,
        number=numbers,
        found=found,
        table=table,
        found_place=places,
        popular=popular(snapshot, len(snapshot.items)),
        popular_in=popularity_codes(snapshot),
        lists=Inverted(table[: len(found)], settings.candidates, settings.recall) if many else None,
        category=np.asarray([-1 if c is None else codes[c] for c in snapshot.category], dtype=np.int32),
        place={item: row for row, item in enumerate(snapshot.items)},
    )
