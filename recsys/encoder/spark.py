"""Embeddings on executors: profiles -> rows of tables.USER_EMBEDDINGS, an encoder -> rows of tables.ITEM_EMBEDDINGS."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlparse

import pyarrow as pa
import torch
from pyspark import SparkFiles, TaskContext
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.encoder import embed
from recsys.encoder.trained import TrainedEncoder
from recsys.errors import BundleError
from recsys.io import VERSION
from recsys.tables import ITEM_EMBEDDINGS, USER_EMBEDDINGS

Batches = Iterator[pa.RecordBatch]


def embed_users(profiles: DataFrame, encoder_path: str, bundle_id: str) -> DataFrame:
    """A vector for each row of `profiles` (user_id, recent, as_of, epoch, batch): tables.USER_EMBEDDINGS.

    It bears the version of the profile that it was made of, so that of two vectors the one of the newer profile wins,
    whoever made it and when. `encoder_path` is a folder that executors can read: a path, a file: URI, or the name of a
    folder that was shipped with `SparkContext.addFile(..., recursive=True)`. A Python worker loads the model once.
    """
    # Side by side, not as structs: what an encoder does not read of a behaviour is neither scanned nor sent to Python.
    lists = (F.col(f"recent.{name}").alias(name) for name in embed.READ)
    wanted = profiles.select("user_id", *lists, "as_of", *VERSION)
    return wanted.mapInArrow(partial(_users, encoder_path, bundle_id), USER_EMBEDDINGS.ddl)


def embed_items(spark: SparkSession, encoder_path: str, bundle_id: str, parts: int = 1) -> DataFrame:
    """A vector for each item of the encoder: tables.ITEM_EMBEDDINGS without epoch and batch, made in `parts` tasks."""
    numbers = spark.range(0, parts, 1, parts)
    made = ", ".join(f"`{c.name}` {c.type}" for c in ITEM_EMBEDDINGS.columns if c.name not in VERSION)
    return numbers.mapInArrow(partial(_items, encoder_path, bundle_id, parts), made)


def encoder_of_task(encoder_path: str) -> TrainedEncoder:
    """The encoder on the device and with the threads that Spark gave to the running task; on a driver, on the CPU.

    Raises BundleError: this machine cannot see the files.
    """
    task = TaskContext.get()
    gpus = task.resources().get("gpu") if task else None
    if task:
        torch.set_num_threads(max(task.cpus(), 1))
    return embed.load(resolve(encoder_path), embed.device_of(gpus.addresses if gpus else ()))


def resolve(encoder_path: str) -> Path:
    """The local folder behind a path, a file: URI or a name in SparkFiles. BundleError: there is none."""
    uri = urlparse(encoder_path)
    path = Path(unquote(uri.path)) if uri.scheme == "file" else Path(encoder_path)
    if path.is_dir():
        return path
    shipped = None if path.is_absolute() else Path(SparkFiles.get(encoder_path))
    if shipped is not None and shipped.is_dir():
        return shipped
    looked = f"{str(path)!r}" + (f" and {str(shipped)!r}" if shipped else "")
    raise BundleError(f"No encoder folder at {looked}. Use a path that every executor sees, or ship it by addFile.")


def _users(encoder_path: str, bundle: str, batches: Batches) -> Batches:
    return embed.embed_batches(encoder_of_task(encoder_path), bundle, batches)


def _items(encoder_path: str, bundle: str, parts: int, batches: Batches) -> Batches:
    encoder = encoder_of_task(encoder_path)
    size = len(encoder.vocabulary)
    for batch in batches:
        for part in batch.column("id").to_pylist():
            yield embed.item_batch(encoder, bundle, part * size // parts, (part + 1) * size // parts)
