"""What the ranker's attention costs: Top-N lists and training, beside the same ranker without it. One thread.

50 thousand items, 200 candidates, 512 users of 1 to 256 behaviours in one call, as the nightly lists are made.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # before NumPy and PyTorch start more

import numpy as np
import pyarrow as pa
import torch

from benchmarks._bundle import NAMES, random_ranker, random_recent, synthetic_bundle
from benchmarks._record import Figure, Run, main, once
from recsys.features.history import Histories, from_arrow
from recsys.serving.store import SCHEMA

USERS, K, ROUNDS = 512, 256, 7
LENGTHS = (0, 20, 50)
TRAINED, EPOCHS = 100_000, 4


def measure(run: Run, asked: argparse.Namespace) -> None:
    """Lists by turns, then a training of each length."""
    torch.set_num_threads(1)
    now = time.time_ns() // 1000
    users = USERS // 8 if asked.quick else USERS
    with tempfile.TemporaryDirectory() as name:
        bundle = synthetic_bundle(Path(name) / "b", run.seed, now)
        bundles = [replace(bundle, ranker=random_ranker(run.seed, length)[0]) for length in LENGTHS]
        h = histories(users, run.seed, now)
        for one in bundles:
            one.recommend(h, now)
        turns = [[seconds(lambda one=one: one.recommend(h, now)) for one in bundles] for _ in range(ROUNDS)]  # type: ignore[misc]
        report(run, "lists", "users/CPU-s", users, [median(times) for times in zip(*turns, strict=True)])
    count = TRAINED // 10 if asked.quick else TRAINED
    trained = [seconds(lambda n=n: random_ranker(run.seed, n, count, EPOCHS)) for n in LENGTHS]  # type: ignore[misc]
    report(run, "training", "examples/CPU-s", count * EPOCHS, trained)


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process: other work on the machine does not count."""
    return once(work, time.process_time)


def histories(users: int, seed: int, at: int) -> Histories:
    """Of random users."""
    rng = np.random.default_rng(seed)
    rows = [[{"quantity": 1, **row} for row in random_recent(rng, K, at)] for _ in range(users)]
    return from_arrow(pa.array(rows, pa.list_(pa.struct(list(SCHEMA)))), NAMES)


def report(run: Run, what: str, unit: str, rows: int, seconds: list[float]) -> None:
    """A figure for each length; those with attention beside the one without."""
    alone = rows / seconds[0]
    for length, taken in zip(LENGTHS, seconds, strict=True):
        figure = Figure(metric=f"{what}_{length}_behaviours", value=rows / taken, unit=unit, rows=rows, seconds=taken)
        run.add(
            replace(figure, peer="no attention", peer_value=alone, ratio=rows / taken / alone) if length else figure
        )


if __name__ == "__main__":
    sys.exit(main("attention", __doc__.splitlines()[0], measure))
