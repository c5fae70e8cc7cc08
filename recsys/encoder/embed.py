"""Arrow batches of profiles to Arrow batches of vectors: what the Spark UDF wraps, without Spark.

Shape letters: U users of an Arrow batch, E their behaviours, V items, D width, L window.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from recsys.days import moment_of
from recsys.encoder.forward import Launched
from recsys.encoder.sequences import last_windows, ragged
from recsys.encoder.trained import DESCRIPTION, WEIGHTS, TrainedEncoder
from recsys.errors import BundleError, ConfigError
from recsys.features.history import F32, I64, Histories, at_end, from_columns

UTC = pa.timestamp("us", tz="UTC")
READ = ("event_time", "behaviour", "item_id")  # what an encoder reads of a behaviour
TAKEN = ("user_id", *READ, "as_of")


def device_of(addresses: Sequence[str]) -> torch.device:
    """The device for the GPU addresses that a task was given: the first one, else the CPU.

    Raises ConfigError: an address that is no device number.
    """
    if not addresses:
        return torch.device("cpu")
    if not addresses[0].isdecimal():
        raise ConfigError(f"GPU address {addresses[0]!r} is no number; the discovery script must print device indices.")
    return torch.device(f"cuda:{addresses[0]}")


def load(folder: Path, device: torch.device) -> TrainedEncoder:
    """The encoder in `folder` on `device`, from this process's memory where its files have not changed.

    Raises BundleError: files absent or damaged. ConfigError: a GPU was assigned, but PyTorch sees none.
    """
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"The task was given {device}, but PyTorch {torch.__version__} sees no GPU on {socket.gethostname()}."
            " Install a CUDA build and driver there, or unset spark.task.resource.gpu.amount."
        )
    for name in (WEIGHTS, DESCRIPTION):
        if not (folder / name).is_file():
            raise BundleError(f"Encoder file {name!r} is missing in {str(folder)!r} on {socket.gethostname()}.")
    stamp = tuple((folder / name).stat().st_mtime_ns for name in (WEIGHTS, DESCRIPTION))
    return _load(folder, device, stamp)


@lru_cache(maxsize=2)
def _load(folder: Path, device: torch.device, stamp: tuple[int, ...]) -> TrainedEncoder:
    encoder = TrainedEncoder.load(folder)
    encoder.model.to(device)
    return encoder


def embed_batches(encoder: TrainedEncoder, bundle: str, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """For each batch of (user_id, READ, as_of) one of (user_id, bundle, vector, as_of, made_by), same rows and order.

    READ are lists side by side, oldest first: of a user all as long, or all NULL. Further columns follow as they are.
    Empty or NULL lists get a zero vector. Memory: two batches, of which L behaviours a user are kept. While a GPU works
    on one, the next is put together.
    """
    ahead: _Ahead | None = None
    for batch in batches:
        launched = _launch(encoder, batch)
        if ahead is not None:
            yield ahead.rows(bundle)
        ahead = launched
    if ahead is not None:
        yield ahead.rows(bundle)


@dataclass(frozen=True)
class _Ahead:
    """The vectors of one Arrow batch, perhaps still being worked out on a GPU."""

    ids: pa.Array
    as_of: pa.Array
    further: dict[str, pa.Array]
    vectors: Launched

    def rows(self, bundle: str) -> pa.RecordBatch:
        columns = _columns("user_id", self.ids, bundle, self.vectors.fetch(), self.as_of)
        return pa.RecordBatch.from_pydict(columns | self.further)


def _launch(encoder: TrainedEncoder, batch: pa.RecordBatch) -> _Ahead:
    histories = newest(batch, encoder.settings.length, encoder.behaviours)
    as_of = batch.column("as_of").cast(UTC)
    moments = np.asarray(as_of.cast(pa.int64()), dtype=np.int64)
    further = {name: batch.column(name) for name in batch.schema.names if name not in TAKEN}
    return _Ahead(batch.column("user_id"), as_of, further, encoder.launch(histories, at_end(histories, moments)))


def item_batch(encoder: TrainedEncoder, bundle: str, first: int, last: int) -> pa.RecordBatch:
    """(item_id, bundle, vector, as_of, made_by) of the vocabulary's items [first, last).

    `as_of` is the newest behaviour that the encoder learned from.
    """
    ids = pa.array(encoder.vocabulary.items[first:last], pa.string())
    known = pa.scalar(moment_of(encoder.newest), UTC)
    columns = _columns("item_id", ids, bundle, encoder.item_vectors()[first:last], pa.repeat(known, len(ids)))
    return pa.RecordBatch.from_pydict(columns)


def newest(batch: pa.RecordBatch, length: int, behaviours: Sequence[str]) -> Histories:
    """Each user's last `length` behaviours, of the columns READ: of the rest of a behaviour nothing is known."""
    lists = [batch.column(name) for name in READ]
    counts: I64 = pc.fill_null(pc.list_value_length(lists[0]), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    stop = np.cumsum(counts)
    kept = last_windows(stop - counts, stop, length)
    columns = [column.flatten() for column in lists]
    if int(counts.max(initial=0)) > length:
        rows = pa.array(ragged(kept.start, kept.lengths))
        columns = [column.take(rows) for column in columns]
    offsets = np.append(0, np.cumsum(kept.lengths))
    return from_columns(dict(zip(READ, columns, strict=True)), offsets, behaviours)


def _columns(key: str, ids: pa.Array, bundle: str, vectors: F32, as_of: pa.Array) -> dict[str, pa.Array]:
    size, width = vectors.shape
    offsets = np.arange(0, size * width + 1, width, dtype=np.int32)
    return {
        key: ids,
        "bundle": pa.repeat(pa.scalar(bundle), size),
        "vector": pa.ListArray.from_arrays(offsets, vectors.reshape(-1)),
        "as_of": as_of,
        "made_by": pa.repeat(pa.scalar(f"{socket.gethostname()}/{os.getpid()}"), size),
    }
