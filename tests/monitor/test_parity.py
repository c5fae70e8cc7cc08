"""Rates of the nightly comparison, and their MLflow run."""

from __future__ import annotations

import json
import logging
from datetime import date
from pathlib import Path

import mlflow
import pytest

from recsys.config import Settings
from recsys.features.parity import Compared
from recsys.monitor.parity import publish, rates
from tests.features.shop import append_events
from tests.features.test_backfill import START, event

pytest.importorskip("pyspark")
FOUND = [
    Compared(table="user_profiles", feature="a", rows=4, stale=1, mismatch=1, missing=2, extra=0),
    Compared(table="item_features", feature="b", rows=0, stale=0, mismatch=0, missing=0, extra=0),
]


def test_rates_are_shares_of_what_was_compared() -> None:
    assert rates(FOUND) == {
        "mismatch/user_profiles/a": 0.25,
        "missing/user_profiles/a": 0.5,
        "extra/user_profiles/a": 0,
    }


def test_a_night_is_a_run_of_its_own(
    spark: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from pyspark.sql import SparkSession

    from recsys.io import Warehouse

    assert isinstance(spark, SparkSession)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    warehouse = Warehouse(spark, f"{tmp_path}/w")
    append_events(warehouse, [event("e", START)], 0)
    settings = Settings(warehouse=f"{tmp_path}/w", artifacts=f"{tmp_path}/a")
    view = warehouse.view()
    monkeypatch.setattr(logging.getLogger("recsys"), "propagate", True)
    with caplog.at_level(logging.INFO, "recsys.monitor.parity"):
        publish(settings, view, date(2026, 3, 2), FOUND)
    (line,) = [record for record in caplog.records if record.msg == "parity"]
    assert (line.levelname, line.fields) == ("WARNING", {"day": "2026-03-02", "values": 4, "differing": 3})  # type: ignore[attr-defined]
    (run,) = mlflow.search_runs(experiment_names=["recsys-parity"], output_format="list")
    assert run.info.run_name == "2026-03-02"
    assert run.data.metrics["missing/user_profiles/a"] == 0.5
    assert run.data.tags["table.events"] == str(view.versions["events"])
    kept = json.loads(Path(mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/parity.json")).read_text())
    assert kept["features"][0]["stale"] == 1
