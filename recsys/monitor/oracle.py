"""The oracle's lists of a simulated shop: an upper bound that knows how the shop was made. Runs on executors."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from recsys.config import Settings
from recsys.days import micros, start_of
from recsys.pseudonyms import pseudonymiser
from recsys.simulate.truth import open_truth, true_scores

ORACLE = "oracle"
BLOCK = 256  # users scored at once: 256 x 5,500 items x 16 bytes = 23 MB
LISTED = 200  # best items of a user, before those that they have seen leave


def truth_folder(source: str) -> Path | None:
    """The shop's folder where `source` is its `events` folder; None: the source is no simulated shop."""
    parts = urlparse(source)
    shop = Path(unquote(parts.path) if parts.scheme == "file" else source).parent
    return shop if (shop / "truth" / "shop.json").is_file() else None


def oracle_lists(spark: SparkSession, shop: Path, day: date, settings: Settings) -> DataFrame:
    """`user_id` and `items` of each user: the LISTED likeliest items of the business day, by the shop's own truth.

    The truth knows the day's prices, stock and trends, but nothing that its users do on it.
    """
    users = open_truth(shop).settings.users
    at = micros(start_of(day, settings.timezone))
    task = partial(_lists, shop, at, settings.pseudonym_key_file)
    numbers = spark.range(0, users, 1, spark.sparkContext.defaultParallelism)
    return numbers.mapInArrow(task, "user_id string, items array<string>")


def _lists(shop_folder: Path, at: int, key_file: str, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    shop, hashed = open_truth(shop_folder), pseudonymiser(key_file)
    names = pa.array([f"i{item:05d}" for item in range(shop.settings.items)])
    listed = min(LISTED, len(names))
    for batch in batches:
        for low in range(0, batch.num_rows, BLOCK):
            users = batch.column("id").slice(low, BLOCK).to_numpy().astype(np.int64)
            scores = true_scores(shop, users, at)
            best = np.argpartition(-scores, listed - 1, axis=1)[:, :listed]
            order = np.take_along_axis(scores, best, axis=1).argsort(axis=1)[:, ::-1]
            flat = names.take(pa.array(np.take_along_axis(best, order, axis=1).ravel()))
            offsets = np.arange(0, len(flat) + 1, listed, dtype=np.int32)
            ids = pa.array([hashed(f"u{user:06d}") for user in users])
            yield pa.RecordBatch.from_arrays([ids, pa.ListArray.from_arrays(offsets, flat)], ["user_id", "items"])
