"""Exact nearest neighbours by blocked matrix products. NumPy arrays in and out, torch inside.

Shape letters: P queries, V vectors, D width, K neighbours, B queries of a block, W columns of a product, G of a group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    return _search(_rows(queries, metric, device), _rows(vectors, metric, device), len(vectors), k, exclude)


def top_k_and(
    queries: F32, vectors: F32, first: int, k: int, exclude: Ragged, of_all: Callable[[Tensor], Tensor]
) -> tuple[I64, F32]:
    """Indices of `top_k` among the `first` rows of `vectors`, and `of_all` products [B, V] -> [B] for each query, [P].

    One product serves both: reading the vectors is most of the time that a single query takes.
    """
    told = np.empty(len(queries), dtype=np.float32)

    def tell(rows: slice, product: Tensor) -> None:
        told[rows] = of_all(product).numpy()

    indices, _ = _search(_rows(queries), _rows(vectors), first, k, exclude, tell)
    return indices, told


def _search(
    queries: Tensor,
    vectors: Tensor,
    count: int,
    k: int,
    exclude: Ragged | None,
    tell: Callable[[slice, Tensor], None] = lambda rows, product: None,
) -> tuple[I64, F32]:
    """`top_k` among the `count` first vectors; `tell` gets each block's rows of queries and their products [B, V]."""
    indices = np.full((len(queries), k), -1, dtype=np.int64)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    width = min(k, count)
    group = max(1, int((count / width) ** 0.5)) if width else 1
    padded = -(-count // group) * group
    for rows, product in _products(queries, vectors, padded):
        tell(rows, product[:, : len(vectors)])
        if not width:
            continue
        product[:, count:padded] = -torch.inf
        if exclude is not None:
            _forbid(product, exclude.slice(rows.start, rows.stop), count)
        found, best = _grouped(product[:, :padded], width, group)
        scores[rows, :width] = best.cpu().numpy()
        indices[rows, :width] = torch.where(best > -torch.inf, found, -1).cpu().numpy()
    return indices, scores


def _products(queries: Tensor, vectors: Tensor, least: int) -> Iterator[tuple[slice, Tensor]]:
    """Blocks of queries and their products with all vectors [B, W]; W is V, or `least` where that is more."""
    count = len(vectors)
    wide = max(count, least)
    block = max(16, BLOCK_BYTES // (4 * max(wide, 1)))
    for first in range(0, len(queries), block):
        rows = slice(first, min(first + block, len(queries)))
        # Written beside its padding: a padded copy of `vectors` would cost one query more than the product.
        product = torch.empty((rows.stop - first, wide), device=vectors.device)
        torch.mm(queries[rows], vectors.T, out=product[:, :count])
        yield rows, product


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


def _rows(values: F32, metric: str = "dot", device: str = "cpu") -> Tensor:
    rows = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)
    return torch.nn.functional.normalize(rows, dim=1) if metric == "cosine" else rows


def _forbid(product: Tensor, exclude: Ragged, count: int) -> None:
    known = (exclude.values >= 0) & (exclude.values < count)
    flat = exclude.rows[known] * product.shape[1] + exclude.values[known]
    product.view(-1)[torch.from_numpy(flat).to(product.device)] = -torch.inf
