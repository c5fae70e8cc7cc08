"""Ragged behaviour histories: the one in-memory form that features, encoder and Top-N read. NumPy and Arrow only.

Shape letters: U users, E behaviours of all users, P points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
F32 = npt.NDArray[np.float32]
Number = TypeVar("Number", np.int64, np.float64)
MISSING = -1


@dataclass(frozen=True, kw_only=True)
class Histories:
    """The engaged behaviours of U users, flattened; each user's in total order (event_time, event_id), oldest first.

    `item` indexes `items`, a dictionary local to this object; a consumer translates the dictionary once.
    """

    offsets: I64  # [U + 1]; user u owns [offsets[u], offsets[u + 1])
    time: I64  # [E] microseconds since 1970 UTC
    behaviour: I8  # [E] index into the behaviour names; MISSING: not a known behaviour
    item: I32  # [E] index into `items`; MISSING: no item
    price: I64  # [E] minor units; MISSING: unknown
    quantity: I64  # [E] pieces
    value: F64  # [E] NaN: none
    items: tuple[str, ...]

    @property
    def users(self) -> int:
        """U."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> I64:
        """[U] behaviours of each user."""
        return np.diff(self.offsets)


@dataclass(frozen=True, kw_only=True)
class Points:
    """P questions (start, end, at): what do behaviours [start, end) say at time `at`?

    "As of" is a position: a training label at position p asks with end = p, so it never sees itself or its ties.
    """

    start: I64  # [P] first behaviour
    end: I64  # [P] one past the last
    at: I64  # [P] microseconds since 1970 UTC


def at_end(histories: Histories, at: I64 | int) -> Points:
    """One point for each user, over the whole history, at the given time: what stream, snapshot and server ask."""
    moments = np.broadcast_to(np.asarray(at, dtype=np.int64), (histories.users,))
    return Points(start=histories.offsets[:-1], end=histories.offsets[1:], at=moments)


def from_arrow(recent: pa.ListArray | pa.ChunkedArray, behaviours: Sequence[str]) -> Histories:
    """Read a column of `recent` (tables.RECENT_TYPE, oldest first). A NULL list is an empty history."""
    lists = recent.combine_chunks() if isinstance(recent, pa.ChunkedArray) else recent
    if isinstance(lists, pa.ChunkedArray):  # zero chunks
        lists = pa.concat_arrays(lists.chunks) if lists.num_chunks else pa.array([], lists.type)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = np.zeros(len(lists) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    flat = lists.flatten()
    return from_columns({name: flat.field(name) for name in FIELDS}, offsets, behaviours)


FIELDS = ("event_time", "behaviour", "item_id", "price_minor", "quantity", "value")


def from_columns(columns: Mapping[str, pa.Array], offsets: I64, behaviours: Sequence[str]) -> Histories:
    """Build histories from flat Arrow columns (FIELDS), each user's rows contiguous and in total order.

    Of price_minor, quantity and value any may be absent: then it is unknown of all.
    """
    times = columns["event_time"].cast(pa.timestamp("us", tz=columns["event_time"].type.tz))
    encoded = columns["item_id"].dictionary_encode()
    names = pa.array(list(behaviours), pa.string())
    codes = pc.index_in(columns["behaviour"].cast(pa.string()), value_set=names)
    return Histories(
        offsets=np.asarray(offsets, dtype=np.int64),
        time=times.cast(pa.int64()).to_numpy(zero_copy_only=False).astype(np.int64),
        behaviour=pc.fill_null(codes, MISSING).to_numpy(zero_copy_only=False).astype(np.int8),
        item=pc.fill_null(encoded.indices, MISSING).to_numpy(zero_copy_only=False).astype(np.int32),
        price=_filled(columns.get("price_minor"), np.int64(MISSING), len(times)),
        quantity=_filled(columns.get("quantity"), np.int64(1), len(times)),
        value=_filled(columns.get("value"), np.float64(np.nan), len(times)),
        items=tuple(encoded.dictionary.to_pylist()),
    )


def _filled(column: pa.Array | None, unknown: Number, size: int) -> npt.NDArray[Number]:
    """[size] of the type of `unknown`, which stands where the column says nothing."""
    if column is None:
        return np.full(size, unknown)
    filled = pc.fill_null(column, unknown.item()).to_numpy(zero_copy_only=False)
    return np.asarray(filled.astype(unknown.dtype))
