"""Checkpoints of streaming queries: one for each epoch of a query, with the settings that it was begun with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys.errors import RefusedError
from recsys.hadoop import place
from recsys.io import Warehouse
from recsys.tables import BATCHES

RESTS_ON = "rests_on"  # folder of a checkpoint


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A query's checkpoint. A new one is a new epoch, so that what it writes wins over what an older one wrote."""

    path: str
    epoch: int
    began: datetime | None  # start of its first committed batch
    done: int | None = None  # the newest batch that has ended
    pending: int | None = None  # the batch that was begun and not ended: it is replayed


def checkpoint(
    warehouse: Warehouse, root: str, query: str, rebuild: bool = False, *, epoch: int | None = None
) -> Checkpoint:
    """The query's checkpoint of `epoch`, by default the newest; with `rebuild`, or where there is none, the next."""
    if epoch is None:
        newest = newest_epoch(warehouse.spark, root, query)
        epoch = 0 if newest is None else newest + rebuild
    began = None
    if warehouse.exists(BATCHES):
        rows = warehouse.spark.read.format("delta").load(warehouse.path(BATCHES))
        first = rows.where((F.col("query") == query) & (F.col("epoch") == epoch)).agg(F.min("started_at")).first()
        began = first[0] if first else None
    path = path_of(root, query, epoch)
    begun, done = (_newest_batch(warehouse.spark, f"{path}/{log_}") for log_ in ("offsets", "commits"))
    return Checkpoint(path=path, epoch=epoch, began=began, done=done, pending=begun if begun != done else None)


def path_of(root: str, query: str, epoch: int) -> str:
    """Where a query's checkpoint of an epoch lies."""
    return f"{root.rstrip('/')}/{query}/epoch={epoch}"


def newest_epoch(spark: SparkSession, root: str, query: str) -> int | None:
    """The highest epoch that the query has a checkpoint of."""
    names = place(spark, f"{root.rstrip('/')}/{query}").names() or []
    return max((int(name.partition("=")[2]) for name in names if name.startswith("epoch=")), default=None)


def agree(spark: SparkSession, point: Checkpoint, rests_on: Mapping[str, str]) -> None:
    """Keep beside the checkpoint what the query's state and rows rest on, or compare with what is kept there.

    Raises RefusedError: the query was begun with something else, which it names.
    """
    if kept_by(spark, point.path) is None:  # absent, or the write was cut off
        line = spark.createDataFrame([(json.dumps(dict(rests_on)),)], "value string")
        line.coalesce(1).write.mode("overwrite").text(f"{point.path}/{RESTS_ON}")
        return
    changed = differing(spark, point.path, rests_on)
    if changed:
        raise RefusedError(
            f"{point.path!r} was begun with other settings: {'; '.join(changed)}. Take these back, or run "
            "jobs/rebuild.py: it computes the table anew from `events`, while readers go on with what is there."
        )


def kept_by(spark: SparkSession, path: str) -> dict[str, str] | None:
    """What the checkpoint at `path` rests on; None: it was not written down, or there is no checkpoint."""
    folder = f"{path}/{RESTS_ON}"
    if not place(spark, f"{folder}/_SUCCESS").exists():
        return None
    kept: dict[str, str] = json.loads("".join(row["value"] for row in spark.read.text(folder).collect()))  # one line
    return kept


def differing(spark: SparkSession, path: str, rests_on: Mapping[str, str]) -> list[str] | None:
    """What of `rests_on` differs from what the checkpoint at `path` keeps; None: it keeps nothing.

    What an earlier release did not write down is not compared.
    """
    kept = kept_by(spark, path)
    if kept is None:
        return None
    both = {name: (kept[name], now) for name, now in rests_on.items() if name in kept}
    return [f"{name} was {before}, now {now}" for name, (before, now) in both.items() if before != now]


def _newest_batch(spark: SparkSession, folder: str) -> int | None:
    return max((int(name) for name in place(spark, folder).names() or [] if name.isdecimal()), default=None)
