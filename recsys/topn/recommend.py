"""Top-N: the one function that the nightly job, the stream and the server call. NumPy, torch and Arrow; no Spark.

Shape letters: U users, B users of a block, C items of the histories' dictionary, D width, M candidates of a block,
W candidates of the widest user, N recommendations of a user, R recommendations of all users, F features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pyarrow as pa
import torch

from recsys.candidates.fuse import Candidates, fuse
from recsys.candidates.neighbours import largest
from recsys.candidates.popularity import unseen
from recsys.candidates.ragged import Ragged
from recsys.config import FeatureSettings, TopNSettings
from recsys.errors import BundleError
from recsys.features.definitions import feature_names
from recsys.features.embedded import embedded
from recsys.features.history import F32, I64, Histories, at_end
from recsys.features.item import ItemSnapshot
from recsys.features.pairs import pair_matrix
from recsys.features.windows import Bool
from recsys.ranking.recent import Recent, recent_of
from recsys.topn.index import Encoder, ItemIndex, Scorer, build_index
from recsys.topn.reasons import reasons

BLOCK_USERS = 512  # with 200 candidates and 71 features: 29 MB of features a block
NEIGHBOURS = 1  # bit of the first source of `_propose`


@dataclass(frozen=True, kw_only=True, eq=False)
class TopN:
    """Each user's recommendations, best first: U lists with R entries in all."""

    items: Ragged  # U rows, R values: rows of the snapshot
    score: F32  # [R]
    source: pa.Array  # [R] string: 'neighbours', 'popular' or 'neighbours+popular'
    reason: pa.Array  # [R] string, one short clause

    def to_arrow(self, ids: tuple[str, ...]) -> pa.ListArray:
        """[U] lists of structs as `items` of tables.RECOMMENDATIONS; `ids` are the snapshot's items."""
        names = pa.DictionaryArray.from_arrays(pa.array(self.items.values, pa.int32()), pa.array(ids, pa.string()))
        columns = [names.cast(pa.string()), pa.array(self.score, pa.float32()), self.source, self.reason]
        rows = pa.StructArray.from_arrays(columns, names=["item_id", "score", "source", "reason"])
        return pa.ListArray.from_arrays(pa.array(self.items.offsets, pa.int32()), rows)


def recommend(
    h: Histories,
    at: I64 | int,
    encoder: Encoder,
    ranker: Scorer | None,
    snapshot: ItemSnapshot,
    behaviours: tuple[str, ...],
    feature_settings: FeatureSettings,
    topn_settings: TopNSettings,
    index: ItemIndex | None = None,
    *,
    ahead: bool = False,
) -> TopN:
    """The N best items for each of U users at the times `at` ([U] or one, microseconds since 1970 UTC).

    Candidates are the nearest items by cosine between the user's and the items' vectors, and the most popular items of
    the snapshot. Never an item of the user's history, never one out of stock. A user with an empty history gets popular
    items; an item that the encoder does not know can come from popularity. The score is the ranker's probability, equal
    scores by ascending item. Without a ranker it is the cosine; where the user or the item has no vector it lies in
    [-2, -1] and falls with popularity, so that such items come last.

    `ahead` tells the ranker that the lists are made for the day to come and not for the moment. `index` is what
    `build_index(encoder, snapshot, topn_settings)` gives: pass it where the function is called more than once. With
    more than `topn.exact_items` items the nearest are found approximately. Memory beyond input, vectors [U, D] and
    output is that of one block of BLOCK_USERS users. Raises BundleError: the ranker was trained with other features
    than this version computes.
    """
    computed = _computed(feature_settings)
    if ranker is not None and tuple(ranker.names) != computed:
        raise BundleError(_misfit(set(ranker.names), set(computed)))
    job = _Job(
        encoder=encoder,
        index=build_index(encoder, snapshot, topn_settings) if index is None else index,
        ranker=ranker,
        behaviours=behaviours,
        features=feature_settings,
        topn=topn_settings,
        ahead=ahead,
    )
    vectors = encoder.encode(h, at_end(h, at))  # [U, D]
    moments = np.broadcast_to(np.asarray(at, dtype=np.int64), (h.users,))
    rows = job.index.rows(h.items)  # [C]
    blocks = [slice(first, first + BLOCK_USERS) for first in range(0, max(h.users, 1), BLOCK_USERS)]
    return _joined([_block(job, _users(h, b), moments[b], vectors[b], rows) for b in blocks])


@lru_cache(maxsize=8)
def _computed(settings: FeatureSettings) -> tuple[str, ...]:
    return feature_names(settings)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Job:
    encoder: Encoder
    index: ItemIndex
    ranker: Scorer | None
    behaviours: tuple[str, ...]
    features: FeatureSettings
    topn: TopNSettings
    ahead: bool


def _block(job: _Job, h: Histories, at: I64, vectors: F32, rows: I64) -> TopN:
    index, n = job.index, job.topn.n
    seen = Ragged(offsets=h.offsets, values=np.append(rows, -1)[h.item])  # item -1 reads the last: no row
    pool = index.popular[: max(job.topn.popular, n) + int(seen.lengths.max(initial=0))]
    candidates, level = _propose(job, vectors, seen, pool)
    similarity = _similarity(index, vectors, candidates)
    if job.ranker is None:
        score = _without_ranker(similarity, candidates, pool, len(index.snapshot.items))
    else:
        x = _features(job, h, at, rows, candidates, level, similarity)
        score = job.ranker.score(x, _recent(job, job.ranker.attention, h, at, candidates))
    wide = np.full((h.users, max(n, int(candidates.items.lengths.max(initial=0)))), -np.inf, dtype=np.float32)  # [B, W]
    wide[np.arange(wide.shape[1]) < candidates.items.lengths[:, None]] = score
    place, best = (values.numpy() for values in largest(torch.from_numpy(wide), n))  # [B, N]
    taken = best > -np.inf
    chosen = (candidates.items.offsets[:-1, None] + place)[taken]  # [R] index into the M candidates
    items = Ragged(offsets=_offsets(taken.sum(axis=1)), values=candidates.items.values[chosen])
    sources = candidates.sources[chosen]
    labels = [candidates.label(mask) for mask in range(1 << len(candidates.names))]
    return TopN(
        items=items,
        score=best[taken],
        source=pa.array([labels[mask] for mask in sources.tolist()], pa.string()),
        reason=reasons(h, seen.values, items, sources & NEIGHBOURS > 0, index, job.behaviours),
    )


def _propose(job: _Job, vectors: F32, seen: Ragged, pool: I64) -> tuple[Candidates, F32]:
    """The users' candidates, and their soft maximum over all items [B]."""
    index, n = job.index, job.topn.n
    warm = _warm(vectors)
    wanted = max(job.topn.candidates - job.topn.popular, 0) if job.ranker else n
    near = np.full((len(vectors), wanted), -1, dtype=np.int64)
    forbidden = Ragged(offsets=seen.offsets, values=index.found_place[seen.values])
    found, level = index.nearest(job.encoder, vectors, wanted, forbidden)
    near[warm] = np.append(index.found, -1)[found[warm]]
    fresh = unseen(pool, seen, len(index.snapshot.items), max(job.topn.popular, n))
    fresh[warm, job.topn.popular :] = -1  # only a user without a vector needs popular items beyond the setting
    return fuse({"neighbours": near, "popular": fresh}, index.snapshot.in_stock, seen), level


def _similarity(index: ItemIndex, vectors: F32, candidates: Candidates) -> F32:
    """[M] cosine of each candidate pair; NaN where the user or the item has no vector."""
    user, item = candidates.items.rows, candidates.items.values
    cosine: F32 = np.einsum("md,md->m", vectors[user], index.vectors[item])
    cosine[~(_warm(vectors)[user] & index.known[item])] = np.nan
    return cosine


def _features(job: _Job, h: Histories, at: I64, rows: I64, candidates: Candidates, level: F32, similarity: F32) -> F32:
    """[M, F] the ranker's input."""
    index, points = job.index, at_end(h, at)
    pair_point, item = candidates.items.rows, candidates.items.values
    local = np.full(len(index.snapshot.items) + 1, -1, dtype=np.int32)  # row of the snapshot -> dictionary of h
    local[rows] = np.arange(len(rows), dtype=np.int32)
    local[-1] = -1  # dictionary items that the snapshot lacks were written here
    return pair_matrix(
        h,
        points,
        job.behaviours,
        job.features,
        pair_point=pair_point,
        pair_item=local[item],
        item_rows=index.snapshot.features[item],
        embedded=embedded(job.encoder, h, points, level, pair_point, index.number[item], similarity),
        ahead=np.full(h.users, job.ahead),
        categories=np.append(index.category, np.int32(-1))[rows],
        pair_category=index.category[item],
    )


def _recent(job: _Job, length: int, h: Histories, at: I64, candidates: Candidates) -> Recent | None:
    """What the candidates attend to; None: to nothing."""
    number = job.index.number[candidates.items.values]
    return recent_of(h, at_end(h, at), job.encoder, candidates.items.rows, number, length) if length else None


def _without_ranker(similarity: F32, candidates: Candidates, pool: I64, items: int) -> F32:
    behind = np.full(items, -2, dtype=np.float32)
    behind[pool] = -1 - np.arange(len(pool), dtype=np.float32) / max(len(pool), 1)
    score: F32 = similarity.copy()
    unknown = np.isnan(similarity)
    score[unknown] = behind[candidates.items.values[unknown]]
    return score


def _warm(vectors: F32) -> Bool:
    return np.asarray(np.abs(vectors).sum(axis=1) > 0)


def _users(h: Histories, users: slice) -> Histories:
    bounds = h.offsets[users.start : users.stop + 1]
    rows = slice(int(bounds[0]), int(bounds[-1]))
    return replace(
        h,
        offsets=bounds - bounds[0],
        time=h.time[rows],
        behaviour=h.behaviour[rows],
        item=h.item[rows],
        price=h.price[rows],
        quantity=h.quantity[rows],
        value=h.value[rows],
    )


def _offsets(lengths: I64) -> I64:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _joined(parts: list[TopN]) -> TopN:
    lengths = np.concatenate([part.items.lengths for part in parts])
    values = np.concatenate([part.items.values for part in parts])
    return TopN(
        items=Ragged(offsets=_offsets(lengths), values=values),
        score=np.concatenate([part.score for part in parts]),
        source=pa.concat_arrays([part.source for part in parts]),
        reason=pa.concat_arrays([part.reason for part in parts]),
    )


def _misfit(has: set[str], computed: set[str]) -> str:
    return (
        f"the ranker reads {len(has)} features, this version computes {len(computed)}: "
        f"unknown here {sorted(has - computed)[:5]}, new here {sorted(computed - has)[:5]}, or another order. "
        "Train a ranker with this version, or install the version that trained this one."
    )
