"""Random profiles in Parquet and an untrained encoder for them: what the embedding benchmarks read. No Spark.

Shape letters: U users, E their behaviours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from recsys.config import BEHAVIOURS, EncoderSettings
from recsys.encoder.embed import READ
from recsys.encoder.model import Encoder
from recsys.encoder.trained import TrainedEncoder
from recsys.encoder.vocabulary import Vocabulary

ITEMS = 12_000  # as many as Amazon Beauty, on which the limits were measured
SHORTEST, LONGEST = 5, 60  # behaviours of a user, both included
NAMES = tuple(BEHAVIOURS)
FILES = 4
BATCH = 10_000  # users of an Arrow batch, in Spark and beside it
BEGAN = 1_700_000_000_000_000
YEAR_US = 31_536_000_000_000
Batches = Iterator[pa.RecordBatch]


def batches(folder: Path, columns: Sequence[str] = ("user_id", "recent", "as_of")) -> Batches:
    """The profiles as Spark reads them, in this process."""
    for file in sorted(folder.glob("*.parquet")):
        yield from pq.ParquetFile(file).iter_batches(BATCH, columns=list(columns), use_threads=False)


def lists(folder: Path) -> Batches:
    """The profiles as the encoder's UDF gets them: what it reads of behaviours in lists side by side."""
    leaves = [f"recent.list.element.{name}" for name in READ]
    for batch in batches(folder, ("user_id", *leaves, "as_of")):
        recent = batch.column("recent")
        offsets, flat = pc.subtract(recent.offsets, recent.offsets[0]), recent.flatten()
        columns = {name: pa.ListArray.from_arrays(offsets, flat.field(name)) for name in READ}
        yield pa.RecordBatch.from_pydict(
            {"user_id": batch.column("user_id"), **columns, "as_of": batch.column("as_of")}
        )


def random_encoder(seed: int, settings: EncoderSettings | None = None) -> TrainedEncoder:
    """An untrained encoder, of the default shape if not told: its speed does not depend on its weights."""
    shape = settings or EncoderSettings()
    vocabulary = Vocabulary(tuple(f"i{n:05d}" for n in range(ITEMS)))
    model = Encoder(shape, ITEMS, len(NAMES), torch.Generator().manual_seed(seed)).eval()
    crowd = np.zeros(len(vocabulary), dtype=np.float32)
    return TrainedEncoder(
        settings=shape,
        vocabulary=vocabulary,
        behaviours=NAMES,
        model=model,
        learned=ITEMS,
        newest=0,
        crowd=crowd,
    )


def write_profiles(folder: Path, users: int, seed: int) -> None:
    """Random `user_profiles` rows (user_id, recent, as_of) in FILES Parquet files."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for part, rows in enumerate(np.array_split(np.arange(users), FILES)):
        lengths = rng.integers(SHORTEST, LONGEST + 1, len(rows))
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        size = int(offsets[-1])
        step = rng.integers(1, YEAR_US // LONGEST, size)
        time = BEGAN - YEAR_US + np.cumsum(step) - np.repeat((np.cumsum(step) - step)[offsets[:-1]], lengths)
        items = pa.DictionaryArray.from_arrays(
            rng.integers(0, ITEMS, size).astype(np.int32), pa.array(f"i{n:05d}" for n in range(ITEMS))
        )
        moments = pa.array(time, pa.timestamp("us", tz="UTC"))
        columns = {
            "event_id": pa.array(f"e{part}-{n:09x}" for n in range(size)),
            "event_time": moments,
            "behaviour": pa.array(NAMES).take(pa.array(rng.integers(1, len(NAMES), size))),
            "item_id": items.cast(pa.string()),
            "price_minor": pa.array(rng.integers(100, 90_000, size)),
            "quantity": pa.array(np.ones(size, dtype=np.int64)),
            "value": pa.nulls(size, pa.float64()),
        }
        recent = pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(list(columns.values()), list(columns)))
        ids, last = pa.array(f"{n:032x}" for n in rows), moments.take(pa.array(offsets[1:] - 1))
        table = pa.table({"user_id": ids, "recent": recent, "as_of": last})
        pq.write_table(table, folder / f"{part}.parquet", row_group_size=BATCH)
