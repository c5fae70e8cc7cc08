"""Two nights of a tiny simulated shop, through every job, in one session."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobs import embed, evaluate, nightly, simulate
from recsys.config import Settings, load
from recsys.job import run
from tests.jobs.conftest import own_process, write_conf

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SHOP = (
    "users=250",
    "items=150",
    "events_per_day=2500",
    "cluster_items=15",
    "bots=2",
    "joining_users=0",
    "launched_items=0",
)
FIRST, SECOND = date(2025, 3, 6), date(2025, 3, 7)  # days 4 and 5 of the shop
SMALL = {
    "encoder": {"dim": 16, "length": 10, "epochs": 2, "batch": 64, "negatives": 64},
    "ranker": {"days": 1, "hidden": [8], "epochs": 2, "batch": 256},
    "features": {"k": 32},
    "topn": {"candidates": 30, "popular": 10},
    "evaluate": {"resamples": 100, "step_minutes": 60},
    "registry": {"resamples": 100},
}


@dataclass
class Nights:
    conf: str
    settings: Settings
    codes: list[int] = field(default_factory=list)


def test_x(spark: SparkSession, tmp_path: Path) -> None:
    import time

    with own_process():
        conf = write_conf(tmp_path, **SMALL)
        t = time.time()
        assert simulate.main(["--out", f"{tmp_path}/shop", "--days", "1..4", *(f"--set={s}" for s in SHOP)]) == 0
        print("simulate", time.time() - t)
        print(run(nightly.JOB, nightly.main, ["--conf", conf, "--date", FIRST.isoformat()]))
        assert simulate.main(["--out", f"{tmp_path}/shop", "--days", "5", *(f"--set={s}" for s in SHOP)]) == 0
        print(run(nightly.JOB, nightly.main, ["--conf", conf, "--date", SECOND.isoformat()]))
        import subprocess

        subprocess.run(["cp", "-r", str(tmp_path), "/tmp/night"])
