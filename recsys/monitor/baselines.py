"""Popularity baselines: the most frequent items of a window before a moment. NumPy only.

Shape letters: E cells (an item in a tile), T moments, M items of a list, I items.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from recsys.features.history import I64


def popular_before(time: I64, item: I64, count: I64, moments: I64, window: int, m: int) -> Iterator[I64]:
    """For each moment, ascending, the m items with the most events in [moment - window, moment): up to [m] indices.

    `time` [E] is ascending, `item` [E] are indices from 0, `count` [E] the events of the cell. Cells may be tiles if
    moments and window are multiples of their width. Equal counts: by ascending index. An item without an event in the
    window is in no list. One pass over the cells: each enters and leaves once.
    """
    totals = np.zeros(int(item.max(initial=-1)) + 1, dtype=np.int64)
    low = high = 0
    for moment in moments:
        entered = int(np.searchsorted(time, moment))
        left = min(int(np.searchsorted(time, moment - window)), entered)
        totals += np.bincount(item[high:entered], weights=count[high:entered], minlength=len(totals)).astype(np.int64)
        totals -= np.bincount(item[low:left], weights=count[low:left], minlength=len(totals)).astype(np.int64)
        low, high = left, entered
        order = np.argsort(-totals, kind="stable")[:m]
        yield order[totals[order] > 0].astype(np.int64)


def newest_before(moments: I64, at: I64) -> I64:
    """[R] index of the newest moment at or before each `at` [R]; -1: none. `moments` ascend."""
    return np.searchsorted(moments, at, side="right").astype(np.int64) - 1
