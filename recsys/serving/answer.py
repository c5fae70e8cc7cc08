"""One user's answer: what is recommended, from which bundle and how old a snapshot, and what was not as usual."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from recsys.registry.bundle import Bundle
from recsys.serving.cache import Lists
from recsys.topn.recommend import TopN


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Lists run in parallel, best item first."""

    items: list[str]
    scores: list[float]  # probabilities; degraded: cosines
    sources: list[str]
    reasons: list[str]
    bundle: str  # id
    snapshot_age: float  # seconds from the item snapshot to the moment of the answer
    candidates: int  # ranked at most
    behaviours: int  # of the user that were used
    trimmed: bool = False  # fewer candidates than usual, for the latency budget
    degraded: bool = False  # the snapshot is older than the limit
    cached: bool = False  # the list was worked out for an earlier request, serving.cache_s ago at most
    notes: list[str] = field(default_factory=list)  # a sentence for whatever was not as usual

    def to_json(self) -> bytes:
        """The fields as a JSON object, UTF-8."""
        return json.dumps(vars(self), ensure_ascii=False, allow_nan=False).encode()


def lists(bundle: Bundle, found: TopN) -> Lists:
    """Items, scores, sources and reasons of one user's Top-N."""
    items = [bundle.snapshot.items[row] for row in found.items.values]
    return Lists(items, found.score.astype(float).tolist(), found.source.to_pylist(), found.reason.to_pylist())
