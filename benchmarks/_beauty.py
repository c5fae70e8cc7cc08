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
    """Of Top-10 lists, where each user's last item is wanted."""

    recall: float
    ndcg: float
    coverage: float  # share of all items that are in some list


def tested(encoder: TrainedEncoder, rows: list[list[str]]) -> Quality:
    """Of the Top-10 that the encoder makes from what lies before each user's last item."""
    return quality(lists(encoder, rows, 10), rows)


def quality(top: I64, rows: list[list[str]]) -> Quality:
    """Of lists [U, 10] of item codes, as `histories` numbers the items of `rows`."""
    found = top == wanted(rows)[:, None]  # [U, 10]
    gain = found / np.log2(np.arange(2, top.shape[1] + 2))
    distinct = len({item for row in rows for item in row})
    return Quality(float(found.any(1).mean()), float(gain.sum(1).mean()), len(np.unique(top[top >= 0])) / distinct)


def wanted(rows: list[list[str]]) -> I64:
    """[U] code of each user's last item."""
    h = histories(rows)
    return h.item[h.offsets[1:] - 1].astype(np.int64)


def lists(encoder: TrainedEncoder, rows: list[list[str]], k: int) -> I64:
    """[U, k] codes of the items nearest to what lies before each user's last item, seen ones left out."""
    h = histories(rows)
    queries = encoder.encode(h, Points(start=h.offsets[:-1], end=h.offsets[1:] - 1, at=h.time[h.offsets[1:] - 1]))
    index = encoder.vocabulary.index(h.items)[h.item] - 1  # [E] row of the item vectors; -1: unknown
    codes = {item: code for code, item in enumerate(h.items)}
    rank = nearest(queries, encoder.item_vectors(), index, h.offsets, k)
    return np.array([codes[item] for item in encoder.vocabulary.items], dtype=np.int64)[rank]


def nearest(queries: F32, items: F32, index: I32, offsets: I64, k: int) -> I64:
    """[U, k] rows of `items` that score best, best first, without what lies before each user's last position."""
    out = np.empty((len(queries), k), dtype=np.int64)
    for first in range(0, len(queries), BLOCK):
        scores = queries[first : first + BLOCK] @ items.T  # [B, V]
        for n in range(len(scores)):
            seen = index[offsets[first + n] : offsets[first + n + 1] - 1]
            scores[n, seen[seen >= 0]] = -np.inf
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        out[first : first + BLOCK] = np.take_along_axis(best, order, axis=1)
    return out
