"""Amazon Beauty as histories, and the leave-one-out test: each user's last item among all that the user has not seen.

Shape letters: U users, E behaviours, V items, B users of a block.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks._record import shared
from recsys.encoder.trained import TrainedEncoder
from recsys.features.history import F32, I32, I64, Histories, Points

BEHAVIOURS = ("view",)
SECOND = 1_000_000
BLOCK = 512


def file() -> Path:
    """One line a user: the user, then items in order. AbsentError where the data is not there."""
    return shared("amazon_beauty") / "Beauty.txt.gz"


def read(path: Path, users: int | None = None) -> list[list[str]]:
    """[U] items of each user in order, of the first `users` users."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [line.split()[1:] for line in lines][:users]


def histories(rows: list[list[str]], time: I64 | None = None) -> Histories:
    """The rows as histories; `time` [E] in microseconds, all behaviours at once where it is not given."""
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    codes: dict[str, int] = {}
    item: I32 = np.array([codes.setdefault(item, len(codes)) for row in rows for item in row], dtype=np.int32)
    size = len(item)
    return Histories(
        offsets=offsets,
        time=np.zeros(size, dtype=np.int64) if time is None else time,
        behaviour=np.zeros(size, dtype=np.int8),
        item=item,
        price=np.full(size, -1, dtype=np.int64),
        quantity=np.ones(size, dtype=np.int64),
        value=np.full(size, np.nan),
        items=tuple(codes),
    )


def moments(rows: list[list[str]], seed: int) -> I64:
    """[E] random microseconds within one second that keep each user's order: the data has lost its times.

    Within one second all gaps fall into one bucket, so the model learns nothing from these times.
    """
    rng = np.random.default_rng(seed)
    return np.concatenate([np.sort(rng.integers(1, SECOND, len(row))) for row in rows]).astype(np.int64)


@dataclass(frozen=True)
class Quality:
    """Of the users' last items."""

    recall: float  # at 10
    ndcg: float  # at 10


def tested(encoder: TrainedEncoder, rows: list[list[str]]) -> Quality:
    """Rank each user's last item by what lies before it. An item that the encoder does not know is never found."""
    h = histories(rows)
    queries = encoder.encode(h, Points(start=h.offsets[:-1], end=h.offsets[1:] - 1, at=h.time[h.offsets[1:] - 1]))
    index = encoder.vocabulary.index(h.items)[h.item] - 1  # [E] row of the item vectors; -1: unknown
    place = ranked(queries, encoder.item_vectors(), index, h.offsets)
    hit = (place < 10) & (index[h.offsets[1:] - 1] >= 0)
    return Quality(float(hit.mean()), float(np.where(hit, 1 / np.log2(place + 2.0), 0).mean()))


def ranked(queries: F32, items: F32, index: I32, offsets: I64) -> I64:
    """[U] number of unseen items that score above the user's last one."""
    out = np.empty(len(queries), dtype=np.int64)
    for first in range(0, len(queries), BLOCK):
        users = range(first, min(first + BLOCK, len(queries)))
        scores = queries[first : first + BLOCK] @ items.T  # [B, V]
        for n, user in enumerate(users):
            *seen, last = index[offsets[user] : offsets[user + 1]].tolist()
            mine = scores[n, last]
            scores[n, [s for s in seen if s >= 0]] = -np.inf
            out[user] = int((scores[n] > mine).sum())
    return out
