"""Is what is new fit to learn from? An increment's examples held against those that its start has learned from.

The measure is the population stability index (Siddiqi 2006, Credit Risk Scorecards, chapter 6), the symmetric
Kullback-Leibler divergence of two shares by bucket. NumPy only.

Shape letters: N examples, F features, B buckets.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator

from recsys.config import GateSettings, Section
from recsys.features.history import F32, F64, I64
from recsys.ranking.steps import Row

BUCKETS = 10  # of known values, as nearly equal as ties let them be; unknown is one more
FLOOR = 1e-4  # a share counts as this at least: an empty bucket must not make the index infinite
NAMED = 3  # features that a reason names


class Seen(Section):
    """What a ranker's newest training examples looked like."""

    requests: int
    label_rate: float = Field(gt=0, lt=1)  # positives, as a share of the examples
    edges: tuple[Row, ...]  # [F] inner edges of the buckets, ascending
    shares: tuple[Row, ...]  # [F] share of the examples in each bucket, unknown last

    @model_validator(mode="after")
    def _fits(self) -> Seen:
        if [len(edges) + 2 for edges in self.edges] != [len(shares) for shares in self.shares]:
            raise ValueError("a feature's shares are not two more than its edges")
        if any(list(edges) != sorted(edges) for edges in self.edges):
            raise ValueError("edges must ascend")
        return self


def look(x: F32, y: F32, request: I64) -> Seen:
    """What N > 0 examples look like: plain values [N, F], labels [N], and which request each belongs to [N]."""
    edges = tuple(_edges(column) for column in x.T)
    return Seen(
        requests=len(np.unique(request)),
        label_rate=float(y.mean()),
        edges=edges,
        shares=tuple(tuple(_shares(column, inner).tolist()) for column, inner in zip(x.T, edges, strict=True)),
    )


def drift(seen: Seen, x: F32) -> F64:
    """[F] population stability index of each feature of [N, F]: 0 where it is distributed as before."""
    now = [_shares(column, inner) for column, inner in zip(x.T, seen.edges, strict=True)]
    pairs = ((np.maximum(was, FLOOR), np.maximum(is_, FLOOR)) for was, is_ in zip(seen.shares, now, strict=True))
    return np.asarray([float(np.sum((is_ - was) * np.log(is_ / was))) for was, is_ in pairs])


def broken(seen: Seen | None, names: tuple[str, ...], x: F32, y: F32, request: I64, settings: GateSettings) -> str:
    """Why the examples must not be learned from; empty: they may. `seen` is what the start was trained on, if known."""
    requests = len(np.unique(request))
    if requests < settings.requests:
        return f"{requests} labelled requests are new, ranker.gate.requests wants {settings.requests} at least"
    if seen is None:
        return ""
    rate, limit = float(y.mean()), settings.label_rate
    if not 1 / limit <= rate / seen.label_rate <= limit:
        return (
            f"{rate:.2%} of the new examples are positive, it was {seen.label_rate:.2%}: "
            f"more than the factor {limit:g} of ranker.gate.label_rate"
        )
    found = drift(seen, x)
    far = [place for place in np.argsort(-found, kind="stable") if found[place] > settings.drift]
    if len(far) <= settings.features * len(names):
        return ""
    worst = ", ".join(f"{names[place]} {found[place]:.2g}" for place in far[:NAMED])
    return (
        f"{len(far)} of {len(names)} features are distributed otherwise than in the training before ({worst}; "
        f"limit {settings.drift:g}), ranker.gate.features allows {settings.features:.0%}"
    )


def _edges(column: F32) -> Row:
    """Edges between equal shares of the known values; a value that fills several buckets has one of its own."""
    values = np.sort(column[np.isfinite(column)])
    if not len(values):
        return ()
    places = np.arange(1, BUCKETS) * len(values) // BUCKETS
    return tuple(float(edge) for edge in np.unique(values[places]))


def _shares(column: F32, edges: Row) -> F64:
    """[B + 1] share of the values in each bucket (edge, next edge]; not finite: unknown, the last one."""
    known = column[np.isfinite(column)]
    counts = np.bincount(np.searchsorted(np.asarray(edges), known, side="left"), minlength=len(edges) + 1)
    return np.append(counts, len(column) - len(known)) / max(len(column), 1)
