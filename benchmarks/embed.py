"""Users' vectors and Top-10 lists through Spark, beside the same work in one plain process on the same cores.

Both sides read the same Parquet files in batches of the same size; Spark throws its rows away (`noop`).

Shape letters: U users, E their behaviours.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # one thread a task, before PyTorch starts more

import numpy as np
import pyarrow as pa
import torch
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from benchmarks._profiles import BATCH, BEGAN, ITEMS, NAMES, Batches, batches, lists, random_encoder, write_profiles
from benchmarks._record import FEWEST, Figure, Run, Timing, main, once
from recsys.config import FeatureSettings, Settings, TopNSettings
from recsys.encoder.embed import newest
from recsys.encoder.spark import embed_users, encoder_of_task
from recsys.encoder.trained import TrainedEncoder
from recsys.features.definitions import ITEM_FEATURES
from recsys.features.history import at_end, from_arrow
from recsys.features.item import ItemSnapshot
from recsys.io import VERSION
from recsys.session import open_session
from recsys.topn.index import ItemIndex, build_index
from recsys.topn.recommend import TopN, recommend

LEAST_UDF, LEAST_SPARK, LEAST_USERS = 0.9, 0.7, 8000
NEAREST = TopNSettings(n=10, popular=0)
LISTS = "user_id string, items array<string>"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The benchmark's own options."""
    parser.add_argument("--users", type=int, default=100_000)


def measure(run: Run, asked: argparse.Namespace) -> None:
    """Vectors, then Top-10; Spark and the plain process in turn, all on one core."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # before the JVM starts, which inherits it
    torch.set_num_threads(1)
    users = 8_000 if asked.quick else asked.users
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_profiles(folder / "profiles", users, run.seed)
        encoder = random_encoder(run.seed)
        encoder.save(folder / "encoder")
        own = {"spark.master": "local[1]", "spark.sql.execution.arrow.maxRecordsPerBatch": str(BATCH)}
        spark = open_session(Settings(warehouse=f"{folder}/warehouse", spark=own), "benchmark embed")
        version = dict.fromkeys(VERSION, F.lit(0).cast("bigint"))
        profiles = spark.read.parquet(f"{folder}/profiles").withColumns(version)
        index = build_index(encoder, random_snapshot(encoder, run.seed), NEAREST)
        vectors = both(
            lambda: drained(embed_users(profiles, str(folder / "encoder"), "benchmark")),
            lambda: [vectors_of(encoder, batch) for batch in lists(folder / "profiles")],
        )
        udf = partial(top_batches, str(folder / "encoder"), run.seed)
        top = both(
            lambda: drained(
                profiles.select("user_id", "recent").mapInArrow(udf, "user_id string, items array<string>")
            ),
            lambda: [top_of(encoder, index, batch) for batch in batches(folder / "profiles")],
        )
        spark.stop()
    add(run, users, vectors, top)


def add(run: Run, users: int, vectors: tuple[Timing, Timing], lists: tuple[Timing, Timing]) -> None:
    """The three figures."""
    for metric, what, (ours, plain), least in (
        ("udf_vs_torch", "vectors", vectors, LEAST_UDF),
        ("spark_vs_process", "Top-10 lists", lists, LEAST_SPARK),
    ):
        figure = Figure(
            metric=metric,
            value=users / ours.median,
            unit="users/s",
            rows=users,
            seconds=ours.median,
            peer="one process",
            peer_value=users / plain.median,
            ratio=plain.median / ours.median,
            more={"note": f"{what}; wanted: a ratio of {least} or more"},
        )
        run.add(figure)
    rate = users / lists[1].median
    note = f"Top-10 of {ITEMS} items in one process: encoding, seen items left out, no ranker"
    figure = Figure(
        metric="users_per_s_core",
        value=rate,
        unit="users/s",
        rows=users,
        seconds=lists[1].median,
        peer="limit",
        peer_value=LEAST_USERS,
        ratio=rate / LEAST_USERS,
        more={"note": note},
    )
    run.add(figure)


def both(spark: Callable[[], object], plain: Callable[[], object]) -> tuple[Timing, Timing]:
    """Spark's and the plain process's times, alternating, after one run of each that warms up."""
    spark(), plain()
    rounds = [(once(spark), once(plain)) for _ in range(FEWEST)]
    return Timing(tuple(s for s, _ in rounds)), Timing(tuple(p for _, p in rounds))


def drained(rows: DataFrame) -> None:
    """Compute all rows and throw them away."""
    rows.write.format("noop").mode("overwrite").save()


def vectors_of(encoder: TrainedEncoder, batch: pa.RecordBatch) -> object:
    """[U, D] of one batch."""
    h = newest(batch, encoder.settings.length, encoder.behaviours)
    return encoder.encode(h, at_end(h, 0))


def top_of(encoder: TrainedEncoder, index: ItemIndex, batch: pa.RecordBatch) -> TopN:
    """The 10 nearest unseen items of each user of one batch."""
    h = from_arrow(batch.column("recent"), encoder.behaviours)
    return recommend(h, BEGAN, encoder, None, index.snapshot, NAMES, FeatureSettings(), NEAREST, index)


def top_batches(encoder_path: str, seed: int, batches: Batches) -> Batches:
    """`top_of` on an executor."""
    encoder = encoder_of_task(encoder_path)
    index = build_index(encoder, random_snapshot(encoder, seed), NEAREST)
    for batch in batches:
        found = top_of(encoder, index, batch).to_arrow(index.snapshot.items)
        items = pa.ListArray.from_arrays(found.offsets, found.flatten().field("item_id"))
        yield pa.RecordBatch.from_arrays([batch.column("user_id"), items], names=["user_id", "items"])


def random_snapshot(encoder: TrainedEncoder, seed: int) -> ItemSnapshot:
    """All items of the encoder, in stock."""
    rng = np.random.default_rng(seed)
    return ItemSnapshot(
        items=encoder.vocabulary.items,
        features=rng.integers(0, 50, (ITEMS, len(ITEM_FEATURES))).astype(np.float32),
        price=rng.integers(100, 90_000, ITEMS),
        category=(None,) * ITEMS,
        title=(None,) * ITEMS,
        in_stock=np.ones(ITEMS, dtype=np.bool_),
        at=BEGAN,
    )


if __name__ == "__main__":
    sys.exit(main("embed", __doc__ or "", measure, arguments=arguments))
