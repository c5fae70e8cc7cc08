"""Metrics of several lists on the same requests: sums that add up across machines, then a table. NumPy and Arrow.

`partial` measures some requests; `finish` adds any number of partials up and gives one row a model, slice and metric
with its bootstrap interval and its paired comparison with a baseline.

Shape letters: R requests, K places of a list, B resamples, I items of the snapshot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from recsys.candidates.ragged import Ragged
from recsys.features.history import F64, I64
from recsys.features.windows import Bool
from recsys.monitor.bootstrap import Interval, interval, weights
from recsys.monitor.metrics import hit_rate_at, hits, ndcg_at, novelty_at, recall_at

PLACES = 20  # the longest cut-off: lists must have as many places
COVERAGE = "coverage@10"
ALL = "all"
SUMS = pa.list_(pa.float64())
PARTIAL = pa.schema(
    [
        ("model", pa.string()),
        ("slice", pa.string()),
        ("metric", pa.string()),
        ("totals", SUMS),  # [B + 1] weighted sums of the metric; column 0 has weight 1
        ("counts", SUMS),  # [B + 1] sums of the weights
        ("users", pa.list_(pa.int64())),  # distinct user hashes; only where metric is ndcg@10
        ("items", pa.list_(pa.string())),  # distinct items of the first 10 places; only where metric is coverage@10
        ("catalogue", pa.int64()),  # items that could be recommended; 0 elsewhere
    ]
)
RESULT = pa.schema(
    [("model", pa.string()), ("slice", pa.string()), ("metric", pa.string())]
    + [(name, pa.float64()) for name in ("value", "low", "high")]
    + [("versus", pa.string())]
    + [(f"{kind}{end}", pa.float64()) for kind in ("difference", "ratio") for end in ("", "_low", "_high")]
    + [("requests", pa.int64()), ("users", pa.int64())]
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Requests:
    """R requests, what their users then did, and the slices that they belong to."""

    user: I64  # [R] hash of the user
    truth: Ragged  # R rows of distinct item indices; one of I or more is an item that the snapshot lacks
    slices: Mapping[str, Bool]  # slice name -> [R]
    popularity: I64  # [I] items' counts before the requests, for novelty
    items: tuple[str, ...]  # [I]
    in_stock: int  # items that could be recommended


def values(recommended: I64, requests: Requests) -> dict[str, F64]:
    """Metric name -> [R] for lists `recommended` [R, K] of item indices (-1: the list ended)."""
    hit, relevant = hits(recommended, requests.truth), requests.truth.lengths
    inside = np.where(recommended < len(requests.items), recommended, -1)
    return {
        "ndcg@10": ndcg_at(hit, relevant, 10),
        "recall@10": recall_at(hit, relevant, 10),
        "recall@20": recall_at(hit, relevant, PLACES),
        "hit_rate@10": hit_rate_at(hit, 10),
        "novelty@10": novelty_at(inside, requests.popularity, 10),
    }


def partial(lists: Mapping[str, I64], requests: Requests, seed: int, resamples: int) -> pa.Table:
    """Rows of PARTIAL for each model of `lists` (name -> [R, K]), slice and metric; all on the same resamples."""
    weight = weights(requests.user, seed, resamples)  # [R, B + 1]
    rows: list[dict[str, object]] = []
    for model, recommended in lists.items():
        measured = values(recommended, requests)
        for name, inside in {ALL: np.ones(len(weight), dtype=np.bool_), **requests.slices}.items():
            counts, users = weight[inside].sum(axis=0), np.unique(requests.user[inside])
            for metric, value in measured.items():
                row = {"model": model, "slice": name, "metric": metric, "totals": value[inside] @ weight[inside]}
                rows.append({**row, "counts": counts, "users": users if metric == "ndcg@10" else [], "items": []})
        first = np.unique(recommended[:, :10])
        shown = [requests.items[i] for i in first[(first >= 0) & (first < len(requests.items))]]
        row = {"model": model, "slice": ALL, "metric": COVERAGE, "totals": [], "counts": [], "users": []}
        rows.append({**row, "items": shown, "catalogue": requests.in_stock})
    return pa.Table.from_pylist([{"catalogue": 0, **row} for row in rows], schema=PARTIAL)


@dataclass
class _Sum:
    totals: F64 = field(default_factory=lambda: np.zeros(0))
    counts: F64 = field(default_factory=lambda: np.zeros(0))
    users: set[int] = field(default_factory=set)
    items: set[str] = field(default_factory=set)
    catalogue: int = 0


def finish(partials: Iterable[pa.Table | pa.RecordBatch], versus: str) -> pa.Table:
    """Rows of RESULT from rows of PARTIAL in any number of tables.

    `versus` names the model that others are compared with, on the same resamples: `difference` and `ratio` of the
    means with their intervals; NaN for the baseline itself and for coverage, which is no mean. `requests` and `users`
    count the slice.
    """
    sums: dict[tuple[str, str, str], _Sum] = defaultdict(_Sum)
    for table in partials:
        for row in table.to_pylist():
            total = sums[row["model"], row["slice"], row["metric"]]
            total.totals = _add(total.totals, row["totals"])
            total.counts = _add(total.counts, row["counts"])
            total.users |= set(row["users"])
            total.items |= set(row["items"])
            total.catalogue = max(total.catalogue, row["catalogue"])
    rows = [_result(key, sums, versus) for key in sums]
    return pa.Table.from_pylist(rows, schema=RESULT)


def _result(key: tuple[str, str, str], sums: Mapping[tuple[str, str, str], _Sum], versus: str) -> dict[str, object]:
    model, part, metric = key
    own, base = sums[key], sums.get((versus, part, metric))
    row: dict[str, object] = {"model": model, "slice": part, "metric": metric, "versus": versus}
    group = sums.get((model, part, "ndcg@10"), own)
    row |= {"requests": int(group.counts[0]) if len(group.counts) else 0, "users": len(group.users)}
    if metric == COVERAGE:
        return {**row, "value": len(own.items) / max(own.catalogue, 1)}
    row |= _named("value", "", interval(own.totals, own.counts))
    if base is not None and model != versus:
        row |= _named("difference", "difference", interval(own.totals - base.totals, own.counts))
        row |= _named("ratio", "ratio", interval(own.totals, base.totals))
    return row


def _named(name: str, prefix: str, found: Interval) -> dict[str, float]:
    bound = f"{prefix}_" if prefix else ""
    return {name: found.value, f"{bound}low": found.low, f"{bound}high": found.high}


def _add(total: F64, more: list[float]) -> F64:
    return total + np.asarray(more) if len(total) else np.asarray(more, dtype=np.float64)
