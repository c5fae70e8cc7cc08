"""One batch of test requests: recommend, list the baselines, compare with the truth. NumPy and Arrow; no Spark.

Item codes are the snapshot's rows, then, from I on, items that it lacks.

Shape letters: R requests, I items of the snapshot, T moments, M items of a list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.candidates.popularity import unseen
from recsys.candidates.ragged import Ragged
from recsys.config import Settings
from recsys.features.history import I64, Histories
from recsys.features.windows import Bool
from recsys.monitor.baselines import newest_before
from recsys.monitor.timesplit import PLACES, Requests, partial
from recsys.topn.index import Encoder, ItemIndex, Scorer
from recsys.topn.recommend import recommend

RECOMMENDER, NEIGHBOURS = "recommender", "neighbours only"


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """A baseline's lists: from moment t on, row t is offered, best first, without what the user has seen."""

    moments: I64  # [T] ascending, microseconds since 1970 UTC
    ids: tuple[str, ...]
    lists: I64  # [T, M] index into ids; -1: the list ended


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """R requests with their histories strictly before `at`, what followed, and lists of further models."""

    user: I64  # [R] hash of the user
    at: I64  # [R] microseconds since 1970 UTC
    history: Histories  # R users
    truth: pa.ListArray  # [R] distinct item ids, none of them in the history
    others: Mapping[str, pa.ListArray]  # model name -> [R] item ids, best first; NULL: no list


def measure(
    batch: Batch,
    pools: Mapping[str, Pool],
    encoder: Encoder,
    ranker: Scorer,
    index: ItemIndex,
    settings: Settings,
    *,
    ahead: bool,
) -> pa.Table:
    """Rows of timesplit.PARTIAL for the recommender, for its embedding alone, for `pools` and for `batch.others`.

    `ahead`: the lists are made for the day to come, not for the moment.

    All lists obey the same rules: nothing that the user has seen, nothing out of stock. A baseline may offer an item
    that the snapshot lacks: it is newer than the snapshot.
    """
    history = batch.history
    codes = codes_beyond(index, [history.items, *(p.ids for p in pools.values()), *map(_words, _lists(batch))])
    in_stock = np.append(index.snapshot.in_stock, np.ones(len(codes), dtype=np.bool_))  # enough for every code
    seen = Ragged(offsets=history.offsets, values=np.append(_rows(index, codes, history.items), -1)[history.item])
    sizes = settings.topn.model_copy(update={"n": PLACES})
    lists = {}
    for name, scorer in ((RECOMMENDER, ranker), (NEIGHBOURS, None)):
        found = recommend(
            history,
            batch.at,
            encoder,
            scorer,
            index.snapshot,
            tuple(settings.behaviours),
            settings.features,
            sizes,
            index,
            ahead=ahead,
        )
        lists[name] = found.items.padded(PLACES)
    for name, pool in pools.items():
        offered = _sold(np.append(_rows(index, codes, pool.ids), -1)[pool.lists], in_stock)  # [T, M]
        lists[name] = unseen(offered[newest_before(pool.moments, batch.at)], seen, len(in_stock), PLACES)
    for name, column in batch.others.items():
        lists[name] = unseen(_sold(ragged_codes(index, codes, column).padded(), in_stock), seen, len(in_stock), PLACES)
    return partial(lists, _requests(batch, index, codes, settings), settings.seed, settings.evaluate.resamples)


def _requests(batch: Batch, index: ItemIndex, codes: Mapping[str, int], settings: Settings) -> Requests:
    length = batch.history.lengths
    heavy = settings.evaluate.heavy
    return Requests(
        user=batch.user,
        truth=ragged_codes(index, codes, batch.truth),
        slices={
            "cold users": length == 0,
            "light users": (length > 0) & (length < heavy),
            "heavy users": length >= heavy,
        },
        popularity=np.nan_to_num(index.snapshot.column("item_engaged_count_7d")).astype(np.int64),
        items=index.snapshot.items,
        in_stock=int(index.snapshot.in_stock.sum()),
    )


def _lists(batch: Batch) -> list[pa.ListArray]:
    return [batch.truth, *batch.others.values()]


def _words(lists: pa.ListArray) -> list[str]:
    return list(pc.unique(lists.flatten()).to_pylist())


def codes_beyond(index: ItemIndex, ids: list[tuple[str, ...] | list[str]]) -> dict[str, int]:
    """Codes of the items that the snapshot lacks, from I on."""
    lacking = dict.fromkeys(item for some in ids for item in some if item not in index.place)
    return {item: len(index.snapshot.items) + n for n, item in enumerate(lacking)}


def _rows(index: ItemIndex, codes: Mapping[str, int], ids: tuple[str, ...] | list[str]) -> I64:
    rows = index.rows(ids)
    lacking = np.flatnonzero(rows < 0)
    rows[lacking] = [codes[ids[n]] for n in lacking]
    return rows


def ragged_codes(index: ItemIndex, codes: Mapping[str, int], lists: pa.ListArray) -> Ragged:
    """Lists of item ids as codes: rows of the snapshot, or what `codes_beyond` gave. NULL lists become empty."""
    words = lists.flatten().dictionary_encode()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    rows = _rows(index, codes, words.dictionary.to_pylist())
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(offsets=offsets, values=rows[words.indices.to_numpy(zero_copy_only=False)])


def _sold(rows: I64, in_stock: Bool) -> I64:
    return np.where((rows >= 0) & in_stock[rows], rows, -1).astype(np.int64)
