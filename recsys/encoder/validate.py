"""How well held-out items are found among all items that the user has not seen.

Shape letters: V items, D width, X users held out, B users of a block, K places.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from recsys.encoder.examples import HeldOut
from recsys.encoder.forward import encode
from recsys.encoder.model import Encoder
from recsys.encoder.sequences import Tokens, last_windows, ragged
from recsys.features.history import I64

BLOCK = 512
SCORES = 1 << 27  # at a time: 512 MiB, whatever the number of items


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What validation says of a model, among the first K unseen items; NaN where nobody is held out."""

    recall: float  # share of held-out items that are among them
    ndcg: float  # mean of 1 / log2(place + 1), 0 behind place K
    coverage: float  # share of all items that are among somebody's


def judge(k: int, model: Encoder, t: Tokens, held: HeldOut, length: int) -> Judged:
    """The model on the held-out items."""
    if not len(held.position):
        return Judged(recall=float("nan"), ndcg=float("nan"), coverage=float("nan"))
    rank, best = ranks(k, model, t, held, length)
    gain = np.where(rank < k, 1 / np.log2(rank + 2), 0.0)
    shown = len(np.unique(best[best >= 0])) / len(model.item_vectors())
    return Judged(recall=float((rank < k).mean()), ndcg=float(gain.mean()), coverage=shown)


def ranks(k: int, model: Encoder, t: Tokens, held: HeldOut, length: int) -> tuple[I64, I64]:
    """[X] number of unseen items that score above the held-out one, and [X, K] the first of them all, from 0.

    Items seen before the held-out one are left out. K is `k`, or V where there are fewer items; -1: no unseen item.
    """
    device = model.items.device
    found = encode(model, t, last_windows(held.start, held.position, length), t.time[held.position])
    queries = torch.from_numpy(found).to(device)
    rank, best = np.empty(len(queries), dtype=np.int64), []
    with torch.inference_mode():
        vectors = model.item_vectors()  # [V, D]
        size = max(1, min(BLOCK, SCORES // max(len(vectors), 1)))
        for first in range(0, len(queries), size):
            block = slice(first, first + size)
            start, stop = held.start[block], held.position[block]
            scores = queries[block] @ vectors.T  # [B, V]
            wanted = torch.from_numpy(t.item[stop] - 1).to(device)
            mine = scores.gather(1, wanted[:, None])  # [B, 1]
            seen = torch.from_numpy(t.item[ragged(start, stop - start)] - 1).to(device)
            user = torch.from_numpy(np.repeat(np.arange(len(stop)), stop - start)).to(device)
            scores[user[seen >= 0], seen[seen >= 0]] = -torch.inf
            rank[block] = (scores > mine).sum(1).cpu().numpy()
            top = torch.topk(scores, min(k, len(vectors)))  # [B, K]
            best.append(torch.where(top.values > -torch.inf, top.indices, -1).cpu().numpy())
    return rank, np.concatenate(best)
