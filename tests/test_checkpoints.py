"""A checkpoint for each epoch, and what it was begun with."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from recsys import checkpoints
from recsys.errors import RefusedError
from recsys.io import Commit, Warehouse

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def point(folder: Path) -> checkpoints.Checkpoint:
    return checkpoints.Checkpoint(path=str(folder / "epoch=0"), epoch=0, began=None)


def test_a_query_has_a_checkpoint_for_each_epoch(spark: SparkSession, tmp_path: Path) -> None:
    warehouse, root = Warehouse(spark, f"{tmp_path}/w"), f"{tmp_path}/c/"
    first = checkpoints.checkpoint(warehouse, root, "q")
    assert first == checkpoints.Checkpoint(path=f"{tmp_path}/c/q/epoch=0", epoch=0, began=None)
    assert checkpoints.newest_epoch(spark, root, "q") is None
    assert checkpoints.checkpoint(warehouse, root, "q", rebuild=True).epoch == 0  # there is nothing to rebuild
    for epoch in (0, 2, 10):
        (tmp_path / "c" / "q" / f"epoch={epoch}").mkdir(parents=True)
    (tmp_path / "c" / "q" / "notes").mkdir()
    for name in ("offsets/9", "offsets/10", "commits/9"):
        (tmp_path / "c" / "q" / "epoch=10" / name).mkdir(parents=True)
    warehouse.finish(Commit(query="q", epoch=10, batch=0), {}, NOW.replace(hour=4))
    warehouse.finish(Commit(query="q", epoch=10, batch=1), {}, NOW.replace(hour=5))
    warehouse.finish(Commit(query="q", epoch=2, batch=0), {}, NOW)
    again = checkpoints.checkpoint(warehouse, root, "q")
    assert (again.epoch, again.began, again.done, again.pending) == (10, datetime(2026, 1, 1, 4), 9, 10)
    (tmp_path / "c" / "q" / "epoch=10" / "commits" / "10").mkdir()
    ended = checkpoints.checkpoint(warehouse, root, "q")
    assert (ended.done, ended.pending) == (10, None)
    assert checkpoints.newest_epoch(spark, root, "q") == 10
    rebuilt = checkpoints.checkpoint(warehouse, root, "q", rebuild=True)
    assert rebuilt == checkpoints.Checkpoint(path=f"{tmp_path}/c/q/epoch=11", epoch=11, began=None)
    older = checkpoints.checkpoint(warehouse, root, "q", epoch=2)
    assert older == checkpoints.Checkpoint(path=f"{tmp_path}/c/q/epoch=2", epoch=2, began=datetime(2026, 1, 1))
    assert checkpoints.checkpoint(warehouse, root, "other").epoch == 0


def test_a_checkpoint_is_kept_to_what_it_was_begun_with(spark: SparkSession, tmp_path: Path) -> None:
    checkpoints.agree(spark, point(tmp_path), {"features.k": "256", "the features": "a, b"})
    checkpoints.agree(spark, point(tmp_path), {"features.k": "256", "the features": "a, b"})
    newer = {"features.k": "128", "the features": "a, b", "what an earlier release did not keep": "c"}
    with pytest.raises(RefusedError, match=r"features.k was 256, now 128\. Take these back.*rebuild\.py") as told:
        checkpoints.agree(spark, point(tmp_path), newer)
    assert "earlier release" not in str(told.value)
    assert checkpoints.differing(spark, f"{tmp_path}/nothing", newer) is None
    assert "the features" not in str(told.value)
    with pytest.raises(RefusedError, match="the features was a, b, now a"):
        checkpoints.agree(spark, point(tmp_path), {"features.k": "256", "the features": "a"})
