"""Windows and selections over ragged, time-ordered rows: vectorised binary search and prefix sums. NumPy only.

Shape letters: E rows, P points, S selected rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.features.history import F64, I32, I64, Histories, Points

Bool = npt.NDArray[np.bool_]
FEW = 8  # points


def first_after(time: I64, start: I64, end: I64, moment: I64) -> I64:
    """[P] first row of [start, end) whose time lies strictly after `moment`; `end` where there is none.

    `time` ascends within each [start, end). One bisection step at a time for all points: log2(longest range) steps.
    A few points, such as the one of a server's request, are searched one by one, which takes a tenth of the time.
    """
    low, high = start.astype(np.int64), end.astype(np.int64)
    if not len(time) or not len(low):
        return low
    if len(low) <= FEW:
        asked = zip(low.tolist(), high.tolist(), moment, strict=True)
        return np.asarray([a + time[a:b].searchsorted(when, side="right") for a, b, when in asked], dtype=np.int64)
    for _ in range(int((high - low).max()).bit_length()):
        middle = (low + high) >> 1
        right = (low < high) & (time[np.minimum(middle, len(time) - 1)] <= moment)
        low, high = np.where(right, middle + 1, low), np.where(right, high, middle)
    return low


def known(h: Histories, p: Points) -> Points:
    """The same points, `end` drawn back to the first behaviour after `at`: no point sees what lies after its time."""
    return Points(start=p.start, end=first_after(h.time, p.start, p.end, p.at), at=p.at)


def before(h: Histories, positions: I64, k: int) -> Points:
    """Points as of the behaviours at `positions` [P]: the user's last `k` behaviours strictly earlier in time.

    A label therefore sees neither itself nor a behaviour of the same microsecond; `at` is the label's time.
    """
    first = h.offsets[np.searchsorted(h.offsets, positions, side="right") - 1]
    at = h.time[positions]
    end = first_after(h.time, first, positions, at - 1)
    return Points(start=np.maximum(first, end - k), end=end, at=at)


@dataclass(frozen=True, eq=False)
class Selection:
    """Rows that satisfy a condition, ascending; a range of rows becomes a range of selected rows by `rank`."""

    positions: I64  # [S]

    def rank(self, bounds: I64) -> I64:
        """[P] number of selected rows before each bound."""
        return np.searchsorted(self.positions, bounds).astype(np.int64)

    def total(self, values: I64, low: I64, high: I64) -> I64:
        """[P] exact sum of `values` [S] over selected rows of [low, high)."""
        prefix = np.zeros(len(values) + 1, dtype=np.int64)
        np.cumsum(values, out=prefix[1:])
        return prefix[self.rank(high)] - prefix[self.rank(low)]

    def last(self, low: I64, high: I64) -> I64:
        """[P] newest selected row of [low, high); -1 where there is none."""
        if not len(self.positions):
            return np.full(len(low), -1, dtype=np.int64)
        row = self.positions[np.maximum(self.rank(high) - 1, 0)]
        return np.where((row >= low) & (row < high), row, -1)


def select(condition: Bool) -> Selection:
    """The rows [E] where `condition` holds."""
    return Selection(np.flatnonzero(condition).astype(np.int64))


def reduce_ranges(ufunc: np.ufunc, values: F64, low: I64, high: I64, empty: float = np.nan) -> F64:
    """[P] `ufunc` over values[low:high] of each point; `empty` where low = high.

    Ranges are visited in order of `low`: numpy's reduceat also reduces what lies between two ranges, and this keeps
    that to one pass over `values` where ranges overlap only within a user.
    """
    result = np.full(len(low), empty, dtype=np.float64)
    filled = np.flatnonzero(low < high)
    order = filled[np.argsort(low[filled], kind="stable")]
    if len(order):
        bounds = np.stack([low[order], high[order]], axis=1).reshape(-1)
        result[order] = ufunc.reduceat(np.append(values, 0.0), bounds)[::2]
    return result


@dataclass(frozen=True, eq=False)
class ByCode:
    """Rows sorted by (user, code, row). One integer holds the three, so that a plain sort orders them."""

    key: I64  # [E] ascending: (user * codes + code + 1) * length + row within the user
    rows: I64  # [E] the row of each key
    codes: int
    length: int


def by_code(codes: I32, offsets: I64, highest: int = -1) -> ByCode:
    """Sort rows [E] by their code (-1: none) within each user; `highest` is the largest code that will be asked for."""
    lengths = np.diff(offsets)
    count, length = int(codes.max(initial=highest)) + 2, int(lengths.max(initial=0)) + 1
    base = np.repeat(offsets[:-1], lengths)
    owner = np.repeat(np.arange(len(lengths), dtype=np.int64) * count, lengths)
    key = np.sort((owner + codes + 1) * length + np.arange(len(codes)) - base)
    return ByCode(key, key % length + base, count, length)


def previous(order: ByCode) -> I64:
    """[E] the user's row before with the same code, -1: none; rows without a code get E."""
    result = np.full(len(order.rows), -1, dtype=np.int64)
    code = order.key // order.length
    same = code[1:] == code[:-1]
    result[order.rows[1:][same]] = order.rows[:-1][same]
    result[order.rows[code % order.codes == 0]] = len(order.rows)
    return result


def spread(low: I64, high: I64, chunk: int = 1 << 22) -> Iterator[tuple[I64, I64, I64]]:
    """The ranges [low, high) of P points row by row: which points [p], their rows, and where each point's rows end [p].

    At most about `chunk` rows (and one range) at a time.
    """
    sizes = high - low
    for part in np.split(np.arange(len(low)), np.flatnonzero(np.diff(np.cumsum(sizes) // chunk)) + 1):
        ends = np.cumsum(sizes[part])
        yield part, np.arange(sizes[part].sum()) + np.repeat(low[part] - ends + sizes[part], sizes[part]), ends


def distinct(earlier: I64, low: I64, high: I64, chunk: int = 1 << 22) -> I64:
    """[P] number of different codes within [low, high), each range inside one user's rows; `earlier` is `previous`.

    A row counts where its code's previous row lies before `low`.
    """
    sizes = high - low
    result = np.zeros(len(low), dtype=np.int64)
    for part, rows, ends in spread(low, high, chunk):
        counted = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(earlier[rows] < np.repeat(low[part], sizes[part]), out=counted[1:])
        result[part] = counted[ends] - counted[ends - sizes[part]]
    return result
