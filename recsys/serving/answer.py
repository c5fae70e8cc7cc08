"""One user's answer: what is recommended, from which bundle and how old a snapshot, and what was not as usual."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from recsys.registry.bundle import Bundle
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
    notes: list[str] = field(default_factory=list)  # a sentence for whatever was not as usual

    def to_json(self) -> bytes:
        """The fields as a JSON object, UTF-8."""
        return json.dumps(vars(self), ensure_ascii=False, allow_nan=False).encode()


def lists(bundle: Bundle, found: TopN) -> tuple[list[str], list[float], list[str], list[str]]:
    """Items, scores, sources and reasons of one user's Top-N."""
    items = [bundle.snapshot.items[row] for row in found.items.values]
    return items, found.score.astype(float).tolist(), found.source.to_pylist(), found.reason.to_pylist()
