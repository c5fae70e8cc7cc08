"""Top-N on executors: user profiles -> rows of tables.RECOMMENDATIONS. The models are loaded once per Python worker."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path

import pyarrow as pa
import torch
from pyspark import TaskContext
from pyspark.sql import DataFrame

from recsys.config import FeatureSettings, Settings, TopNSettings
from recsys.days import micros
from recsys.encoder.trained import TrainedEncoder
from recsys.errors import BundleError
from recsys.features.history import from_arrow
from recsys.features.item import ItemSnapshot
from recsys.ranking.trained import TrainedRanker
from recsys.tables import RECOMMENDATIONS
from recsys.topn.index import ItemIndex, build_index
from recsys.topn.recommend import recommend

COLUMNS = tuple(column for column in RECOMMENDATIONS.columns if column.name not in {"epoch", "batch"})
SCHEMA = ", ".join(f"`{column.name}` {column.type}" for column in COLUMNS)
UTC = pa.timestamp("us", tz="UTC")
Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True, kw_only=True)
class ModelPaths:
    """Where executors read what ranks: folders of the encoder and the ranker, and the file of an item snapshot."""

    encoder: str
    ranker: str
    snapshot: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Models:
    """What `recommend` needs, in memory."""

    encoder: TrainedEncoder
    ranker: TrainedRanker
    index: ItemIndex


def load_models(paths: ModelPaths, features: FeatureSettings, topn: TopNSettings) -> Models:
    """The models and the index, from this process's memory where their files are those that were read before.

    Raises BundleError: a path that this machine cannot see, or files that do not fit.
    """
    files = tuple(file for path in (paths.encoder, paths.ranker, paths.snapshot) for file in _files(path))
    return _load(paths, features, topn, files)


def recommend_users(profiles: DataFrame, paths: ModelPaths, bundle: str, at: datetime, settings: Settings) -> DataFrame:
    """Each user's Top-N, made at the moment `at` (with its zone) for the day to come.

    Columns are those of tables.RECOMMENDATIONS without epoch and batch. `profiles` has user_id and recent
    (tables.USER_PROFILES), one row a user; an empty or NULL `recent` is a cold user. `bundle` is written into each row.
    `made_by` is the host and process that ran the model: an executor's, never the driver's. Memory of a worker: models,
    index, one Arrow batch of profiles and `recommend`'s block.
    """
    return profiles.select("user_id", "recent").mapInArrow(partial(_lists, paths, bundle, micros(at), settings), SCHEMA)


def _lists(paths: ModelPaths, bundle: str, at: int, settings: Settings, batches: Batches) -> Batches:
    models = load_models(paths, settings.features, settings.topn)
    behaviours = tuple(settings.behaviours)
    snapshot = models.index.snapshot
    for batch in batches:
        history = from_arrow(batch.column("recent"), behaviours)
        found = recommend(
            history,
            at,
            models.encoder,
            models.ranker,
            snapshot,
            behaviours,
            settings.features,
            settings.topn,
            models.index,
            ahead=True,
        )
        rows = batch.num_rows
        columns = [
            batch.column("user_id"),
            pa.repeat(pa.scalar(bundle), rows),
            pa.repeat(pa.scalar(at, UTC), rows),
            found.to_arrow(snapshot.items),
            pa.repeat(pa.scalar(made_by()), rows),
        ]
        yield pa.RecordBatch.from_arrays(columns, names=[column.name for column in COLUMNS])


def made_by() -> str:
    """`host/pid` of this process."""
    return f"{socket.gethostname()}/{os.getpid()}"


@lru_cache(maxsize=4)
def _load(
    paths: ModelPaths, features: FeatureSettings, topn: TopNSettings, _: tuple[tuple[str, int, int], ...]
) -> Models:
    task = TaskContext.get()
    if task is not None:
        torch.set_num_threads(task.cpus())  # the other cores run other tasks
    encoder = TrainedEncoder.load(Path(paths.encoder))
    snapshot = ItemSnapshot.load(Path(paths.snapshot), features)
    ranker = TrainedRanker.load(Path(paths.ranker))
    return Models(encoder=encoder, ranker=ranker, index=build_index(encoder, snapshot, topn))


def _files(path: str) -> list[tuple[str, int, int]]:
    """Name, size and time of change of each file: a path that was written anew is read anew."""
    root = Path(path)
    if not root.exists():
        raise BundleError(f"{path!r} does not exist on {socket.gethostname()}: executors must be able to read it.")
    files = sorted(root.rglob("*")) if root.is_dir() else [root]
    return [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]
