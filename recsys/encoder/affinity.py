"""How dense a user's history lies around an item, beside how dense everyone's does: a kernel of item cosines.

One vector a user blurs several interests into their mean; a sum over single behaviours keeps them apart, as the target
attention of Zhou et al. 2018 (DIN), section 4.3, does with learned weights.

Shape letters: V items, D width, P points, Q points of a block, L longest window, M pairs, W most pairs of a point,
S reference items, T numbers of newest behaviours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from recsys.encoder.sequences import Windows, ragged
from recsys.features.history import F32, I32, I64
from recsys.features.windows import Bool

REFERENCE = 8192  # distinct items at most that stand for everyone's behaviours
BLOCK = 1 << 21  # kernel values worked out at once
PRIOR = 0.5  # behaviours of everyone's that are added to a history: a short one says little


def crowds(vectors: F32, occurrences: I64, temperature: float, rng: np.random.Generator) -> F32:
    """[V] ln of the mean kernel between each item of `vectors` [V, D] and everyone's behaviours (`occurrences` [V]).

    Where more than REFERENCE items occur, so many draws stand for them.
    """
    total = int(occurrences.sum())
    if np.count_nonzero(occurrences) > REFERENCE:
        occurrences = rng.multinomial(REFERENCE, occurrences / total)
    rows = np.flatnonzero(occurrences)
    weight = torch.from_numpy(np.log(occurrences[rows] / occurrences[rows].sum()).astype(np.float32))  # [S]
    items, out = torch.from_numpy(vectors), np.empty(len(vectors), dtype=np.float32)
    reference, step = items[rows].T, max(BLOCK // max(len(rows), 1), 1)
    for first in range(0, len(items), step):
        kernel = (items[first : first + step] @ reference - 1) / temperature  # [Q, S]
        out[first : first + step] = torch.logsumexp(kernel + weight, dim=1).numpy()
    return out


def affinity(
    vectors: F32,
    crowd: F32,
    temperature: float,
    item: I64,
    windows: Windows,
    newest: Sequence[int],
    pair_point: I64,
    number: I32,
) -> F32:
    """[T, M] ln((sum of the window's kernels with the item / the crowd's mean + PRIOR) / (behaviours + PRIOR)).

    For the `newest` behaviours of each window, T numbers. The kernel is exp((cosine - 1) / temperature). `item` [E] and
    `number` [M] are 1-based rows of `vectors` [V, D], 0: unknown; `windows` has one row for each of P points,
    `pair_point` [M] ascends. Unknown behaviours do not count. NaN where the item is unknown.
    """
    out = np.full((len(newest), len(number)), np.nan, dtype=np.float32)
    if not len(vectors):
        return out
    table = torch.from_numpy(vectors)
    bounds = np.searchsorted(pair_point, np.arange(len(windows.end) + 1))
    widest = int(np.diff(bounds).max(initial=0)) * int(windows.lengths.max(initial=0))
    step = max(BLOCK // max(widest, 1), 1)
    for first in range(0, len(windows.end), step):
        edges = bounds[first : first + step + 1]
        w = windows.take(np.arange(first, first + len(edges) - 1, dtype=np.int64))
        past, _ = _padded(item[ragged(w.start, w.lengths)], w.lengths)  # [Q, L]
        asked, real = _padded(number[edges[0] : edges[-1]], np.diff(edges))  # [Q, W]
        # Row 0, unknown, reads the last one; what comes of it is left out below.
        cosine = table[torch.from_numpy(asked - 1)] @ table[torch.from_numpy(past - 1)].transpose(1, 2)  # [Q, W, L]
        kernel = cosine.sub_(1).div_(temperature).exp_()
        back = w.lengths[:, None] - np.arange(past.shape[1])  # [Q, L] 1: the newest
        counted = np.stack([(past > 0) & (back <= count) for count in newest], axis=2).astype(np.float32)  # [Q, L, T]
        total, known = (kernel @ torch.from_numpy(counted)).numpy(), counted.sum(axis=1)[:, None]  # [Q, W, T]
        density = (total / np.exp(crowd[asked - 1])[:, :, None] + PRIOR) / (known + PRIOR)
        out[:, edges[0] : edges[-1]] = np.log(density)[real].T
    out[:, number == 0] = np.nan
    return out


def _padded(values: I64 | I32, lengths: I64) -> tuple[I64, Bool]:
    """[N] values of Q rows, one row after the other -> [Q, longest] with 0 behind a row's end, and which are real."""
    real = np.arange(int(lengths.max(initial=0))) < lengths[:, None]
    out = np.zeros(real.shape, dtype=np.int64)
    out[real] = values
    return out, real
