"""Tiles as the stream writes them, from a log."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsys.features.feature import Feature
from recsys.features.history import I64
from recsys.features.tiles import Tiles
from tests.features import oracle
from tests.features.item_oracle import Crowd, kinds, length
from tests.features.oracle import Event


def tiles_of(log: Sequence[Event], items: Sequence[str], width: int) -> Tiles:
    """One row for each event: rows of the same tile and behaviour are added up, as partial rows are."""
    rows = [[e for e in sorted(log, key=lambda e: (e.time // width, e.behaviour)) if e.item == item] for item in items]
    flat = [e for part in rows for e in part]
    return Tiles(
        offsets=np.cumsum([0, *map(len, rows)]).astype(np.int64),
        tile=np.asarray([e.time // width * width for e in flat], dtype=np.int64),
        behaviour=np.asarray([oracle.NAMES.index(e.behaviour) for e in flat], dtype=np.int8),
        events=np.ones(len(flat), dtype=np.int64),
        pieces=np.asarray([e.quantity for e in flat], dtype=np.int64),
        revenue=np.asarray([0 if e.price is None else e.price * e.quantity for e in flat], dtype=np.int64),
    )


def everyone_of(crowd: Crowd, hours: Sequence[int], features: Sequence[Feature]) -> dict[str, I64]:
    """What each share is a share of, at each hour."""
    shares = [f for f in features if f.operation == "share"]
    return {
        f.name: np.asarray([crowd(at - length(f.window), at, kinds(f.of)) for at in hours], dtype=np.int64)
        for f in shares
    }
