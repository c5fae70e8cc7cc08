"""What a challenge needs before it begins; tests.jobs.test_night runs it whole."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import mlflow
import pytest

from recsys.config import Settings
from recsys.encoder.job import encoders_of
from recsys.errors import NoDataError
from recsys.io import Warehouse
from recsys.monitor import challenge
from recsys.monitor.challenge import paths_of, snapshots_folder, train_and_challenge
from recsys.ranking.train import EpochLog
from recsys.registry.alias import Decision
from recsys.registry.bundle import load, save
from recsys.registry.compare import Comparison
from tests.registry.conftest import SETTINGS, encoder, ranker, snapshot

DAY = date(2026, 3, 2)
NO_SPARK: Any = None


@pytest.mark.parametrize("present", ["none", "base"])
def test_both_encoders_of_the_day_are_needed(tmp_path: Path, present: str) -> None:
    settings = Settings(artifacts=str(tmp_path))
    if present == "base":
        encoder(1).save(encoders_of(settings, DAY).base)
    with pytest.raises(NoDataError, match=r"no encoder for --date 2026-03-02: run jobs/train_encoder\.py first"):
        train_and_challenge(Warehouse(NO_SPARK, "nowhere"), settings, DAY, None)


def test_paths_are_where_executors_read(tmp_path: Path) -> None:
    made = save(tmp_path / "b", encoder(1), ranker(1), snapshot(), SETTINGS, {})
    paths = paths_of(made, "hour.parquet")
    assert (paths.encoder, paths.ranker, paths.snapshot) == (
        f"{tmp_path}/b/encoder",
        f"{tmp_path}/b/ranker",
        "hour.parquet",
    )
    assert Path(paths.encoder).is_dir()
    assert Path(paths.ranker).is_dir()
    assert load(tmp_path / "b").id == made.id
    assert snapshots_folder(Settings(artifacts=str(tmp_path))) == f"{tmp_path}/snapshots"


def test_the_run_keeps_the_decision_and_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(mlflow, "set_tags", seen.update)
    monkeypatch.setattr(mlflow, "log_metrics", seen.update)
    found = Comparison(
        metric="ndcg@10", requests=9, users=5, challenger=0.5, champion=0.25, gain=0.25, low=0.0, high=0.5, ahead=0.75
    )
    refused = Decision(outcome="refused", version="2", bundle="b", previous="1", reason="not ahead", comparison=found)
    challenge._keep(refused)
    tags = {"decision.outcome": "refused", "decision.version": "2", "decision.reason": "not ahead"}
    figures = {"challenger": 0.5, "champion": 0.25, "gain": 0.25, "low": 0.0, "high": 0.5, "ahead": 0.75}
    counts = {"requests": 9.0, "users": 5.0}
    assert seen == tags | {f"compare.{key}": value for key, value in (figures | counts).items()}


def test_what_an_increment_starts_from_has_no_loss(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    nan = float("nan")
    start = EpochLog(epoch=0, loss=nan, validation_logloss=0.3, validation_auc=0.81, examples=0, seconds=1.0)
    first = EpochLog(epoch=1, loss=0.25, validation_logloss=0.2, validation_auc=0.85, examples=10, seconds=1.0)
    with caplog.at_level("INFO", logger="recsys"), mlflow.start_run():
        challenge._say(start)
        challenge._say(first)
    said = [(record.getMessage(), vars(record)["fields"]) for record in caplog.records if "fields" in vars(record)]
    assert said == [
        ("ranker at the start", {"validation_auc": 0.81}),
        ("ranker epoch", {"epoch": 1, "loss": 0.25, "validation_auc": 0.85}),
    ]
