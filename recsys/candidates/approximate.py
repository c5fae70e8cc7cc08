"""Approximate nearest neighbours among many vectors: inverted lists by faiss, of which a query reads the nearest few.

Source: Jégou et al. 2011, section IV; here the lists hold whole vectors, so that every score is exact.

Shape letters: P queries, V vectors, D width, K neighbours, F neighbours asked for.
"""

from __future__ import annotations

import logging
import time
from types import ModuleType
from typing import Protocol

import numpy as np
import torch
from sklearn.preprocessing import normalize

from recsys.candidates.neighbours import top_k
from recsys.candidates.ragged import Ragged
from recsys.errors import ConfigError
from recsys.features.history import F32, I64
from recsys.features.windows import Bool
from recsys.log import event

LISTS = 2  # times the square root of V: the more lists, the dearer the building and the cheaper the search
LEARNED_FROM, ROUNDS = 64, 10  # vectors a list and rounds of k-means that the centres are learned from
LONG = 1024  # a longer answer, with room for so much that is excluded, is dearer than the exact search
FINE = 8  # the number of lists to read is chosen to an eighth of itself
SAMPLE = 256  # queries that recall is measured with
log = logging.getLogger(__name__)


class _Index(Protocol):
    nprobe: int

    def search(self, queries: F32, k: int, /) -> tuple[F32, I64]: ...


class Inverted:
    """Unit vectors in lists around centres; a query reads so many lists that the wanted recall is reached.

    Recall, the share of the exact `k` best that is found, is measured when the lists are built, and logged: with SAMPLE
    queries, each halfway between a vector and a random direction. The same vectors, number of threads and wanted recall
    give the same lists.
    """

    def __init__(self, vectors: F32, k: int, recall: float) -> None:
        """Build over `vectors` [V, D]: O(V ** 1.5 D) operations, and one more copy of the vectors.

        Raises ConfigError: faiss is not installed.
        """
        began, size = time.perf_counter(), len(vectors)
        lists = min(max(int(LISTS * size**0.5), 1), size)
        self._vectors, self._faiss = vectors, _faiss(size)
        self._index = self._built(lists)
        queries = between(vectors, np.random.default_rng(size))
        exact, _ = top_k(queries, vectors, min(k, size))
        self.read, self.recall = self._fewest(lists, recall, queries, exact)
        counts = {"items": size, "lists": lists, "read": self.read, "k": k}
        figures = {"recall": round(self.recall, 4), "seconds": round(time.perf_counter() - began, 2)}
        event(log, "approximate index built", logging.INFO, **counts, **figures)

    def top_k(self, queries: F32, k: int, exclude: Ragged) -> tuple[I64, F32]:
        """As `neighbours.top_k`, but the next best may stand for some of the k best. A query of zeros gets nothing.

        A query that excludes more than LONG, whose lists hold too few vectors, or whose last place is contested by
        equal scores, is answered exactly: no place stays empty that could be filled, and what has equal scores comes
        by ascending index.
        """
        lengths = exclude.lengths
        wanted = k + int(lengths[lengths <= LONG].max(initial=0)) + 1
        if wanted > len(self._vectors) or k == 0:
            return top_k(queries, self._vectors, k, exclude=exclude)
        found, scores = self._search(queries, wanted)  # [P, F]
        lowest = scores[:, -1].copy()
        scores[_among(found, exclude, len(self._vectors))] = -np.inf
        order = np.lexsort((found, -scores))[:, :k]  # [P, K]
        indices, best = np.take_along_axis(found, order, axis=1), np.take_along_axis(scores, order, axis=1)
        cold = ~queries.any(axis=1)
        indices[cold], best[cold] = -1, -np.inf
        unsure = np.flatnonzero(((best[:, -1] <= lowest) | (lengths > LONG)) & ~cold)
        if len(unsure):
            indices[unsure], best[unsure] = top_k(queries[unsure], self._vectors, k, exclude=exclude.take(unsure))
        return indices, best

    def _built(self, lists: int) -> _Index:
        faiss, width = self._faiss, self._vectors.shape[1]
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
        index.cp.niter, index.cp.max_points_per_centroid, index.cp.min_points_per_centroid = ROUNDS, LEARNED_FROM, 1
        index.cp.spherical = True
        faiss.omp_set_num_threads(torch.get_num_threads())
        index.train(self._vectors)
        index.add(self._vectors)
        built: _Index = index
        return built

    def _fewest(self, lists: int, recall: float, queries: F32, exact: I64) -> tuple[int, float]:
        """About the fewest lists to read for that recall of `exact` [P, K], and the recall measured with them."""
        low, high = 0, 1
        while (reached := self._measured(high, queries, exact)) < recall and high < lists:
            low, high = high, min(2 * high, lists)
        while high - low > max(high // FINE, 1):
            middle = (low + high) // 2
            if (found := self._measured(middle, queries, exact)) < recall:
                low = middle
            else:
                high, reached = middle, found
        return high, reached

    def _measured(self, read: int, queries: F32, exact: I64) -> float:
        self.read = read
        found, _ = self._search(queries, exact.shape[1])
        return sum(len(np.intersect1d(mine, right)) for mine, right in zip(found, exact, strict=True)) / exact.size

    def _search(self, queries: F32, k: int) -> tuple[I64, F32]:
        """Indices [P, k], -1 where the lists read hold fewer, and scores, best first."""
        self._faiss.omp_set_num_threads(torch.get_num_threads())  # on an executor, the cores of the task
        self._index.nprobe = self.read
        scores, found = self._index.search(np.ascontiguousarray(queries, dtype=np.float32), k)
        return found, np.where(found >= 0, scores, np.float32(-np.inf))


def between(vectors: F32, rng: np.random.Generator) -> F32:
    """[SAMPLE, D] unit vectors, each halfway between one of `vectors` [V, D] and a random direction."""
    drawn = vectors[rng.integers(0, len(vectors), SAMPLE)]
    noise = normalize(rng.standard_normal(drawn.shape))
    return np.asarray(normalize(drawn + noise), dtype=np.float32)


def _among(found: I64, lists: Ragged, size: int) -> Bool:
    """[P, F] whether an index in [0, size) is in its row of `lists`."""
    inside = (lists.values >= 0) & (lists.values < size)
    keys = np.sort(lists.rows[inside] * size + lists.values[inside])
    if not len(keys):
        return np.zeros(found.shape, dtype=np.bool_)
    asked = np.where(found >= 0, found + np.arange(len(found), dtype=np.int64)[:, None] * size, -1)
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.asarray(keys[place] == asked)


def _faiss(items: int) -> ModuleType:
    try:
        import faiss
    except ImportError as error:
        raise ConfigError(
            f"{items} items are more than topn.exact_items, and faiss, which searches so many, cannot be imported"
            f" ({error}): pip install faiss-cpu, or raise topn.exact_items."
        ) from error
    found: ModuleType = faiss
    return found
