"""Ragged integer lists: one list a row, flattened. Shape letters: U rows, E values of all rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.features.history import I64


@dataclass(frozen=True, kw_only=True)
class Ragged:
    """U lists of integers; row u owns values[offsets[u] : offsets[u + 1]]."""

    offsets: I64  # [U + 1]
    values: I64  # [E]

    @property
    def lengths(self) -> I64:
        """[U] values of each row."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> I64:
        """[E] the row of each value."""
        return np.repeat(np.arange(len(self.offsets) - 1, dtype=np.int64), self.lengths)

    def slice(self, first: int, last: int) -> Ragged:
        """Rows [first, last)."""
        start, end = self.offsets[first], self.offsets[last]
        return Ragged(offsets=self.offsets[first : last + 1] - start, values=self.values[start:end])

    def take(self, rows: I64) -> Ragged:
        """The rows at `rows`, in that order."""
        lengths = self.lengths[rows]
        stop = np.cumsum(lengths)
        places = np.repeat(self.offsets[rows] - stop + lengths, lengths) + np.arange(int(lengths.sum()), dtype=np.int64)
        return Ragged(offsets=np.concatenate([[0], stop]).astype(np.int64), values=self.values[places])

    def without(self, absent: int = -1) -> Ragged:
        """The same rows without the values equal to `absent`."""
        keep = self.values != absent
        before = np.concatenate([[0], np.cumsum(keep)]).astype(np.int64)
        return Ragged(offsets=before[self.offsets], values=self.values[keep])

    def padded(self, width: int | None = None, fill: int = -1) -> I64:
        """[U, width] with `fill` after each row's end; longer rows are cut. Default width: the longest row."""
        lengths = self.lengths
        if width is None:
            width = int(lengths.max(initial=0))
        places = np.arange(width, dtype=np.int64)
        taken = places < lengths[:, None]
        out = np.full(taken.shape, fill, dtype=np.int64)
        out[taken] = self.values[(self.offsets[:-1, None] + places)[taken]]
        return out


def from_padded(matrix: I64, absent: int = -1) -> Ragged:
    """Rows of `matrix` [U, W] without the values equal to `absent`, in order."""
    taken = matrix != absent
    offsets = np.zeros(len(matrix) + 1, dtype=np.int64)
    np.cumsum(taken.sum(axis=1), out=offsets[1:])
    return Ragged(offsets=offsets, values=matrix[taken].astype(np.int64))
