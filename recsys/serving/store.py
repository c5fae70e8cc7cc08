"""The online store: each user's newest profile by id, for answers that carry no behaviours. Implementations beside it.

A profile is versioned by the (epoch, batch) that wrote it into `user_profiles`; the newest version wins, so writing
the same rows again, or older ones late, changes nothing. Shape letters: E behaviours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from recsys.errors import StoreError
from recsys.features.history import FIELDS, Histories, from_columns

UTC = pa.timestamp("us", tz="UTC")
TYPES = (UTC, pa.string(), pa.string(), pa.int64(), pa.int64(), pa.float64())
SCHEMA = pa.schema(list(zip(FIELDS, TYPES, strict=True)))
CODEC, SIZE_BYTES, LARGEST = "lz4", 4, 16 << 20


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A user's state as the stream knew it."""

    user_id: str  # pseudonym
    epoch: int
    batch: int
    as_of: int  # time of the newest event, microseconds since 1970 UTC
    recent: bytes  # see `pack`


@dataclass(frozen=True, kw_only=True)
class StoreState:
    """How far the store has come; times in microseconds since 1970 UTC."""

    epoch: int
    batch: int
    as_of: int  # newest event that any put has brought
    put_at: int  # clock of the newest put


class OnlineStore(Protocol):
    """What the server reads and the follower writes. Every method raises StoreError where the store does not answer."""

    def get(self, user_id: str) -> Profile | None:
        """The user's newest profile; None: not in the store."""

    def put(self, profiles: Iterable[Profile]) -> int:
        """Write those that are newer than what is there; how many were. What is read meanwhile is old or new, whole."""

    def state(self) -> StoreState | None:
        """How far the store has come; None: nothing was ever put."""

    def close(self) -> None:
        """Give back files and connections."""


def flat(recent: pa.StructArray) -> pa.RecordBatch:
    """[E] behaviours with at least FIELDS as a batch of SCHEMA."""
    columns = [recent.field(name).cast(kind) for name, kind in zip(FIELDS, TYPES, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def pack(behaviours: pa.RecordBatch) -> bytes:
    """[E] one user's behaviours, a batch of SCHEMA, as bytes: a size, then LZ4 of the batch without its schema."""
    plain = behaviours.serialize()
    return int(plain.size).to_bytes(SIZE_BYTES, "big") + bytes(pa.compress(plain, codec=CODEC, asbytes=True))


def unpack(packed: bytes, names: tuple[str, ...], k: int) -> Histories:
    """One user's newest `k` behaviours; `names` in the order of their codes. StoreError: no bytes that `pack` made."""
    size = int.from_bytes(packed[:SIZE_BYTES], "big")
    try:
        if size > LARGEST:
            raise pa.ArrowInvalid(f"it claims {size} bytes")
        plain = pa.decompress(packed[SIZE_BYTES:], decompressed_size=size, codec=CODEC)
        batch = pa.ipc.read_record_batch(plain, SCHEMA)
    except (pa.ArrowInvalid, OSError) as error:
        raise StoreError(
            f"A profile in the online store cannot be read ({error}). Delete the store and start jobs/online.py with "
            "--rebuild."
        ) from None
    batch = batch.slice(max(batch.num_rows - k, 0))
    offsets = np.asarray([0, batch.num_rows], dtype=np.int64)
    return from_columns(dict(zip(FIELDS, batch.columns, strict=True)), offsets, names)


def advanced(state: StoreState | None, put: Profile) -> StoreState:
    """The state after a profile of a put; `put_at` is left to the end of the put."""
    if state is None:
        return StoreState(epoch=put.epoch, batch=put.batch, as_of=put.as_of, put_at=0)
    epoch, batch = max((state.epoch, state.batch), (put.epoch, put.batch))
    return StoreState(epoch=epoch, batch=batch, as_of=max(state.as_of, put.as_of), put_at=state.put_at)
