"""The query `user_profiles -> online store`: a follower of the table, so that the stream itself waits for no store.

It may read a profile before the batch is committed; a batch that is cut off is written again with the same rows. It
takes the epoch that readers see, and begins anew with the next one.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from recsys.days import SECOND
from recsys.errors import NoDataError, RefusedError
from recsys.features.stream import served_epoch
from recsys.io import Warehouse
from recsys.log import event
from recsys.serving.store import OnlineStore, Profile, flat, pack
from recsys.tables import USER_PROFILES

QUERY = "online"
FILES = 16  # of `user_profiles` in one micro-batch: bounds what the driver holds of the first fill
PACKED = "user_id string, epoch bigint, batch bigint, as_of bigint, recent binary"
Batches = Iterator[pa.RecordBatch]
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Put:
    """Writes one micro-batch. Executors pack the profiles, the driver's process writes them into the store."""

    store: OnlineStore
    warehouse: Warehouse
    epoch: int  # of the rows to put: those of a rebuild that has not ended are nobody's yet

    def __call__(self, batch: DataFrame, number: int) -> None:
        """Put the batch's profiles; those that the store knows already, or newer ones of, change nothing.

        RefusedError: readers have gone on to another epoch.
        """
        check_followed(self.warehouse, self.epoch)
        mine = batch.where(F.col("epoch") == self.epoch)
        packed = mine.select("user_id", "epoch", "batch", "as_of", "recent").mapInArrow(packed_profiles, PACKED)
        written = self.store.put(profiles(packed.toLocalIterator(prefetchPartitions=True)))
        state = self.store.state()
        lag = None if state is None else round(time.time() - state.as_of / SECOND, 3)
        event(log, "profiles put", query=QUERY, batch=number, users=written, newest_event_s_ago=lag)


def profiles_stream(warehouse: Warehouse) -> DataFrame:
    """All rows of `user_profiles`, then each that is appended."""
    reader = warehouse.spark.readStream.format("delta").option("skipChangeCommits", "true")
    return reader.option("maxFilesPerTrigger", FILES).load(warehouse.path(USER_PROFILES))


def from_the_beginning(store: OnlineStore, *, asked: bool) -> bool:
    """Whether the query begins anew: it was asked to, or its checkpoint knows of puts that an empty store lacks."""
    return asked or store.state() is None


def followed_epoch(warehouse: Warehouse) -> int:
    """The epoch of `user_profiles` that readers see. NoDataError: there are no profiles yet."""
    served = served_epoch(warehouse)
    if served is None:
        raise NoDataError(f"{USER_PROFILES.name!r} has no rows under {warehouse.root!r}: run jobs/stream.py first.")
    return served


def check_followed(warehouse: Warehouse, epoch: int) -> None:
    """RefusedError where readers see another epoch than the one that is followed."""
    served = served_epoch(warehouse)
    if served != epoch:
        raise RefusedError(
            f"readers see epoch {served} of {USER_PROFILES.name!r} since jobs/rebuild.py ended, and this query "
            f"follows epoch {epoch}: start jobs/online.py again, it will put all profiles of the new one."
        )


def query_of(where: str, epoch: int) -> str:
    """Name of the query that fills the store at `where`: each store and epoch has a checkpoint of its own."""
    return f"{QUERY}-{hashlib.sha256(where.encode()).hexdigest()[:8]}-{epoch}"


def packed_profiles(batches: Batches) -> Batches:
    """Arrow batches of (user_id, epoch, batch, as_of, recent) with `recent` packed and `as_of` in microseconds."""
    for batch in batches:
        recent = batch.column("recent")
        behaviours = flat(recent.flatten())
        lengths = np.asarray(recent.value_lengths().fill_null(0), dtype=np.int64)
        starts = np.cumsum(lengths) - lengths
        packed = [
            pack(behaviours.slice(start, size)) for start, size in zip(starts.tolist(), lengths.tolist(), strict=True)
        ]
        as_of = batch.column("as_of").cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
        columns = [batch.column("user_id"), batch.column("epoch"), batch.column("batch"), as_of]
        names = ["user_id", "epoch", "batch", "as_of", "recent"]
        yield pa.RecordBatch.from_arrays([*columns, pa.array(packed, pa.binary())], names=names)


def profiles(rows: Iterable[Row]) -> Iterator[Profile]:
    """Rows of PACKED as profiles; one without an event has nothing to say."""
    for row in rows:
        if row["user_id"] is not None and row["as_of"] is not None:
            yield Profile(
                user_id=row["user_id"],
                epoch=row["epoch"],
                batch=row["batch"],
                as_of=row["as_of"],
                recent=bytes(row["recent"]),
            )
