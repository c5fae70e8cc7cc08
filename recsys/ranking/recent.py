"""What a candidate attends to: the user's newest behaviours, each with its cosine to the candidate. NumPy and Arrow.

Training, stream and server cut it by the same `recent_of`. It holds cosines and no vectors: those of two encoders can
be compared, their vectors can not, and a ranker learns from examples of several and serves beside a later one.

Shape letters: E behaviours, P points, M pairs, L newest behaviours, D width, V items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.days import SECOND
from recsys.errors import BundleError
from recsys.features.history import F32, I8, I32, I64, Histories, Points
from recsys.features.windows import Bool, known

COLUMNS = {  # of tables.EXAMPLES, a list of L values each
    "recent_similarity": pa.list_(pa.float32()),
    "recent_behaviour": pa.list_(pa.int8()),
    "recent_gap": pa.list_(pa.float32()),
}


class Vocabulary(Protocol):
    """Item ids as the encoder numbers them."""

    def index(self, ids: Sequence[str]) -> I32:
        """1-based numbers; 0: unknown."""


class Encoder(Protocol):
    """What is asked of `encoder.trained.TrainedEncoder`."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The items that it has vectors for."""

    def item_vectors(self) -> F32:
        """[V, D] unit length, in the order of the vocabulary."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recent:
    """The newest L behaviours of P points beside M candidates, the newest last; where there are fewer the first lack.

    A place counts for a pair where its cosine is known: NaN where there is no behaviour, or it or the candidate has no
    vector.
    """

    similarity: F32  # [M, L] cosine of the candidate and the behaviour's item
    behaviour: I8  # [P, L] code + 1; 0: of no known type, or none
    gap: F32  # [P, L] ln(1 + seconds from the behaviour to the request); 0 where there is none
    point: I64  # [M] whose behaviours the pair is compared with

    @property
    def length(self) -> int:
        """L."""
        return int(self.similarity.shape[1])

    def take(self, rows: I64 | Bool) -> Recent:
        """The same of some pairs, with the points that they have."""
        points, point = np.unique(self.point[rows], return_inverse=True)
        return Recent(
            similarity=self.similarity[rows], behaviour=self.behaviour[points], gap=self.gap[points], point=point
        )

    def to_arrow(self) -> dict[str, pa.ListArray]:
        """COLUMNS, a row for each pair."""
        similarity, behaviour, gap = self.similarity, self.behaviour[self.point], self.gap[self.point]
        columns = list_column(similarity), list_column(behaviour), list_column(gap)
        return dict(zip(COLUMNS, columns, strict=True))

    @staticmethod
    def from_arrow(table: pa.Table) -> Recent | None:
        """What `to_arrow` gave, each row with a point of its own; None: a row has none."""
        if any(table[name].null_count for name in COLUMNS) or not table.num_rows:
            return None
        flat = [pc.list_flatten(table[name].combine_chunks()).to_numpy(zero_copy_only=False) for name in COLUMNS]
        similarity, behaviour, gap = (values.reshape(table.num_rows, -1) for values in flat)
        return Recent(similarity=similarity, behaviour=behaviour, gap=gap, point=np.arange(table.num_rows))

    def require(self, pairs: int, length: int) -> None:
        """BundleError: it is not of so many pairs and behaviours."""
        if self.similarity.shape != (pairs, length):
            raise BundleError(
                f"The ranker attends to {length} behaviours of each of {pairs} pairs, the input has shape "
                f"{self.similarity.shape}. Cut it by the ranker's own `attention`."
            )


def list_column(matrix: F32 | I8) -> pa.ListArray:
    """A list for each row of a matrix."""
    flat = pa.array(matrix.ravel())
    return pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1]).cast(pa.list_(flat.type))


def recent_of(h: Histories, p: Points, encoder: Encoder, pair_point: I64, number: I32, length: int) -> Recent:
    """The `length` newest behaviours of each point, those after its time left out, beside its candidates.

    `pair_point` [M] ascends; `number` [M] are the candidates as the encoder's vocabulary numbers items, 0: unknown.
    """
    seen = known(h, p)
    place = seen.end[:, None] + np.arange(-length, 0)  # [P, L]
    real = place >= seen.start[:, None]
    place = np.where(real, place, -1)  # reads the last of what follows
    item = np.append(np.append(encoder.vocabulary.index(h.items), 0)[h.item], 0)[place]  # item -1 reads the last too
    behaviour = np.append(h.behaviour, np.int8(-1))[place] + np.int8(1)
    gap = np.where(real, seen.at[:, None] - np.append(h.time, 0)[place], 0)
    return Recent(
        similarity=_cosines(encoder.item_vectors(), item, pair_point, number),
        behaviour=behaviour.astype(np.int8),
        gap=np.log1p(gap / SECOND).astype(np.float32),
        point=pair_point,
    )


def _cosines(vectors: F32, item: I64, pair_point: I64, number: I32) -> F32:
    """[M, L] of candidates `number` [M] and behaviours `item` [P, L], rows of `vectors` [V, D] from 1; 0: NaN.

    One product for each point: a pair's last bits so depend on its own request alone.
    """
    out = np.full((len(number), item.shape[1]), np.nan, dtype=np.float32)
    bounds = np.searchsorted(pair_point, np.arange(len(item) + 1)).tolist()
    for point, (first, last) in enumerate(pairwise(bounds)):
        past = np.flatnonzero(item[point])
        if len(past) and last > first:
            # Row 0, unknown, reads the last vector; what comes of it is left out below.
            out[first:last, past] = vectors[number[first:last] - 1] @ vectors[item[point, past] - 1].T
    out[number == 0] = np.nan
    return out
