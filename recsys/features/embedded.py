"""What an encoder says of (point, item) pairs: the ranker's features that need embeddings.

Shape letters: P points, M pairs, D width, T numbers of behaviours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from recsys.features.definitions import LAST
from recsys.features.history import F32, I32, I64, Histories, Points


class PairEncoder(Protocol):
    """What these features ask of `encoder.trained.TrainedEncoder`."""

    def soft_maximum(self, users: F32) -> F32:
        """[P] of `users` [P, D]: the level that their cosines with all items are measured from."""

    def affinity(self, h: Histories, p: Points, pair_point: I64, number: I32, newest: Sequence[int]) -> F32:
        """[T, M] how much denser the points' newest behaviours lie around an item than everyone's; NaN: unknown item.

        For each of T numbers of behaviours.
        """


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedded:
    """M pairs. NaN: the user or the item is unknown to the encoder."""

    similarity: F32  # [M] cosine
    lead: F32  # [M] cosine above the point's soft maximum
    affinity: F32  # [M] of all behaviours that the encoder reads
    affinity_last: F32  # [M] of the newest LAST


def embedded(
    encoder: PairEncoder, h: Histories, p: Points, level: F32, pair_point: I64, number: I32, similarity: F32
) -> Embedded:
    """From the points' `soft_maximum` [P], and each pair's point (ascending), item number and cosine, [M] each.

    Numbers are the vocabulary's, from 1; 0: unknown.
    """
    longest = max(int((p.end - p.start).max(initial=0)), LAST)
    whole, last = encoder.affinity(h, p, pair_point, number, (longest, LAST))
    return Embedded(similarity=similarity, lead=similarity - level[pair_point], affinity=whole, affinity_last=last)
