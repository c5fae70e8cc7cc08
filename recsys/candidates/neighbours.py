"""Exact nearest neighbours by blocked matrix products. NumPy arrays in and out, torch inside.

Shape letters: P queries, V vectors, D width, K neighbours, B queries of a block, W columns scored, G of a group.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from recsys.candidates.ragged import Ragged
from recsys.features.history import F32, I64

BLOCK_BYTES = 4 << 20  # scores of one block; larger ones leave the CPU's cache and run at half the speed
_LOW = (1 << 32) - 1


def top_k(
    queries: F32,
    vectors: F32,
    k: int,
    *,
    metric: Literal["dot", "cosine"] = "dot",
    exclude: Ragged | None = None,
    device: str = "cpu",
) -> tuple[I64, F32]:
    """The k rows of `vectors` [V, D] with the largest product with each row of `queries` [P, D].

    Returns indices [P, k] and scores [P, k], best first; equal scores by ascending index, so the same arrays always
    give the same answer. `exclude` lists for each query the indices that it must not get (values outside [0, V) are
    ignored). Places that cannot be filled hold index -1 and score -inf. Vectors must be finite. Memory beyond the
    output: about three times the larger of BLOCK_BYTES and 16 rows of V scores, whatever P is.
    """
    count, width = len(vectors), min(k, len(vectors))
    indices = np.full((len(queries), k), -1, dtype=np.int64)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    if width == 0 or len(queries) == 0:
        return indices, scores
    group = max(1, int((count / width) ** 0.5))
    columns = _rows(vectors, metric, device)
    padded = -(-count // group) * group
    block = max(16, BLOCK_BYTES // (4 * padded))
    for first in range(0, len(queries), block):
        last = min(first + block, len(queries))
        # Written beside its padding: a padded copy of `vectors` would cost one query more than the product.
        product = torch.full((last - first, padded), -torch.inf, device=device)  # [B, W]
        torch.mm(_rows(queries[first:last], metric, device), columns.T, out=product[:, :count])
        if exclude is not None:
            _forbid(product, exclude.slice(first, last), count)
        found, best = _grouped(product, width, group)
        scores[first:last, :width] = best.cpu().numpy()
        indices[first:last, :width] = torch.where(best > -torch.inf, found, -1).cpu().numpy()
    return indices, scores


def largest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Columns [B, k] of the k largest of each row of `scores` [B, W], and their values; ties by ascending column.

    A score and its column are packed into one integer key, ordered like the pair, so no two keys are equal.
    """
    bits = (scores + 0.0).contiguous().view(torch.int32)  # + 0.0: -0.0 becomes 0.0
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).to(torch.int64)
    columns = torch.arange(scores.shape[1], device=scores.device)
    keys = torch.topk((ordered << 32) + (_LOW - columns), k, dim=1).values
    chosen = _LOW - (keys & _LOW)
    return chosen, scores.gather(1, chosen)


def _grouped(product: Tensor, k: int, group: int) -> tuple[Tensor, Tensor]:
    """`largest` of [B, W] in two steps: the k best groups of `group` neighbouring columns hold the k best columns.

    If a column among the k best lay in another group, k groups would each hold a better one (or an equal one further
    left). The work falls from W to W / group + k x group values a row.
    """
    if group == 1:
        return largest(product, k)
    groups = product.view(len(product), -1, group)  # [B, W / G, G]
    best, _ = largest(groups.amax(dim=2), k)
    # Ascending order keeps columns in their order, on which ties depend.
    best = best.sort(dim=1).values  # [B, K]
    inside = groups.gather(1, best[:, :, None].expand(-1, -1, group)).flatten(1)  # [B, K * G]
    place, scores = largest(inside, k)
    return best.gather(1, place // group) * group + place % group, scores


def _rows(values: F32, metric: str, device: str) -> Tensor:
    rows = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)
    return torch.nn.functional.normalize(rows, dim=1) if metric == "cosine" else rows


def _forbid(product: Tensor, exclude: Ragged, count: int) -> None:
    known = (exclude.values >= 0) & (exclude.values < count)
    flat = exclude.rows[known] * product.shape[1] + exclude.values[known]
    product.view(-1)[torch.from_numpy(flat).to(product.device)] = -torch.inf
