"""How well held-out items are found among all items that the user has not seen.

Shape letters: V items, D width, X users held out, B users of a block.
"""

from __future__ import annotations

import numpy as np
import torch

from recsys.encoder.examples import HeldOut
from recsys.encoder.forward import encode
from recsys.encoder.model import Encoder
from recsys.encoder.sequences import Tokens, last_windows, ragged
from recsys.features.history import I64

BLOCK = 512
SCORES = 1 << 27  # at a time: 512 MiB, whatever the number of items


def ranks(model: Encoder, t: Tokens, held: HeldOut, length: int) -> I64:
    """[X] number of unseen items that score above the held-out one; items seen before it are left out."""
    device = model.items.device
    found = encode(model, t, last_windows(held.start, held.position, length), t.time[held.position])
    queries = torch.from_numpy(found).to(device)
    out = np.empty(len(queries), dtype=np.int64)
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
            out[block] = (scores > mine).sum(1).cpu().numpy()
    return out


def recall_at(k: int, model: Encoder, t: Tokens, held: HeldOut, length: int) -> float:
    """Share of held-out items among the best `k` unseen ones; NaN where nobody is held out."""
    if not len(held.position):
        return float("nan")
    return float((ranks(model, t, held, length) < k).mean())
